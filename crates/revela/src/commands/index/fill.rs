//! `revela index build` and `revela index add`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Result, bail};
use clap::Args;
use revela_base::embed::Embedder;
use revela_base::seed::Seed;
use revela_index::bm25::Analyser;
use revela_index::vectors::{Dtype, RowReader};
use revela_index::{
    Coding, CollectionBuilder, CollectionWriter, Duplicates, Entry, GraphOptions, InsertOrder, Metric,
    Passage, Recall, Structure, VectorOptions,
};
use revela_model::cpu::Matmul;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;
use revela_text::{ChunkReader, Documents, SourceKind, TextError};

use super::super::data::parse_analyser;
use super::super::reading::{Reading, say_left_out};
use super::super::say;
use super::payloads::Payloads;
use super::{parse_named, read_ids};
use crate::Context;

/// Where rows come from.
#[derive(Args)]
#[group(id = "source", required = true, multiple = false)]
struct Source {
    /// Documents, each one passage: JSON lines in BEIR's layout, or a folder of text or code.
    #[arg(long)]
    input: Option<PathBuf>,
    /// A chunk file, each chunk one passage.
    #[arg(long)]
    chunks: Option<PathBuf>,
    /// Vectors alone: .npy, .fvecs, .safetensors or .jsonl (also .jsonl.gz and .jsonl.zst).
    #[arg(long)]
    vectors: Option<PathBuf>,
}

/// What goes with the rows.
#[derive(Args)]
struct Company {
    /// An id per line for --vectors [default: those in the file, or row numbers]
    #[arg(long, requires = "vectors")]
    ids: Option<PathBuf>,
    /// JSON lines of `_id` and `metadata`, an object of fields for filters; --input's own file, where it has
    /// them. Read with the flags of --input, and by the rule of --duplicates.
    #[arg(long, conflicts_with = "vectors")]
    payloads: Option<PathBuf>,
    /// The folder of the encoder that embeds passages [default: none, and no vectors]
    #[arg(long, conflicts_with = "vectors")]
    encoder: Option<PathBuf>,
    /// How the processor multiplies while it embeds: f32, or bf16, which is faster where it has AVX-512 BF16.
    #[arg(long, default_value = "f32", requires = "encoder")]
    matmul: Matmul,
}

#[derive(Args)]
pub(crate) struct Build {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    company: Company,
    /// The folder to make. A build that was stopped or killed is started again with the same flags; what
    /// was embedded is not embedded again.
    #[arg(long)]
    out: PathBuf,
    /// How texts are split into terms: code or prose.
    #[arg(long, value_parser = parse_analyser, default_value = "prose")]
    analyser: Analyser,
    /// How vectors are compared: cosine or dot [default: as the encoder says, and cosine for --vectors]
    #[arg(long, value_parser = parse_named::<Metric>)]
    metric: Option<Metric>,
    /// What happens when an id comes again: refuse or last-wins.
    #[arg(long, value_parser = parse_named::<Duplicates>, default_value = "refuse")]
    duplicates: Duplicates,
    /// Rows after which a shard is closed; one shard's vectors are in memory meanwhile.
    #[arg(long, default_value_t = 1_000_000)]
    shard_rows: u32,
    #[command(flatten)]
    vectors: VectorFlags,
    /// Seed of whatever is drawn at random.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

/// How vectors are kept.
#[derive(Args)]
struct VectorFlags {
    /// Type of stored vectors: f32 or f16.
    #[arg(long, value_parser = parse_named::<Dtype>, default_value = "f32")]
    dtype: Dtype,
    /// What is compared first: int8 codes, or none for the full vectors.
    #[arg(long, value_parser = parse_named::<Coding>, default_value = "int8")]
    coding: Coding,
    /// Which shards get a graph: auto (those with 30,000 rows), flat (none) or graph (all).
    #[arg(long, value_parser = parse_named::<Structure>, default_value = "auto")]
    structure: Structure,
    /// Neighbours in a graph; three times as many on its lowest level.
    #[arg(short, long, default_value_t = 16)]
    m: u32,
    /// Candidates among which neighbours are chosen.
    #[arg(long, default_value_t = 100)]
    ef_construction: u32,
    /// Recall of the 10 nearest that walks with 40 candidates should have: graphs are improved while they have less, as
    /// long as that helps. 0 improves none.
    #[arg(long, default_value_t = Recall::USUAL)]
    target_recall: Recall,
    /// How graphs are built: parallel, or serial, which gives the same graph every time.
    #[arg(long, value_parser = parse_named::<InsertOrder>, default_value = "parallel")]
    order: InsertOrder,
}

#[derive(Args)]
pub(crate) struct Add {
    /// The collection's folder.
    collection: PathBuf,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    company: Company,
    /// What happens when an id comes again: refuse, or last-wins, which replaces passages.
    #[arg(long, value_parser = parse_named::<Duplicates>, default_value = "refuse")]
    duplicates: Duplicates,
}

/// A stream of passages, with how they were cut, where it is known.
struct Passages {
    stream: Box<dyn Iterator<Item = Result<Passage, TextError>>>,
    chunker: Option<serde_json::Value>,
    /// Where they are documents, to ask what was left out.
    documents: Option<Rc<RefCell<Documents>>>,
}

impl Source {
    /// The passages; nothing for vectors.
    fn passages(&self, reading: &Reading) -> Result<Option<Passages>> {
        if self.vectors.is_some() && *reading != Reading::default() {
            bail!("--skip-bad, --max-bytes and --follow-links are for documents, not for --vectors");
        }
        if let Some(path) = &self.chunks {
            let chunks = ChunkReader::open(path)?;
            let chunker = serde_json::to_value(chunks.header().chunker)?;
            let stream = chunks.map(|chunk| {
                let chunk = chunk?;
                Ok(Passage { id: chunk.id.to_string(), title: chunk.title, text: chunk.text })
            });
            return Ok(Some(Passages { stream: Box::new(stream), chunker: Some(chunker), documents: None }));
        }
        let Some(path) = &self.input else { return Ok(None) };
        let documents =
            Rc::new(RefCell::new(Documents::open(reading.source(path, SourceKind::of_path(path)))?));
        let shared = documents.clone();
        let stream = std::iter::from_fn(move || shared.borrow_mut().next()).map(|document| {
            let document = document?;
            Ok(Passage { id: document.id, title: document.title, text: document.text })
        });
        Ok(Some(Passages { stream: Box::new(stream), chunker: None, documents: Some(documents) }))
    }

