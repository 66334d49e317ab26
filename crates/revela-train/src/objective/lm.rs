//! The language model's own training: next-token prediction of chunks that read the others of their group under
//! uniform weights, of groups joined to one text, or of chunks alone.
//!
//! A retriever can only be taught by a language model that gains from reading its neighbours: with published
//! reading it has to be trained for that here. Joint reading takes whatever a plain model has learnt of long texts.

use burn::tensor::{Tensor, TensorData};
use revela_model::causal_lm::CausalLm;
use revela_model::decoder::TokenBatch;

use super::language::{LanguageOptions, LossTerms, language_step, share};
use super::{Activations, StepResult, pieces, scalar};
use crate::gradients::GradientSet;
use crate::inbatch::reading::{ReadOptions, Reading};

/// What chunks read in the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Neighbours {
    /// The other chunks of their group, all equally.
    #[default]
    Group,
    /// Nothing: a plain language model.
    None,
    /// Those before them in one text: the chunks of a group one after another, as a plain language model reads
    /// them.
    Joined,
}

/// How the language model is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LmConfig {
    /// What chunks read.
    pub neighbours: Neighbours,
    /// Losses.
    pub terms: LossTerms,
    /// How chunks read each other.
    pub read: ReadOptions,
}

/// Losses and gradients of one batch of groups.
pub fn step(
    lm: &CausalLm,
    batch: &TokenBatch,
    group_size: usize,
    neighbours: Neighbours,
    options: &LanguageOptions,
) -> StepResult {
    if neighbours != Neighbours::Group {
        return plain(lm, batch, options);
    }
    let weights = group_weights(batch.packing.sequences(), group_size, lm);
    let weights = match options.read.reading {
        Reading::Joint => weights.log(),
        Reading::Published(_) => weights,
    };
    let language = language_step(lm, [batch, batch], weights, options);
    StepResult {
        loss: language.loss,
        lm: language.gradients,
        numbers: vec![("loss_plain", language.plain), ("loss_inbatch", language.inbatch)],
        ..StepResult::default()
    }
}

/// A plain language model: one stream.
fn plain(lm: &CausalLm, batch: &TokenBatch, options: &LanguageOptions) -> StepResult {
    let chunks = match options.activations {
        Activations::Keep => batch.packing.sequences().max(1),
        Activations::Recompute { chunks } => chunks,
    };
    let mut result = StepResult::default();
    for range in pieces(batch.packing.sequences(), chunks) {
        let piece = batch.range(range);
        let hidden = lm.model.forward(&piece, options.run);
        let loss = lm.loss(hidden, &piece, options.run).mul_scalar(share(&piece, batch));
        let mut grads = loss.backward();
        result.loss += scalar(loss);
        result.lm.add(GradientSet::take(lm, &mut grads));
    }
    result.numbers = vec![("loss_plain", result.loss)];
    result
}

/// `[B, B]`: equal weights over the other chunks of a group.
fn group_weights(chunks: usize, group_size: usize, lm: &CausalLm) -> Tensor<2> {
    let group_size = group_size.clamp(1, chunks.max(1));
    let others = group_size.saturating_sub(1).max(1) as f32;
    let weight = |i: usize, j: usize| {
        let related = i != j && i / group_size == j / group_size;
        if related { 1.0 / others } else { 0.0 }
    };
    let numbers: Vec<f32> = (0..chunks * chunks).map(|at| weight(at / chunks, at % chunks)).collect();
    Tensor::from_data(TensorData::new(numbers, [chunks, chunks]), &lm.model.device().inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use burn::tensor::Device;
    use revela_base::seed::Seed;
    use revela_model::init::draw;
    use revela_model::layers::Run;
    use revela_model::testing::tiny_config;

    use crate::inbatch::reading::ValueNorm;
    use crate::objective::language::PlainLoss;

    fn model() -> CausalLm {
        let device = Device::flex().autodiff();
        draw(CausalLm::zeros(Arc::new(tiny_config()), &device), Seed(1), &device)
    }

    fn options() -> LanguageOptions {
        LanguageOptions {
            terms: LossTerms::InBatch,
            plain: PlainLoss::Compute,
            read: Reading::Published(ValueNorm::Mean).into(),
            activations: Activations::Keep,
            run: Run::training(0),
        }
    }

    #[test]
    fn weights_stay_inside_groups() {
        let w = group_weights(6, 3, &model()).into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(w[..6], [0.0, 0.5, 0.5, 0.0, 0.0, 0.0]);
        assert_eq!(w[24..30], [0.0, 0.0, 0.0, 0.5, 0.0, 0.5]);
    }

    #[test]
    fn reading_nothing_is_exactly_the_plain_model() {
        let lm = model();
        let batch = TokenBatch::packed(&[vec![5, 6, 7, 8], vec![9, 10, 11], vec![12, 13]]);
        let hidden = lm.model.forward(&batch, Run::default());
        let plain = f64::from(lm.loss(hidden, &batch, Run::default()).into_scalar::<f32>());
        let whole = step(&lm, &batch, 3, Neighbours::None, &options());
        assert!((whole.loss - plain).abs() < 1e-6, "{} {plain}", whole.loss);
        let activations = Activations::Recompute { chunks: 2 };
        let cut = step(&lm, &batch, 3, Neighbours::Joined, &LanguageOptions { activations, ..options() });
        assert!((cut.loss - plain).abs() < 1e-6, "{} {plain}", cut.loss);
        assert!((cut.lm.norm() - whole.lm.norm()).abs() < 1e-5 * whole.lm.norm());
        let reading = step(&lm, &batch, 3, Neighbours::Group, &options());
        assert_ne!(reading.loss, whole.loss);
    }
}
