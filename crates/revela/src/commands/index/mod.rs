//! `revela index`: collections, from their making to their measurement.

mod fill;
mod payloads;
mod query;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use revela_base::text_lines::TextLines;
use revela_index::info::{Info, ShardInfo};
use revela_index::{Collection, CollectionWriter, export};
use serde::de::DeserializeOwned;

use super::{Voice, say, store};
use crate::Context;

/// The subcommands.
#[derive(Subcommand)]
pub(crate) enum Index {
    /// Make a collection of documents, chunks or vectors.
    Build(Box<fill::Build>),
    /// Add to a collection.
    Add(fill::Add),
    /// Delete passages from a collection.
    Delete(Delete),
    /// Give back the room of deleted passages, and join small shards.
    Compact(Folder),
    /// Say what a collection is.
    Info(Describe),
    /// Read every byte of a collection and compare it with the checksums.
    Verify(Folder),
    /// Write out what a collection holds.
    Export(Export),
    Push(store::Push),
    Pull(store::Pull),
    /// Find the nearest rows of many vectors.
    Search(query::Search),
    /// Measure recall against speed.
    Bench(query::Bench),
    /// Measure anew what graphs find, which `--recall` goes by: after deletions, or with queries of your own.
    Measure(query::Measure),
}

pub(crate) fn run(command: Index, context: &Context) -> Result<()> {
    match command {
        Index::Build(command) => fill::build(&command, context),
        Index::Add(command) => fill::add(&command, context),
        Index::Delete(command) => delete(&command),
        Index::Compact(command) => compact(&command, context),
        Index::Info(command) => describe(&command),
        Index::Verify(command) => verify(&command, context),
        Index::Export(command) => export_all(&command, context),
        Index::Push(command) => store::push_collection(&command, context),
        Index::Pull(command) => store::pull_collection(&command, context),
        Index::Search(command) => query::search(&command, context),
        Index::Bench(command) => query::bench(&command, context),
        Index::Measure(command) => query::measure(&command, context),
    }
}

#[derive(Args)]
pub(crate) struct Folder {
    /// The collection's folder.
    collection: PathBuf,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// The collection's folder.
    collection: PathBuf,
    /// Ids of passages.
    #[arg(required_unless_present = "ids_from")]
    ids: Vec<String>,
    /// A file with an id per line.
    #[arg(long)]
    ids_from: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Describe {
    /// The collection's folder.
    collection: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Export {
    /// The collection's folder.
    collection: PathBuf,
    /// JSON lines of `_id`, `title` and `text` to write; - is standard output.
    #[arg(long)]
    passages: Option<PathBuf>,
    /// Vectors to write: .npy, .fvecs, .safetensors or .jsonl; - is standard output, which gets JSON lines.
    #[arg(long)]
    vectors: Option<PathBuf>,
    /// Ids to write, a line each, in the order of the vectors; - is standard output.
    #[arg(long)]
    ids: Option<PathBuf>,
}

/// An option's value by the name that manifests have for it.
pub(crate) fn parse_named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|error| error.to_string())
}

/// The ids of a file, one a line; blank lines are none.
pub(super) fn read_ids(path: &Path) -> Result<Vec<String>> {
    let (mut lines, mut ids) = (TextLines::open(path)?, Vec::new());
    while let Some(id) = lines.next_line()? {
        ids.push(id.to_owned());
    }
    Ok(ids)
}

fn delete(args: &Delete) -> Result<()> {
    let mut ids = args.ids.clone();
    if let Some(path) = &args.ids_from {
        ids.extend(read_ids(path)?);
    }
    let deleted = CollectionWriter::open(&args.collection)?.delete(&ids)?;
    say(format_args!("{deleted} of {} passages deleted from {}", ids.len(), args.collection.display()))?;
    Ok(())
}

