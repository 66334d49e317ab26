//! `revela eval`: a retriever on a collection with judgements.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use revela_eval::metrics::Metric;
use revela_eval::{Column, Table};
use revela_index::bm25::Analyser;
use revela_index::fusion::Fusion;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;

use super::data::parse_analyser;
use super::say;
use crate::Context;
use crate::evaluation::HeldOut;

/// Which system is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeName {
    Dense,
    Bm25,
    Hybrid,
}

#[derive(Args)]
pub(crate) struct Eval {
    /// A collection in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv.
    #[arg(long)]
    data: PathBuf,
    /// Its split.
    #[arg(long, default_value = "test")]
    split: String,
    /// An encoder's folder, for dense and hybrid.
    #[arg(long)]
    encoder: Option<PathBuf>,
    /// Which system is measured.
    #[arg(long, value_enum, default_value = "dense")]
    mode: ModeName,
    /// How BM25 splits texts into terms: code or prose.
    #[arg(long, value_parser = parse_analyser, default_value = "prose")]
    analyser: Analyser,
    /// Metrics.
    #[arg(long, value_delimiter = ',', default_value = "ndcg@10,recall@100,mrr@10")]
    metrics: Vec<Metric>,
}

pub(crate) fn run(args: Eval, context: &Context) -> Result<()> {
    let (progress, interrupt) = (&context.progress, &context.interrupt);
    let held_out = HeldOut::open(&args.data, &args.split, args.metrics.clone(), progress, interrupt)?;
    let dense = match (&args.encoder, args.mode) {
        (_, ModeName::Bm25) => None,
        (Some(dir), _) => {
            let encoder = Encoder::open(dir, Precision::F32, &DeviceChoice::Cpu.open()?)?;
            Some(held_out.dense(&encoder, progress, interrupt)?)
        }
        (None, _) => None.context("dense and hybrid need --encoder")?,
    };
    let bm25 = (args.mode != ModeName::Dense).then(|| held_out.bm25(args.analyser)).transpose()?;
    let rankings = match (dense, bm25) {
        (Some(dense), Some(bm25)) => held_out.fused(Fusion::default(), &[(&dense, 1.0), (&bm25, 1.0)]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => Vec::new(),
    };
    let evaluation = held_out.evaluate(&held_out.run(&rankings)?)?;
    let mut table = Table::new(vec![
        Column::new("metric", revela_eval::Best::NotMarked),
        Column::new("value", revela_eval::Best::NotMarked),
    ]);
    for (metric, value) in evaluation.means() {
        table.push(vec![revela_eval::Cell::text(metric.to_string()), revela_eval::Cell::percent(value)]);
    }
    say(table.to_text(80))?;
    Ok(())
}
