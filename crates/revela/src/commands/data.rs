//! `revela data`: from raw text to chunks and training groups.

mod fetch;
mod quality;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use revela_base::progress::Progress;
use revela_base::seed::Seed;
use revela_index::bm25::Analyser;
use revela_index::grouping::{COPY, ChunkView, Grouped, Grouping, Policy};
use revela_model::tokenizer::TextTokenizer;
use revela_text::{
    ChunkGroup, ChunkReader, ChunkWriter, Chunker, ChunkerConfig, Cleaner, Documents, Format, GroupChunk,
    GroupWriter, GroupsHeader, QualityConfig, Reason, Sizer, Small, SourceConfig, SourceKind, Unit,
};

use super::Voice;
use super::code_search::CodeSearchArgs;
use super::reading::{Reading, say_left_out};
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
    let written = write_chunks(source, &chunker, args.quality.config()?, &args.out, context)?;
    voice.say(format_args!("{written} chunks in {}", args.out.display()))?;
    Ok(())
}

/// Chunks a corpus into a file. Returns the number of chunks.
fn write_chunks(
    source: SourceConfig,
    chunker: &Chunker<'_>,
    quality: QualityConfig,
    out: &Path,
    context: &Context,
) -> Result<u64> {
    let mut cleaner = Cleaner::new(quality)?;
    let mut documents = Documents::open(source)?;
    let mut writer = ChunkWriter::create(out, *chunker.config())?;
    let task = context.progress.task("chunking", "documents", None);
    for document in documents.by_ref() {
        context.interrupt.check()?;
        for chunk in cleaner.chunks(&document?, chunker) {
            writer.push(&chunk)?;
        }
        task.advance(1);
    }
    drop(task);
    say_left_out(&documents, context);
    let cleaned = cleaner.finish();
    show_quality(cleaned.report(), context)?;
    Ok(writer.finish_cleaned(vec![documents.summary()], &cleaned)?)
}

/// Counts a tokenizer's tokens.
struct TokenSizer(TextTokenizer);

impl Sizer for TokenSizer {
    fn size(&self, text: &str) -> usize {
        // A text that cannot be encoded counts as long, so that it is cut rather than kept whole.
        self.0.encode_bare(text).map_or(usize::MAX, |ids| ids.len())
    }
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
    let mut settings = serde_json::to_value(grouping)?;
    if let Some(settings) = settings.as_object_mut() {
        settings.insert("quality".into(), serde_json::to_value(&quality)?);
    }
    let reader = ChunkReader::open(chunks)?;
    let chunker = reader.header().chunker;
    let texts = read_chunks(reader, quality, context)?;
    let views = chunk_views(&texts);
    let grouped = grouping.group(&views, &context.progress, &context.interrupt)?;
    show_grouped(&grouped, grouping.group_size, context);
    let header = GroupsHeader {
        policy: policy_name(grouping.policy).to_owned(),
        settings,
        seed: grouping.seed,
        group_size: grouping.group_size,
        chunker,
        sources: Vec::new(),
    };
    let mut writer = GroupWriter::create(out, header)?;
    for group in grouped.groups {
        context.interrupt.check()?;
        let chunks = group.into_iter().filter_map(|at| texts.get(at as usize).cloned()).collect();
        writer.push(&ChunkGroup { chunks })?;
    }
    Ok(writer.finish()?)
}

/// The chunks of a file that are worth learning from; all of them where the file was made with the same settings.
fn read_chunks(reader: ChunkReader, quality: QualityConfig, context: &Context) -> Result<Vec<GroupChunk>> {
    let is_clean = reader.header().quality.as_ref().is_some_and(|found| found.config == quality);
    let mut cleaner = (!is_clean).then(|| Cleaner::new(quality)).transpose()?;
    let mut texts = Vec::new();
    let task = context.progress.task("reading chunks", "chunks", None);
    for chunk in reader {
        context.interrupt.check()?;
        let chunk = chunk?;
        if cleaner.as_mut().is_none_or(|cleaner| cleaner.keeps(&chunk)) {
            texts.push(GroupChunk::from(chunk));
        }
        task.advance(1);
    }
    drop(task);
    if let Some(cleaned) = cleaner.map(Cleaner::finish) {
        let mut number = 0..;
        texts.retain(|_| number.next().is_some_and(|number| cleaned.keeps(number)));
        show_quality(cleaned.report(), context)?;
    }
    Ok(texts)
}

fn show_grouped(grouped: &Grouped, group_size: usize, context: &Context) {
    if grouped.copies + grouped.unrelated > 0 {
        context.progress.line(&format!(
            "neighbours passed over as copies: {}; places that no neighbour filled: {} of {}",
            grouped.copies,
            grouped.unrelated,
            grouped.groups.len() * group_size
        ));
    }
}

/// Chunks as grouping sees them; documents are numbered in order of appearance.
fn chunk_views(chunks: &[GroupChunk]) -> Vec<ChunkView<'_>> {
    let mut document = 0;
    let mut last: Option<&str> = None;
    chunks
        .iter()
        .map(|chunk| {
            if last.is_some_and(|last| last != chunk.id.document) {
                document += 1;
            }
            last = Some(&chunk.id.document);
            ChunkView { document, text: &chunk.text }
        })
        .collect()
}

fn policy_name(policy: Policy) -> &'static str {
    match policy {
        Policy::Random => "random",
        Policy::Document => "document",
        Policy::Mixed { .. } => "mixed",
        Policy::Bm25 { .. } => "bm25",
    }
}
