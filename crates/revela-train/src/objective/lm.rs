//! Warm-up of the language model: next-token prediction with the cross path on, under uniform weights over
//! the chunks of the same group.
//!
//! A retriever can only be taught by a language model that already gains from reading its neighbours:
//! without the cross path here, the first thing the retriever learns is to avoid them.

use burn::tensor::{Tensor, TensorData};
use revela_model::causal_lm::CausalLm;
use revela_model::decoder::TokenBatch;

use super::StepResult;
use super::language::{LanguageOptions, language_step};

/// What chunks read in the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Neighbours {
    /// The other chunks of their group, all equally.
    #[default]
    Group,
    /// Nothing: a plain language model.
    None,
}

/// Losses and gradients of one batch of groups.
pub fn step(
    lm: &CausalLm,
    batch: &TokenBatch,
    group_size: usize,
    neighbours: Neighbours,
    options: &LanguageOptions,
) -> StepResult {
    let w = group_weights(batch.packing.sequences(), group_size, neighbours, lm);
    let language = language_step(lm, batch, w, options);
    StepResult {
        loss: language.loss,
        lm: language.gradients,
        numbers: vec![("loss_plain", language.plain), ("loss_inbatch", language.inbatch)],
        ..StepResult::default()
    }
}

/// `[B, B]`: equal weights over the other chunks of a group.
fn group_weights(chunks: usize, group_size: usize, neighbours: Neighbours, lm: &CausalLm) -> Tensor<2> {
    let group_size = group_size.clamp(1, chunks.max(1));
    let others = group_size.saturating_sub(1).max(1) as f32;
    let weight = |i: usize, j: usize| {
        let related = i != j && i / group_size == j / group_size && neighbours == Neighbours::Group;
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

    use crate::inbatch::attention::CrossOptions;
    use crate::objective::Activations;
    use crate::objective::language::{LossTerms, PlainLoss};

    fn model() -> CausalLm {
        let device = Device::flex().autodiff();
        draw(CausalLm::zeros(Arc::new(tiny_config()), &device), Seed(1), &device)
    }

    fn options() -> LanguageOptions {
        LanguageOptions {
            terms: LossTerms::InBatch,
            plain: PlainLoss::Compute,
            cross: CrossOptions::default(),
            activations: Activations::Keep,
            run: Run::training(0),
        }
    }

    #[test]
    fn weights_stay_inside_groups() {
        let w = group_weights(6, 3, Neighbours::Group, &model()).into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(w[..6], [0.0, 0.5, 0.5, 0.0, 0.0, 0.0]);
        assert_eq!(w[24..30], [0.0, 0.0, 0.0, 0.5, 0.0, 0.5]);
    }

    #[test]
    fn reading_nothing_is_exactly_the_plain_model() {
        let lm = model();
        let batch = TokenBatch::packed(&[vec![5, 6, 7, 8], vec![9, 10, 11], vec![12, 13]]);
        let result = step(&lm, &batch, 3, Neighbours::None, &options());
        let numbers: std::collections::BTreeMap<_, _> = result.numbers.into_iter().collect();
        assert_eq!(numbers["loss_plain"], numbers["loss_inbatch"]);
        let hidden = lm.model.forward(&batch, Run::default());
        let plain = lm.loss(hidden, &batch, Run::default()).into_scalar::<f32>();
        assert_eq!(result.loss, f64::from(plain));
        let reading = step(&lm, &batch, 3, Neighbours::Group, &options());
        assert_ne!(reading.loss, result.loss);
    }
}
