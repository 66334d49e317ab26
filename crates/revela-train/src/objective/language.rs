//! The language model's side of a step: both streams under given in-batch weights, and their gradients.
//!
//! The weights are a leaf here, whoever made them: the retriever (Revela), or nobody (warm-up with uniform
//! weights). Their gradient is handed back.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use revela_model::causal_lm::CausalLm;
use revela_model::decoder::TokenBatch;
use revela_model::layers::Run;
use serde::{Deserialize, Serialize};

use super::{Activations, gradient_or_zeros, leaf, pieces, scalar, surrogate};
use crate::gradients::GradientSet;
use crate::inbatch::attention::CrossOptions;
use crate::inbatch::forward::{FirstStream, KeysValues, ReadChunks, first_stream, second_stream};

/// Which losses are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossTerms {
    /// The second stream's loss.
    #[default]
    InBatch,
    /// The loss of both streams (`dual_loss`).
    Both,
}

/// Whether the first stream's loss is computed where it is not part of what is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainLoss {
    /// It is, to be logged.
    Compute,
    /// It is not; its number is NaN.
    Skip,
}

/// How the language model's side is computed.
#[derive(Debug, Clone, Copy)]
pub struct LanguageOptions {
    /// Losses.
    pub terms: LossTerms,
    /// What to do with a loss that is not among them.
    pub plain: PlainLoss,
    /// The cross path.
    pub cross: CrossOptions,
    /// What is kept.
    pub activations: Activations,
    /// Kernels and dropout.
    pub run: Run,
}

impl LanguageOptions {
    fn first_stream(&self) -> FirstStream {
        match (self.terms, self.plain) {
            (LossTerms::InBatch, PlainLoss::Skip) => FirstStream::KeysAndValues,
            _ => FirstStream::Whole,
        }
    }
}

/// Losses (nats per token) and gradients.
#[derive(Debug)]
pub struct LanguageStep {
    /// What was minimised.
    pub loss: f64,
    /// The first stream's loss.
    pub plain: f64,
    /// The second stream's loss.
    pub inbatch: f64,
    /// Of the language model.
    pub gradients: GradientSet,
    /// Of the weights, `[B, B]`.
    pub dw: Tensor<2>,
}

/// Runs both streams of a batch under the weights `w` (`[B, B]`, f32, without autodiff).
pub fn language_step(
    lm: &CausalLm,
    batch: &TokenBatch,
    w: Tensor<2>,
    options: &LanguageOptions,
) -> LanguageStep {
    let like = lm.model.norm.weight.val().unsqueeze::<2>();
    let w = leaf(w, &like);
    match options.activations {
        Activations::Keep => keep(lm, batch, &w, options),
        Activations::Recompute { chunks } => recompute(lm, batch, &w, options, chunks.max(1)),
    }
}

/// One graph, one backward pass.
fn keep(lm: &CausalLm, batch: &TokenBatch, w: &Tensor<2>, options: &LanguageOptions) -> LanguageStep {
    let (layers, hidden) = first_stream(&lm.model, batch, options.first_stream(), options.run);
    let read = ReadChunks { packing: batch.packing.clone(), layers: &layers };
    let inbatch =
        lm.loss(second_stream(&lm.model, batch, &read, w, options.cross, options.run), batch, options.run);
    let plain = hidden.map(|hidden| match options.terms {
        LossTerms::Both => lm.loss(hidden, batch, options.run),
        // Only looked at, outside the graph.
        LossTerms::InBatch => lm.valid().loss(hidden.inner(), batch, options.run),
    });
    let total = match (&plain, options.terms) {
        (Some(plain), LossTerms::Both) => inbatch.clone() + plain.clone(),
        _ => inbatch.clone(),
    };
    let mut grads = total.backward();
    LanguageStep {
        loss: scalar(total),
        plain: plain.map_or(f64::NAN, scalar),
        inbatch: scalar(inbatch),
        gradients: GradientSet::take(lm, &mut grads),
        dw: gradient_or_zeros(w, &mut grads),
    }
}

/// The same in pieces: the first stream runs without a graph, its keys and values become leaves of the
/// second stream, and when their gradients are known it runs again, piece by piece, to pass them on.
fn recompute(
    lm: &CausalLm,
    batch: &TokenBatch,
    w: &Tensor<2>,
    options: &LanguageOptions,
    chunks: usize,
) -> LanguageStep {
    let mut read = FirstPass::new(lm, batch, options, chunks);
    let mut step = second_pass(lm, batch, &mut read, w, options, chunks);
    step.gradients.add(read.backward(lm, batch, options, chunks));
    step.plain = read.plain;
    step.loss = match options.terms {
        LossTerms::InBatch => step.inbatch,
        LossTerms::Both => step.inbatch + step.plain,
    };
    step
}

