//! `revela index search` and `revela index bench`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use revela_base::file::write_atomic;
use revela_index::bench::{self, BenchOptions};
use revela_index::vectors::{Vectors, npy};
use revela_index::{Collection, CollectionWriter, Effort, Recall, search_rows_where};

use super::super::narrow::Narrow;
use super::super::{Voice, say};
use crate::Context;

#[derive(Args)]
pub(crate) struct Search {
    /// The collection's folder.
    #[arg(long)]
    collection: PathBuf,
    /// Queries: .npy, .fvecs, .safetensors or .jsonl.
    #[arg(long)]
    vectors: PathBuf,
    /// Rows per query.
    #[arg(short, default_value_t = 10)]
    k: usize,
    /// Candidates that a walk through a graph keeps; more find more and take longer.
    #[arg(long, default_value_t = 64)]
    ef: usize,
    /// Instead: find this share of the nearest, such as 0.95, as hard as each shard's own measurement says.
    #[arg(long, conflicts_with = "ef")]
    recall: Option<Recall>,
    /// Compare with all vectors.
    #[arg(long, conflicts_with_all = ["ef", "recall"])]
    exact: bool,
    #[command(flatten)]
    narrow: Narrow,
    /// The .npy file to write: int32 row numbers, a row per query, best first, -1 where there are no
    /// more; - is standard output.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
pub(crate) struct Bench {
    /// The collection's folder.
    #[arg(long)]
    collection: PathBuf,
    /// Queries: .npy, .fvecs, .safetensors or .jsonl.
    #[arg(long)]
    queries: PathBuf,
    /// Their true nearest rows, .npy of integers, as `revela index search --exact` writes them.
    #[arg(long)]
    truth: PathBuf,
    /// Rows per query.
    #[arg(short, default_value_t = 10)]
    k: usize,
    /// Candidates that walks keep, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "8,16,32,64,128,256,512")]
    ef: Vec<usize>,
    /// A JSON file for the list of measurements [default: print them]
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Measure {
    /// The collection's folder.
    collection: PathBuf,
    /// Queries such as will be asked: .npy, .fvecs, .safetensors or .jsonl [default: rows of the collection]
    #[arg(long)]
    queries: Option<PathBuf>,
}

pub(crate) fn measure(args: &Measure, context: &Context) -> Result<()> {
    let queries = args.queries.as_deref().map(Vectors::read).transpose()?;
    let mut writer = CollectionWriter::open(&args.collection)?;
    let count = writer.measure(queries.as_ref(), &context.progress, &context.interrupt)?;
    say(format_args!("{count} graphs measured in {}", args.collection.display()))?;
    Ok(())
}

pub(crate) fn search(args: &Search, context: &Context) -> Result<()> {
    let voice = Voice::beside([&args.out], context)?;
    let collection = Collection::open(&args.collection)?;
    let queries = Vectors::read(&args.vectors)?;
    let effort = Effort::chosen(args.exact, args.recall, args.ef);
    let found = search_rows_where(&collection, &queries, args.k, effort, &args.narrow.filter()?)?;
    npy::write_integers(&args.out, &found)?;
    voice.say(format_args!(
        "{} answers of {} rows in {}",
        found.len(),
        found.columns(),
        args.out.display()
    ))?;
    Ok(())
}

pub(crate) fn bench(args: &Bench, context: &Context) -> Result<()> {
    Voice::beside(&args.json, context)?;
    let collection = Collection::open(&args.collection)?;
    let queries = Vectors::read(&args.queries)?;
    let truth = npy::read_integers(&args.truth)?;
    let options = BenchOptions { k: args.k, efs: args.ef.clone(), ..BenchOptions::default() };
    let points = bench::run(&collection, &queries, &truth, &options, &context.interrupt)?;
    if let Some(path) = &args.json {
        let text = serde_json::to_vec_pretty(&points)?;
        return Ok(write_atomic(path, |out| out.write_all(&text))?);
    }
    say(format_args!("{:>6} {:>8} {:>12} {:>16}", "ef", "recall", "queries/s", "queries/CPU s"))?;
    for point in points {
        let (wall, cpu) = (point.queries_per_second, point.queries_per_cpu_second);
        say(format_args!("{:>6} {:>8.4} {wall:>12.0} {cpu:>16.0}", point.ef, point.recall))?;
    }
    Ok(())
}