    fn rows(&self) -> Result<RowReader> {
        match &self.vectors {
            Some(path) => Ok(RowReader::open(path)?),
            None => bail!("give --input, --chunks or --vectors"),
        }
    }
}

impl Company {
    fn ids(&self) -> Result<Option<Vec<String>>> {
        self.ids.as_deref().map(read_ids).transpose()
    }

    fn payloads(&self, reading: &Reading, duplicates: Duplicates) -> Result<RefCell<Payloads>> {
        let read = |path: &PathBuf| Payloads::read(path, reading, duplicates);
        Ok(self.payloads.as_ref().map(read).transpose()?.unwrap_or_default().into())
    }

    fn encoder(&self) -> Result<Option<Encoder>> {
        let Some(dir) = &self.encoder else { return Ok(None) };
        Ok(Some(Encoder::open(dir, Precision::F32, &DeviceChoice::Cpu.open()?)?.with_matmul(self.matmul)))
    }
}

/// Passages with the payloads that belong to them.
fn entries(
    passages: impl Iterator<Item = Result<Passage, TextError>>,
    payloads: &RefCell<Payloads>,
) -> impl Iterator<Item = Result<Entry, TextError>> {
    passages.map(move |passage| {
        let passage = passage?;
        let payload = payloads.borrow_mut().of(&passage.id);
        Ok(Entry { passage, payload })
    })
}

/// Says what of documents and payloads was left out.
fn say_unused(documents: Option<&RefCell<Documents>>, payloads: &RefCell<Payloads>, context: &Context) {
    if let Some(documents) = documents {
        say_left_out(&documents.borrow(), context);
    }
    payloads.borrow().say_unused(context);
}

impl VectorFlags {
    fn options(&self) -> VectorOptions {
        let graph = GraphOptions {
            m: self.m,
            ef_construction: self.ef_construction,
            order: self.order,
            recall: self.target_recall,
        };
        VectorOptions { dtype: self.dtype, coding: self.coding, structure: self.structure, graph }
    }
}

pub(crate) fn build(args: &Build, context: &Context) -> Result<()> {
    let mut builder = CollectionBuilder::new(&args.out)
        .analyser(args.analyser)
        .duplicates(args.duplicates)
        .shard_rows(args.shard_rows)
        .vectors(args.vectors.options())
        .seed(Seed(args.seed));
    if let Some(metric) = args.metric {
        builder = builder.metric(metric);
    }
    let (progress, interrupt) = (&context.progress, &context.interrupt);
    let built = match args.source.passages(&args.reading)? {
        Some(passages) => {
            if let Some(chunker) = passages.chunker.clone() {
                builder = builder.chunker(chunker);
            }
            let encoder = args.company.encoder()?;
            let embedder = encoder.as_ref().map(|encoder| encoder as &dyn Embedder);
            let payloads = args.company.payloads(&args.reading, args.duplicates)?;
            let built = builder.build(entries(passages.stream, &payloads), embedder, progress, interrupt)?;
            say_unused(passages.documents.as_deref(), &payloads, context);
            built
        }
        None => {
            let ids = args.company.ids()?;
            builder.build_from_vectors(&mut args.source.rows()?, ids.as_deref(), progress, interrupt)?
        }
    };
    say(format_args!("{} passages in {}", built.len(), args.out.display()))?;
    Ok(())
}

pub(crate) fn add(args: &Add, context: &Context) -> Result<()> {
    let mut writer = CollectionWriter::open(&args.collection)?;
    let (progress, interrupt) = (&context.progress, &context.interrupt);
    match args.source.passages(&args.reading)? {
        Some(passages) => {
            let encoder = args.company.encoder()?;
            let embedder = encoder.as_ref().map(|encoder| encoder as &dyn Embedder);
            let payloads = args.company.payloads(&args.reading, args.duplicates)?;
            let entries = entries(passages.stream, &payloads);
            writer.add(entries, embedder, args.duplicates, progress, interrupt)?;
            say_unused(passages.documents.as_deref(), &payloads, context);
        }
        None => {
            let (mut rows, ids) = (args.source.rows()?, args.company.ids()?);
            writer.add_vectors(&mut rows, ids.as_deref(), args.duplicates, progress, interrupt)?;
        }
    }
    let count = revela_index::Collection::open(&args.collection)?.len();
    say(format_args!("{count} passages in {}", args.collection.display()))?;
    Ok(())
}
