//! `--rerank` and what goes with it: the step after a search, over hits or over a run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use revela_base::progress::Progress as _;
use revela_base::rerank::{Form, Pair, Reranker};
use revela_eval::{Hit, Run};
use revela_model::cpu::Matmul;
use revela_model::device::DeviceChoice;
use revela_model::reranking::{RerankerOptions, RerankingModel};
use revela_search::rerank::rerank;
use serde_json::{Value, json};

use crate::Context;
use crate::commands::index::parse_named;
use crate::evaluation::HeldOut;

/// How a model is opened that reads query and passage together.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Reranking")]
pub(crate) struct ModelArgs {
    /// How it scores: cross-encoder, yes-no (as Qwen3-Reranker) or likelihood (of the query after the passage, by any
    /// language model) [default: what its folder is]
    #[arg(long = "rerank-form", value_parser = parse_named::<Form>)]
    pub(crate) form: Option<Form>,
    /// Longest pair in tokens [default: the model's limit; 8192 for yes-no, 512 for likelihood]
    #[arg(long = "rerank-max-length")]
    pub(crate) rerank_max_length: Option<usize>,
    /// What a model of the form yes-no is asked [default: as published with Qwen3-Reranker]
    #[arg(long = "rerank-instruction")]
    pub(crate) instruction: Option<String>,
    /// How the processor multiplies for it: f32, or bf16, which is faster where it has AVX-512 BF16 [default: f32]
    #[arg(long = "rerank-matmul")]
    pub(crate) rerank_matmul: Option<Matmul>,
}

/// Whether and how what is found is ranked again.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Reranking")]
pub(crate) struct RerankArgs {
    /// Rank what is found again by this model: a folder in Hugging Face's layout, or a name on the hub.
    #[arg(long, value_name = "MODEL")]
    pub(crate) rerank: Option<PathBuf>,
    /// How many of what is found are ranked again.
    #[arg(long, default_value_t = 100, requires = "rerank")]
    pub(crate) rerank_depth: usize,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

impl ModelArgs {
    /// Opens the model.
    pub(crate) fn open(&self, dir: &Path) -> Result<RerankingModel> {
        let options = RerankerOptions {
            form: self.form,
            max_length: self.rerank_max_length,
            instruction: self.instruction.clone(),
            matmul: self.rerank_matmul.unwrap_or_default(),
        };
        Ok(RerankingModel::open(dir, &options, &DeviceChoice::Cpu.open()?)?)
    }
}

/// A reranker and how deep it ranks.
pub(crate) struct Step {
    model: RerankingModel,
    depth: usize,
}

impl Step {
    /// What the flags ask for, if anything.
    pub(crate) fn open(args: &RerankArgs) -> Result<Option<Self>> {
        let Some(dir) = &args.rerank else { return Ok(None) };
        Self::with(args.model.open(dir)?, args.rerank_depth).map(Some)
    }

    pub(crate) fn with(model: RerankingModel, depth: usize) -> Result<Self> {
        if depth == 0 {
            bail!("--rerank-depth is 0, which ranks nothing again; leave --rerank out, or name a number");
        }
        Ok(Self { model, depth })
    }

    /// How many hits a search must find so that `k` are left.
    pub(crate) fn candidates(&self, k: usize) -> usize {
        self.depth.max(k)
    }

    /// The `k` most relevant of the hits.
    pub(crate) fn hits(
        &self,
        query: &str,
        hits: Vec<revela_index::Hit>,
        k: usize,
    ) -> Result<Vec<revela_index::Hit>> {
        Ok(rerank(&self.model, query, hits, k)?)
    }

    /// What decides its scores, for a result's settings.
    pub(crate) fn settings(&self) -> Result<Value> {
        Ok(json!({
            "model": self.model.fingerprint(), "form": self.model.form(), "depth": self.depth,
            "max_length": self.model.max_length(),
        }))
    }

    /// A run with the first of each query's documents ranked again; what was deeper follows in its order.
    pub(crate) fn run(&self, run: &Run, held_out: &HeldOut, context: &Context) -> Result<Run> {
        let documents = held_out.documents();
        let texts: HashMap<&str, usize> =
            documents.iter().enumerate().map(|(place, document)| (document.id.as_str(), place)).collect();
        let queries: HashMap<&str, &str> =
            held_out.split().queries.iter().map(|q| (q.id.as_str(), q.text.as_str())).collect();
        let (mut ranked, began) = (Run::new(), Instant::now());
        let task = context.progress.task("reranking", "queries", Some(run.len() as u64));
        for (id, hits) in run.iter() {
            context.interrupt.check()?;
            let query = queries
                .get(id)
                .with_context(|| format!("the data has no query {id:?}, which the run answers"))?;
            let text = |hit: &Hit| -> Result<String> {
                let place = texts.get(hit.document.as_str()).with_context(|| {
                    format!("the data has no document {:?}, which the run ranks", hit.document)
                })?;
                Ok(documents.get(*place).map(crate::evaluation::passage_text).unwrap_or_default())
            };
            let (first, rest) = hits.split_at(hits.len().min(self.depth));
            let first_texts: Vec<String> = first.iter().map(text).collect::<Result<_>>()?;
            let pairs: Vec<Pair<'_>> = first_texts.iter().map(|text| (*query, text.as_str())).collect();
            ranked.insert(id, joined(first, &self.model.scores(&pairs)?, rest))?;
            task.advance(1);
        }
        drop(task);
        let each = began.elapsed().as_secs_f64() * 1e3 / run.len().max(1) as f64;
        context.progress.line(&format!("{} queries reranked, {each:.1} ms each", run.len()));
        Ok(ranked)
    }
}

/// Hits with new scores, and behind them the rest, with scores that keep its order.
fn joined(first: &[Hit], scores: &[f32], rest: &[Hit]) -> Vec<Hit> {
    let ranked = first.iter().zip(scores).map(|(hit, score)| Hit::new(hit.document.clone(), *score));
    let lowest = scores.iter().copied().fold(f32::INFINITY, f32::min);
    // Steps that the precision of the lowest score can tell apart.
    let step = (lowest.abs() * 1e-5).max(1.0);
    let behind =
        (1..).zip(rest).map(|(place, hit)| Hit::new(hit.document.clone(), lowest - step * place as f32));
    ranked.chain(behind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deeper_follows_in_its_order() {
        let hits: Vec<Hit> = ["a", "b", "c", "d"].iter().map(|id| Hit::new(*id, 1.0)).collect();
        for scores in [[0.1, 0.9], [-3e7, -2e7]] {
            let mut run = Run::new();
            run.insert("q", joined(&hits[..2], &scores, &hits[2..])).unwrap();
            let ids: Vec<&str> = run.get("q").unwrap().iter().map(|hit| hit.document.as_str()).collect();
            assert_eq!(ids, ["b", "a", "c", "d"]);
        }
    }
}
