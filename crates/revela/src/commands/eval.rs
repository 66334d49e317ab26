//! `revela eval`: systems on a collection with judgements, and one against another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use revela_base::checksum::Checksum;
use revela_base::embed::Embedder;
use revela_eval::metrics::Metric;
use revela_eval::statistics::Resampling;
use revela_eval::{
    Best, Cell, Column, CompareOptions, EvalResult, Pairs, QuerySets, Table, compare, comparison_table,
};
use revela_index::bm25::Analyser;
use revela_index::fusion::Fusion;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;
use serde_json::Value;

use super::data::parse_analyser;
use super::say;
use crate::Context;
use crate::evaluation::{HeldOut, Rankings};

/// Results per query, as TREC runs have.
const DEPTH: usize = 1000;

/// Width of tables in characters.
const WIDTH: u16 = 160;

/// Which system is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeName {
    /// The encoder's vectors, compared exactly.
    Dense,
    /// Words.
    Bm25,
    /// Both, by reciprocal rank fusion.
    Hybrid,
}

/// Measure a retriever, BM25, both, or a run file on a collection with judgements; compare results
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Eval {
    #[command(subcommand)]
    command: Option<EvalCommand>,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Subcommand)]
enum EvalCommand {
    /// Say whether one result is better than another, by paired tests over the queries.
    Compare(Compare),
}

#[derive(Args)]
struct Measure {
    /// A collection in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv.
    #[arg(long, required = true)]
    data: Option<PathBuf>,
    /// Its split.
    #[arg(long, default_value = "test")]
    split: String,
    /// An encoder's folder, for dense and hybrid.
    #[arg(long)]
    encoder: Option<PathBuf>,
    /// Which system is measured.
    #[arg(long, value_enum, default_value = "dense")]
    mode: ModeName,
    /// Compare with every vector. (There is no other way here yet; the flag is for scripts that say so.)
    #[arg(long)]
    exact: bool,
    /// Measure this TREC run file instead of a system.
    #[arg(long, conflicts_with_all = ["encoder", "mode", "exact", "run"])]
    run_file: Option<PathBuf>,
    /// How BM25 splits texts into terms: code or prose.
    #[arg(long, value_parser = parse_analyser, default_value = "prose")]
    analyser: Analyser,
    /// Metrics.
    #[arg(long, value_delimiter = ',', default_value = "ndcg@10,recall@100,mrr@10,map")]
    metrics: Vec<Metric>,
    /// Write the result with every query's values.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write what was found as a TREC run file.
    #[arg(long)]
    run: Option<PathBuf>,
}

#[derive(Args)]
struct Compare {
    /// Results that `revela eval --json` wrote; the others are compared with the first.
    #[arg(required = true, num_args = 2..)]
    results: Vec<PathBuf>,
    /// Metrics.
    #[arg(long, value_delimiter = ',', default_value = "ndcg@10")]
    metrics: Vec<Metric>,
    /// Compare on the queries that both results have, where these differ.
    #[arg(long)]
    intersect: bool,
}

pub(crate) fn run(args: Eval, context: &Context) -> Result<()> {
    match args.command {
        Some(EvalCommand::Compare(command)) => compare_results(&command),
        None => measure(&args.measure, context),
    }
}

fn measure(args: &Measure, context: &Context) -> Result<()> {
    let data = args.data.as_deref().context("--data is missing")?;
    let (progress, interrupt) = (&context.progress, &context.interrupt);
    let held_out = HeldOut::open(data, &args.split, args.metrics.clone(), progress, interrupt)?;
    let held_out = held_out.with_depth(DEPTH);
    let mut settings = BTreeMap::from([
        ("data".to_owned(), Value::from(data.display().to_string())),
        ("split".to_owned(), args.split.as_str().into()),
    ]);
    let run = match &args.run_file {
        Some(path) => {
            settings.insert("run_file".into(), path.display().to_string().into());
            settings.insert("run_checksum".into(), serde_json::to_value(Checksum::of_file(path)?)?);
            held_out.read_run(path)?
        }
        None => held_out.run(&rankings(args, &held_out, &mut settings, context)?)?,
    };
    let evaluation = held_out.evaluate(&run)?;
    let intervals = evaluation.intervals(&Resampling::default())?;
    let heads = ["metric", "value [95% interval]"].map(|name| Column::new(name, Best::NotMarked));
    let mut table = Table::new(heads);
    for (metric, interval) in &intervals {
        table.push([Cell::text(metric.to_string()), Cell::interval(interval)]);
    }
    if let Some(path) = &args.run {
        run.write(path, "revela")?;
    }
    if let Some(path) = &args.json {
        EvalResult::new(evaluation, settings).write(path)?;
    }
    say(table.to_text(WIDTH))?;
    Ok(())
}

/// What the system finds.
fn rankings(
    args: &Measure,
    held_out: &HeldOut,
    settings: &mut BTreeMap<String, Value>,
    context: &Context,
) -> Result<Rankings> {
    let mode = args.mode.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned());
    settings.insert("mode".into(), mode.into());
    let dense = match (&args.encoder, args.mode) {
        (_, ModeName::Bm25) => None,
        (Some(dir), _) => {
            let encoder = Encoder::open(dir, Precision::F32, &DeviceChoice::Cpu.open()?)?;
            settings.insert("encoder".into(), serde_json::to_value(encoder.fingerprint())?);
            Some(held_out.dense(&encoder, &context.progress, &context.interrupt)?)
        }
        (None, _) => bail!("--mode dense and --mode hybrid need --encoder DIR"),
    };
    let bm25 = if args.mode == ModeName::Dense {
        None
    } else {
        settings.insert("analyser".into(), serde_json::to_value(args.analyser)?);
        Some(held_out.bm25(args.analyser)?)
    };
    Ok(match (dense, bm25) {
        (Some(dense), Some(bm25)) => held_out.fused(Fusion::default(), &[(&dense, 1.0), (&bm25, 1.0)]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => Rankings::new(),
    })
}

fn compare_results(args: &Compare) -> Result<()> {
    let read = |path: &PathBuf| Ok((name_of(path), EvalResult::read(path)?));
    let results = args.results.iter().map(read).collect::<Result<Vec<_>>>()?;
    let named: Vec<(&str, &EvalResult)> =
        results.iter().map(|(name, result)| (name.as_str(), result)).collect();
    let queries = if args.intersect { QuerySets::Intersect } else { QuerySets::MustMatch };
    let options = CompareOptions { queries, pairs: Pairs::WithFirst, ..CompareOptions::default() };
    say(comparison_table(&compare(&named, &args.metrics, &options)?).to_text(WIDTH))?;
    Ok(())
}

/// What a result is called in the table: its file's name without the ending.
fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
