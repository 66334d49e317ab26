//! Every system of a quickstart on the collection that nothing was chosen by.

use std::path::Path;

use anyhow::{Context as _, Result};
use indexmap::IndexMap;
use revela_base::embed::Embedder;
use revela_eval::EvalResult;
use revela_eval::metrics::{Evaluation, Metric};
use revela_index::bm25::Analyser;
use revela_model::contract::Contract;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::language_model::LanguageModel;
use revela_model::pooling::Pooling;
use revela_model::weights::Precision;
use revela_search::fusion::{Fusion, Normalisation};

use super::{held_out, recipe};
use crate::Context;
use crate::evaluation::{HeldOut, Rankings, Remembering};

/// Names of the systems, as in report.json.
pub(crate) const BM25: &str = "bm25";
/// The warmed language model's pooled states, or the encoder that training began with.
pub(crate) const UNTRAINED: &str = "untrained";
/// The retriever that training began with, where that was made from nothing.
pub(crate) const FRESH: &str = "fresh";
pub(crate) const FUSED: &str = "fused";

/// What BM25's normalised scores may weigh beside the retriever's 1; the dev split chooses.
const WEIGHTS: [f32; 8] = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0];

const FUSION: Fusion = Fusion::WeightedSum { normalisation: Normalisation::MinMax };

/// Everything that was measured.
pub(crate) struct Measured {
    pub(crate) test: HeldOut,
    pub(crate) systems: IndexMap<&'static str, Evaluation>,
    /// What the kept retriever found.
    pub(crate) kept: Rankings,
    /// BM25's weight in the fusion, where the retriever's is 1.
    pub(crate) bm25_weight: f32,
    /// BM25's nDCG@10 on the dev split, to compare training curves with.
    pub(crate) dev_bm25: f64,
}

impl Measured {
    /// The result of one system, for comparisons.
    pub(crate) fn result(&self, system: &str) -> Option<EvalResult> {
        Some(EvalResult::new(self.systems.get(system)?.clone(), Default::default()))
    }
}

/// The metrics of the report.
pub(crate) fn metrics() -> Vec<Metric> {
    vec![Metric::NDCG_10, Metric::RECALL_100, Metric::MRR_10]
}

/// Measures every system; `start` is the encoder that training began with, where that was not the language
/// model, and `kept` the retriever that remains.
pub(crate) fn all(
    out: &Path,
    start: Option<&Path>,
    kept: &Remembering<'_>,
    context: &Context,
) -> Result<Measured> {
    let open = |split: &str| {
        let dir = held_out::dir(out, split);
        HeldOut::open(&dir, split, metrics(), &context.progress, &context.interrupt)
    };
    let (dev, test) = (open(held_out::DEV_SPLIT)?, open(held_out::TEST_SPLIT)?);
    let dense =
        |data: &HeldOut, embedder: &dyn Embedder| data.dense(embedder, &context.progress, &context.interrupt);
    let evaluate = |data: &HeldOut, rankings: &Rankings| data.evaluate(&data.run(rankings)?);
    let bm25 = test.bm25(Analyser::Code)?;
    let mut systems = IndexMap::from([(BM25, evaluate(&test, &bm25)?)]);
    let kept_rankings = dense(&test, kept)?;
    for (name, encoder) in stages(out, start)? {
        let same = encoder.fingerprint() == kept.fingerprint();
        context.progress.line(&format!("measuring {name}"));
        let rankings = if same { kept_rankings.clone() } else { dense(&test, &encoder)? };
        systems.insert(name, evaluate(&test, &rankings)?);
    }
    let (dev_bm25, dev_dense) = (dev.bm25(Analyser::Code)?, dense(&dev, kept)?);
    let score = |rankings: &Rankings| ndcg(&evaluate(&dev, rankings)?);
    let fuse = |data: &HeldOut, bm25: &Rankings, dense: &Rankings, weight: f32| {
        data.fused(FUSION, &[(bm25, weight), (dense, 1.0)])
    };
    let mut best: Option<(f64, f32)> = None;
    for weight in WEIGHTS {
        let found = score(&fuse(&dev, &dev_bm25, &dev_dense, weight))?;
        if best.is_none_or(|(most, _)| found > most) {
            best = Some((found, weight));
        }
    }
    let (_, bm25_weight) = best.context("no weight to choose from")?;
    systems.insert(FUSED, evaluate(&test, &fuse(&test, &bm25, &kept_rankings, bm25_weight))?);
    let dev_bm25 = score(&dev_bm25)?;
    Ok(Measured { test, systems, kept: kept_rankings, bm25_weight, dev_bm25 })
}

fn ndcg(evaluation: &Evaluation) -> Result<f64> {
    evaluation.means().get(&Metric::NDCG_10).copied().context("nDCG@10 was not computed")
}

/// The retrievers between the stages, the one that training began with first.
fn stages(out: &Path, start: Option<&Path>) -> Result<Vec<(&'static str, Encoder)>> {
    let device = DeviceChoice::Cpu.open()?;
    let stages = recipe::run(out).join("stages");
    let open = |dir: &Path| Encoder::open(dir, Precision::F32, &device);
    let after = |stage: &str| open(&stages.join(stage).join("encoder"));
    let mut found = Vec::new();
    match start {
        Some(dir) => found.push((UNTRAINED, open(dir)?)),
        None => {
            let warmed = stages.join(recipe::LM).join("lm");
            let lm = LanguageModel::open(&warmed, Precision::F32, &device)?;
            let contract = Contract::of_decoder(&lm.tokenizer, recipe::LENGTH, Pooling::Mean)?;
            found.push((UNTRAINED, Encoder::new(lm.lm.model.into(), lm.tokenizer, contract)?));
            found.push((FRESH, open(&recipe::base_encoder(out))?));
        }
    }
    for stage in [recipe::CONTRASTIVE, recipe::REVELA] {
        found.push((stage, after(stage)?));
    }
    Ok(found)
}
