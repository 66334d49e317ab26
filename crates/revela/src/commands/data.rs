//! `revela data`: from raw text to chunks and training groups.

mod fetch;
mod quality;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use revela_base::seed::Seed;
use revela_index::bm25::Analyser;
use revela_index::grouping::{COPY, Grouping, Policy};
use revela_model::tokenizer::TextTokenizer;
use revela_pipeline::prepare::{self, TokenSizer};
use revela_text::{Chunker, ChunkerConfig, Format, QualityConfig, Reason, Sizer, Small, SourceKind, Unit};

use super::Voice;
use super::code_search::CodeSearchArgs;
use super::reading::Reading;
use crate::Context;

pub(crate) use quality::{QualityArgs, show as show_quality};

/// The subcommands.
#[derive(Subcommand)]
pub(crate) enum Data {
    /// Cut documents into chunks.
    Chunk(Chunk),
    /// Group chunks that are trained on together.
    Group(Group),
    /// Make a test collection from source code.
    CodeSearch(CodeSearchArgs),
    /// Download a public test collection of the catalogue; a call after one that broke off goes on with it.
    Fetch(fetch::Fetch),
    /// List the public test collections of the catalogue.
    Tasks,
}

pub(crate) fn run(command: Data, context: &Context) -> Result<()> {
    match command {
        Data::Chunk(command) => chunk(&command, context),
        Data::Group(command) => group(&command, context),
        Data::CodeSearch(command) => super::code_search::run(&command, context),
        Data::Fetch(command) => fetch::fetch(&command, context),
        Data::Tasks => fetch::tasks(),
    }
}

/// What the input is.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// JSON lines with `_id`, `title`, `text` (also .gz and .zst).
    Jsonl,
    /// A folder of plain text and Markdown.
    Text,
    /// A folder of source code.
    Code,
}

/// What a chunk's size counts.
#[derive(Clone, Copy, ValueEnum)]
enum CountBy {
    /// Words.
    Words,
    /// Tokens of --tokenizer.
    Tokens,
}

#[derive(Args)]
pub(crate) struct Chunk {
    /// A JSON-lines file in BEIR's layout, or a folder of text or code.
    #[arg(long)]
    input: PathBuf,
    /// What the input is [default: jsonl for such a file, text and code for a folder]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    #[command(flatten)]
    reading: Reading,
    /// What the texts of JSON lines are: text, markdown, or a programming language.
    #[arg(long, default_value = "text")]
    format: Format,
    /// The chunk file to write; - is standard output.
    #[arg(long)]
    out: PathBuf,
    /// What sizes count.
    #[arg(long, value_enum, default_value = "words")]
    unit: CountBy,
    /// A model's folder, for --unit tokens.
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    /// Largest chunk.
    #[arg(long, default_value_t = 120)]
    size: usize,
    /// How much of a chunk the next one repeats.
    #[arg(long, default_value_t = 0)]
    overlap: usize,
    /// Smaller chunks are merged with a neighbour or dropped.
    #[arg(long, default_value_t = 16)]
    min_size: usize,
    /// Drop chunks that are too small instead of merging them.
    #[arg(long)]
    drop_small: bool,
    #[command(flatten)]
    quality: QualityArgs,
}