fn compact(args: &Folder, context: &Context) -> Result<()> {
    let mut writer = CollectionWriter::open(&args.collection)?;
    let changed = writer.compact(&context.progress, &context.interrupt)?;
    let what = if changed { "compacted" } else { "compact already" };
    say(format_args!("{} is {what}", args.collection.display()))?;
    Ok(())
}

fn describe(args: &Describe) -> Result<()> {
    let info = Collection::open(&args.collection)?.info();
    if args.json {
        return Ok(say(serde_json::to_string_pretty(&info)?)?);
    }
    for line in lines(&info)? {
        say(line)?;
    }
    Ok(())
}

fn lines(info: &Info) -> Result<Vec<String>> {
    let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!("passages    {}, {} more deleted", info.passages, info.deleted)];
    if let Some(vectors) = &info.vectors {
        let (metric, dtype) = (serde_json::to_value(vectors.metric)?, serde_json::to_value(vectors.dtype)?);
        let megabytes = info.vector_bytes as f64 / 1e6;
        let (metric, dtype) = (name(metric), name(dtype));
        lines.push(format!("vectors     {} numbers ({dtype}), {metric}, {megabytes:.1} MB", vectors.dim));
        let encoder = vectors.encoder.map_or("none".to_owned(), |encoder| encoder.short());
        lines.push(format!("encoder     {encoder}"));
    }
    if let Some(texts) = &info.texts {
        let analyser = name(serde_json::to_value(texts.analyser)?);
        lines.push(format!("texts       {analyser}, {:.1} MB", info.text_bytes as f64 / 1e6));
    }
    lines.push(format!("changes     {}", info.generation));
    for shard in &info.shards {
        let kind = name(serde_json::to_value(shard.kind)?);
        lines.push(format!("shard {}  {} rows, {} deleted, {kind}", shard.name, shard.rows, shard.deleted));
        lines.extend(recall_lines(shard));
    }
    Ok(lines)
}

/// What a shard's graph finds, a line per number of hits.
fn recall_lines(shard: &ShardInfo) -> Vec<String> {
    let Some(curve) = &shard.recall else { return Vec::new() };
    let mut ks: Vec<u32> = curve.points.iter().map(|point| point.k).collect();
    ks.dedup();
    let line = |k| {
        let points = curve.of(k).map(|point| format!("{} {:.4}", point.ef, f64::from(point.recall)));
        format!("  recall@{k:<4} ef {}", points.collect::<Vec<_>>().join(", "))
    };
    let mut lines: Vec<String> = ks.into_iter().map(line).collect();
    if shard.recall_is_stale() {
        let (then, now) = (curve.rows, shard.rows - shard.deleted);
        lines
            .push(format!("  stale: measured with {then} rows, now {now}; `revela index measure` renews it"));
    }
    lines
}

fn verify(args: &Folder, context: &Context) -> Result<()> {
    let collection = Collection::open(&args.collection)?;
    collection.verify(&context.progress, &context.interrupt)?;
    say(format_args!("{}: {} passages, all checksums match", args.collection.display(), collection.len()))?;
    Ok(())
}

fn export_all(args: &Export, context: &Context) -> Result<()> {
    let voice = Voice::beside(args.passages.iter().chain(&args.vectors).chain(&args.ids), context)?;
    let collection = Collection::open(&args.collection)?;
    let (progress, interrupt) = (&context.progress, &context.interrupt);
    let mut written = Vec::new();
    if let Some(path) = &args.passages {
        written.push((export::passages(&collection, path, progress, interrupt)?, "passages", path));
    }
    if let Some(path) = &args.vectors {
        written.push((export::vectors(&collection, path, progress, interrupt)?, "vectors", path));
    }
    if let Some(path) = &args.ids {
        written.push((export::ids(&collection, path, progress, interrupt)?, "ids", path));
    }
    if written.is_empty() {
        bail!("nothing to export: give --passages, --vectors or --ids");
    }
    for (count, what, path) in written {
        voice.say(format_args!("{count} {what} in {}", path.display()))?;
    }
    Ok(())
}