/// The first stream's results: keys and values as leaves, and their gradients once they are known.
struct FirstPass {
    layers: Vec<KeysValues>,
    gradients: Vec<Option<KeysValues>>,
    plain: f64,
}

impl FirstPass {
    fn new(lm: &CausalLm, batch: &TokenBatch, options: &LanguageOptions, chunks: usize) -> Self {
        let (like, lm) = (lm.model.norm.weight.val().unsqueeze::<2>(), lm.valid());
        let mut parts: Vec<Vec<KeysValues>> = Vec::new();
        let mut plain = 0.0;
        for range in pieces(batch.packing.sequences(), chunks) {
            let piece = batch.range(range);
            let (layers, hidden) = first_stream(&lm.model, &piece, options.first_stream(), options.run);
            parts.push(layers);
            let loss = hidden.map_or(f64::NAN, |h| scalar(lm.loss(h, &piece, options.run)));
            plain += loss * share(&piece, batch);
        }
        let join = |layer: usize, pick: fn(&KeysValues) -> &Tensor<2>| {
            leaf(Tensor::cat(parts.iter().map(|p| pick(&p[layer]).clone()).collect(), 0), &like)
        };
        let layers: Vec<KeysValues> = (0..lm.model.layers.len())
            .map(|layer| KeysValues { k: join(layer, |kv| &kv.k), v: join(layer, |kv| &kv.v) })
            .collect();
        let gradients = layers.iter().map(|_| None).collect();
        Self { layers, gradients, plain }
    }

    fn collect(&mut self, grads: &mut Gradients) {
        for (layer, sum) in self.layers.iter().zip(&mut self.gradients) {
            let (k, v) = (gradient_or_zeros(&layer.k, grads), gradient_or_zeros(&layer.v, grads));
            *sum = Some(match sum.take() {
                Some(own) => KeysValues { k: own.k + k, v: own.v + v },
                None => KeysValues { k, v },
            });
        }
    }

    fn backward(
        &self,
        lm: &CausalLm,
        batch: &TokenBatch,
        options: &LanguageOptions,
        chunks: usize,
    ) -> GradientSet {
        let wanted = match options.terms {
            LossTerms::InBatch => FirstStream::KeysAndValues,
            LossTerms::Both => FirstStream::Whole,
        };
        let mut sum = GradientSet::default();
        for range in pieces(batch.packing.sequences(), chunks) {
            let starts = batch.packing.starts();
            let (from, rows) = (starts[range.start], starts[range.end] - starts[range.start]);
            let piece = batch.range(range);
            let (layers, hidden) = first_stream(&lm.model, &piece, wanted, options.run);
            let cut = |t: &Tensor<2>| t.clone().narrow(0, from, rows);
            let terms = layers.iter().zip(&self.gradients).filter_map(|(own, gradient)| {
                let gradient = gradient.as_ref()?;
                Some(
                    surrogate(own.k.clone(), &cut(&gradient.k)) + surrogate(own.v.clone(), &cut(&gradient.v)),
                )
            });
            let plain = hidden.map(|h| lm.loss(h, &piece, options.run).mul_scalar(share(&piece, batch)));
            if let Some(total) = terms.chain(plain).reduce(|a, b| a + b) {
                sum.add(GradientSet::take(lm, &mut total.backward()));
            }
        }
        sum
    }
}

/// The part of the batch's targets that a piece has: what its mean loss weighs in the whole mean.
fn share(piece: &TokenBatch, whole: &TokenBatch) -> f64 {
    let targets =
        |batch: &TokenBatch| batch.packing.lengths().iter().map(|l| l.saturating_sub(1)).sum::<usize>();
    targets(piece) as f64 / targets(whole).max(1) as f64
}

fn second_pass(
    lm: &CausalLm,
    batch: &TokenBatch,
    read: &mut FirstPass,
    w: &Tensor<2>,
    options: &LanguageOptions,
    chunks: usize,
) -> LanguageStep {
    let mut result = LanguageStep {
        loss: 0.0,
        plain: 0.0,
        inbatch: 0.0,
        gradients: GradientSet::default(),
        dw: w.clone().inner().zeros_like(),
    };
    for range in pieces(batch.packing.sequences(), chunks) {
        let piece = batch.range(range.clone());
        let own = w.clone().narrow(0, range.start, range.len());
        let total = {
            let from = ReadChunks { packing: batch.packing.clone(), layers: &read.layers };
            let hidden = second_stream(&lm.model, &piece, &from, &own, options.cross, options.run);
            lm.loss(hidden, &piece, options.run).mul_scalar(share(&piece, batch))
        };
        let mut grads = total.backward();
        result.inbatch += scalar(total);
        result.gradients.add(GradientSet::take(lm, &mut grads));
        result.dw = result.dw + gradient_or_zeros(w, &mut grads);
        read.collect(&mut grads);
    }
    result
}
