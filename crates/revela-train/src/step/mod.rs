//! One batch through a stage's objective: each objective has a file that draws its batches and runs them.

mod contrastive;
mod likelihood;
mod lm;
mod revela;

use revela_base::seed::Seed;
use revela_model::layers::Run;
use revela_text::ChunkGroup;

use crate::config::{ObjectiveConfig, StageConfig};
use crate::error::Result;
use crate::inbatch::reading::ReadOptions;
use crate::models::Models;
use crate::objective::StepResult;
use crate::objective::embedding::EmbedOptions;
use crate::objective::language::{LanguageOptions, LossTerms, PlainLoss};
use crate::targets::Targets;

/// What a step works with.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// The stage.
    pub stage: &'a StageConfig,
    /// The models.
    pub models: &'a Models,
    /// What a teacher said before, where the run has that.
    pub targets: Option<&'a Targets>,
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

/// Draws a batch: `next` gives so many groups in the run's order.
pub fn draw(
    stage: &StageConfig,
    group_size: usize,
    seed: Seed,
    next: impl FnOnce(usize) -> Result<Vec<ChunkGroup>>,
) -> Result<Vec<ChunkGroup>> {
    match &stage.objective {
        ObjectiveConfig::Contrastive(config) => {
            contrastive::draw(config, stage.batch_groups, group_size, seed, next)
        }
        ObjectiveConfig::Revela(_) | ObjectiveConfig::Likelihood(_) | ObjectiveConfig::Lm(_) => {
            next(stage.batch_groups)
        }
    }
}

impl Step<'_> {
    /// Runs a batch of groups.
    pub fn run(&self, groups: &[ChunkGroup]) -> Result<BatchResult> {
        match &self.stage.objective {
            ObjectiveConfig::Revela(config) => self.revela(config, groups),
            ObjectiveConfig::Contrastive(config) => self.contrastive(config, groups),
            ObjectiveConfig::Likelihood(config) => self.likelihood(config, groups),
            ObjectiveConfig::Lm(config) => self.language(config, groups),
        }
    }

    fn forward(&self) -> Run {
        self.models.run(self.seed.derive("dropout"))
    }

    fn embed_options(&self) -> Result<EmbedOptions> {
        Ok(EmbedOptions {
            pooling: self.models.retriever()?.contract.pooling,
            activations: self.stage.activations,
            run: self.forward(),
        })
    }

    fn language_options(&self, terms: LossTerms, read: ReadOptions) -> LanguageOptions {
        LanguageOptions {
            terms,
            plain: PlainLoss::Compute,
            read,
            activations: self.stage.activations,
            run: self.forward(),
        }
    }
}

/// The chunks of all groups.
fn texts(groups: &[ChunkGroup]) -> Vec<&str> {
    groups.iter().flat_map(|g| g.chunks.iter().map(|c| c.text.as_str())).collect()
}

fn group_size(groups: &[ChunkGroup]) -> usize {
    groups.first().map_or(1, |g| g.chunks.len())
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
