//! One batch through a stage's objective.

use revela_base::embed::TextKind;
use revela_base::seed::Seed;
use revela_model::layers::Run;
use revela_text::ChunkGroup;

use crate::config::{ObjectiveConfig, StageConfig};
use crate::error::Result;
use crate::inbatch::weights::{entropy, related_share};
use crate::models::Models;
use crate::objective::contrastive::{self, ContrastiveOptions, CropPairs, crops};
use crate::objective::embedding::EmbedOptions;
use crate::objective::language::{LanguageOptions, LossTerms, PlainLoss};
use crate::objective::revela::{self, RevelaBatch, RevelaOptions};
use crate::objective::{StepResult, lm};

/// Where in a stage a batch stands.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Everything random in the batch comes from this.
    pub seed: Seed,
    /// Part of the stage that is done, 0 to 1.
    pub part: f64,
}

/// A batch's result, and the tokens that went through the models.
pub struct BatchResult {
    /// Losses and gradients.
    pub result: StepResult,
    /// Tokens of all models' batches.
    pub tokens: usize,
}

/// Runs a batch of groups.
pub fn run(stage: &StageConfig, models: &Models, groups: &[ChunkGroup], place: Place) -> Result<BatchResult> {
    let texts: Vec<&str> = groups.iter().flat_map(|g| g.chunks.iter().map(|c| c.text.as_str())).collect();
    let group_size = groups.first().map_or(1, |g| g.chunks.len());
    let run = models.run(place.seed.derive("dropout"));
    match stage.objective {
        ObjectiveConfig::Revela { tau, terms, cross, query } => {
            let batch = RevelaBatch {
                lm: models.lm_batch(&texts)?,
                passage: models.retriever_batch(TextKind::Passage, &texts)?,
                query: models.query_batch(query, &texts)?,
            };
            let options = RevelaOptions {
                tau: tau.at(place.part),
                embed: embed_options(stage, models, run)?,
                language: language_options(stage, terms, cross, run),
            };
            let tokens = batch.lm.ids.len() + batch.passage.ids.len() + batch.query.ids.len();
            let (mut result, w) =
                revela::step(&models.lm()?.lm, &models.retriever()?.model, &batch, &options);
            result.numbers.push(("tau", options.tau));
            result.numbers.push(("weights_entropy", entropy(&w)));
            result.numbers.push(("weights_related", related_share(&w, group_size)));
            Ok(BatchResult { result, tokens })
        }
        ObjectiveConfig::Contrastive { tau, crop, .. } => {
            let mut stream = place.seed.stream("crops");
            let pairs = texts.iter().map(|text| crops(text, crop, &mut stream));
            let (queries, passages): (Vec<&str>, Vec<&str>) = pairs.map(|[a, b]| (a, b)).unzip();
            let pairs = CropPairs {
                query: models.retriever_batch(TextKind::Query, &queries)?,
                passage: models.retriever_batch(TextKind::Passage, &passages)?,
            };
            let options =
                ContrastiveOptions { tau: tau.at(place.part), embed: embed_options(stage, models, run)? };
            let tokens = pairs.query.ids.len() + pairs.passage.ids.len();
            let mut result = contrastive::step(&models.retriever()?.model, &pairs, &options);
            result.numbers.push(("tau", options.tau));
            Ok(BatchResult { result, tokens })
        }
        ObjectiveConfig::Lm { neighbours, terms, cross } => {
            let batch = models.lm_batch(&texts)?;
            let options = language_options(stage, terms, cross, run);
            let result = lm::step(&models.lm()?.lm, &batch, group_size, neighbours, &options);
            Ok(BatchResult { result, tokens: batch.ids.len() })
        }
    }
}

fn embed_options(stage: &StageConfig, models: &Models, run: Run) -> Result<EmbedOptions> {
    Ok(EmbedOptions { pooling: models.retriever()?.contract.pooling, activations: stage.activations, run })
}

fn language_options(
    stage: &StageConfig,
    terms: LossTerms,
    cross: crate::inbatch::attention::CrossOptions,
    run: Run,
) -> LanguageOptions {
    LanguageOptions { terms, plain: PlainLoss::Compute, cross, activations: stage.activations, run }
}

/// What of a step is no number any more, if anything is: a part of the loss before the loss itself, which says less.
pub(crate) fn diverged(loss: f64, norms: [f64; 2], numbers: &[(&str, f64)]) -> Option<(String, f64)> {
    let bad = |(_, value): &(&str, f64)| !value.is_finite();
    if !loss.is_finite() {
        let parts = numbers.iter().filter(|(name, _)| name.starts_with("loss"));
        let (name, value) = parts.copied().find(bad).unwrap_or(("loss", loss));
        return Some((format!("the loss ({name} in the log)"), value));
    }
    let named = [("the retriever", norms[0]), ("the language model", norms[1])];
    let (model, value) = named.into_iter().find(bad)?;
    Some((format!("the norm of the gradient of {model}, at a loss of {loss:.4},"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_diverged_is_named_as_the_log_names_it() {
        let numbers = [("loss_plain", 2.0), ("loss_inbatch", f64::NAN), ("tau", f64::NAN)];
        let (what, value) = diverged(f64::NAN, [1.0, 1.0], &numbers).unwrap();
        assert!(what.contains("loss_inbatch") && value.is_nan());
        assert!(diverged(f64::INFINITY, [1.0, 1.0], &[("accuracy", 0.5)]).unwrap().0.contains("(loss "));
        let (what, value) = diverged(3.25, [1.0, f64::INFINITY], &numbers[..1]).unwrap();
        assert!(what.contains("language model") && what.contains("3.2500") && value.is_infinite());
        assert!(diverged(3.0, [0.0, 1.0], &numbers).is_none());
    }
}