fn chunk(args: &Chunk, context: &Context) -> Result<()> {
    let tokenizer = match (args.unit, &args.tokenizer) {
        (CountBy::Words, _) => None,
        (CountBy::Tokens, Some(dir)) => Some(TokenSizer(TextTokenizer::open(dir)?)),
        (CountBy::Tokens, None) => bail!("--unit tokens needs --tokenizer, a folder with a tokenizer.json"),
    };
    let config = ChunkerConfig {
        unit: if tokenizer.is_some() { Unit::Tokens } else { Unit::Words },
        size: args.size,
        overlap: args.overlap,
        min_size: args.min_size,
        small: if args.drop_small { Small::Drop } else { Small::Merge },
    };
    let chunker = Chunker::new(config, tokenizer.as_ref().map(|t| t as &dyn Sizer))?;
    let kind = match args.kind {
        Some(Kind::Jsonl) => SourceKind::Jsonl(args.format),
        Some(Kind::Text) => SourceKind::Text,
        Some(Kind::Code) => SourceKind::Code,
        None => SourceKind::of_path(&args.input),
    };
    let source = args.reading.source(&args.input, kind);
    let voice = Voice::beside([&args.out], context)?;
    let (progress, interrupt) = (&context.progress, &context.interrupt);
    let chunked = prepare::chunk(source, &chunker, args.quality.config()?, &args.out, progress, interrupt)?;
    if !chunked.unread.is_empty() {
        context.progress.line(&chunked.unread);
    }
    quality::show_lines(&chunked.left_out, context);
    voice.say(format_args!("{} chunks in {}", chunked.chunks, args.out.display()))?;
    Ok(())
}

/// How groups are made up.
#[derive(Clone, Copy, ValueEnum)]
enum PolicyName {
    /// Chunks from anywhere.
    Random,
    /// Neighbouring chunks of one document.
    Document,
    /// Neighbouring chunks from each of --documents documents.
    Mixed,
    /// A chunk and its BM25 neighbours, copies left out.
    Bm25,
}

#[derive(Args)]
pub(crate) struct Group {
    /// The chunk file.
    #[arg(long)]
    chunks: PathBuf,
    /// The group file to write; - is standard output.
    #[arg(long)]
    out: PathBuf,
    /// How groups are made up.
    #[arg(long, value_enum, default_value = "bm25")]
    policy: PolicyName,
    /// Chunks per group.
    #[arg(long, default_value_t = 16)]
    group_size: usize,
    /// Documents per group, for --policy mixed.
    #[arg(long, default_value_t = 4)]
    documents: usize,
    /// How often the corpus is gone through, each time in another way.
    #[arg(long, default_value_t = 1)]
    passes: usize,
    /// How texts are split into terms, for --policy bm25.
    #[arg(long, value_parser = parse_analyser, default_value = "code")]
    analyser: Analyser,
    /// Seed of the choices.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    quality: QualityArgs,
}

pub(crate) fn parse_analyser(text: &str) -> Result<Analyser, String> {
    match text {
        "code" => Ok(Analyser::Code),
        "prose" => Ok(Analyser::Prose),
        other => Err(format!("unknown analyser {other}; choose code or prose")),
    }
}

fn group(args: &Group, context: &Context) -> Result<()> {
    let policy = match args.policy {
        PolicyName::Random => Policy::Random,
        PolicyName::Document => Policy::Document,
        PolicyName::Mixed => Policy::Mixed { documents: args.documents },
        PolicyName::Bm25 => Policy::bm25(args.analyser),
    };
    let quality = args.quality.config()?;
    let grouping = Grouping {
        policy,
        group_size: args.group_size,
        passes: args.passes,
        seed: Seed(args.seed),
        copies: quality.counts(Reason::NearCopy).then_some(COPY),
    };
    let voice = Voice::beside([&args.out], context)?;
    let written = write_groups(&args.chunks, &args.out, &grouping, quality, context)?;
    voice.say(format_args!("{written} groups of {} chunks in {}", args.group_size, args.out.display()))?;
    Ok(())
}

/// Groups a chunk file into a group file. Returns the number of groups.
pub(crate) fn write_groups(
    chunks: &Path,
    out: &Path,
    grouping: &Grouping,
    quality: QualityConfig,
    context: &Context,
) -> Result<u64> {
    let written = prepare::group(chunks, out, grouping, quality, &context.progress, &context.interrupt)?;
    quality::show_lines(&written.left_out, context);
    let (copies, unrelated) = (written.copies, written.unrelated);
    if copies + unrelated > 0 {
        context.progress.line(&format!(
            "neighbours passed over as copies: {copies}; places that no neighbour filled: {unrelated} of {}",
            written.groups * grouping.group_size as u64
        ));
    }
    Ok(written.groups)
}
