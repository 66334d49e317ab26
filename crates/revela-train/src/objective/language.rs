//! The language model's side of a step: both streams under given in-batch weights, and their gradients.
//!
//! The weights are a leaf here, whoever made them: the retriever (Revela), or nobody (warm-up with uniform
//! weights). Their gradient is handed back.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use revela_model::causal_lm::CausalLm;
use revela_model::decoder::TokenBatch;
use revela_model::device::lift;
use revela_model::layers::Run;
use revela_model::params::named;
use serde::{Deserialize, Serialize};

use super::{Activations, gradient_or_zeros, leaf, pieces, scalar, surrogate};
use crate::gradients::GradientSet;
use crate::inbatch::forward::{FirstStream, KeysValues, ReadChunks, first_stream, second_stream};
use crate::inbatch::reading::ReadOptions;

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
    /// How chunks read each other.
    pub read: ReadOptions,
    /// What is kept.
    pub activations: Activations,
    /// Kernels and dropout.
    pub run: Run,
}

impl LanguageOptions {
    /// What is wanted of the first stream; of texts that do not read themselves no loss is looked at.
    fn first_stream(&self, is_same: bool) -> FirstStream {
        match (self.terms, self.plain) {
            (LossTerms::InBatch, PlainLoss::Skip) => FirstStream::KeysAndValues,
            (LossTerms::InBatch, PlainLoss::Compute) if !is_same => FirstStream::KeysAndValues,
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
    /// Of the weights, as they were given, `[B, B]`.
    pub weights: Tensor<2>,
}

/// Runs both streams: the first over what is read, the second over what reads it, `[readers, read]`, under weights
/// as the reading takes them (`[B, B]`, f32, without autodiff). Where a batch reads itself, both are the same.
pub fn language_step(
    lm: &CausalLm,
    [readers, read]: [&TokenBatch; 2],
    weights: Tensor<2>,
    options: &LanguageOptions,
) -> LanguageStep {
    let like = lm.model.norm.weight.val().unsqueeze::<2>();
    let weights = leaf(weights, &like);
    let mut step = match options.activations {
        Activations::Keep => keep(lm, [readers, read], &weights, options),
        Activations::Recompute { chunks } => recompute(lm, [readers, read], &weights, options, chunks.max(1)),
    };
    if readers != read {
        // The first stream's loss is of other texts than the second's.
        step.plain = alone(lm, readers, options);
    }
    step
}

/// The loss of texts that read nothing, to be logged.
fn alone(lm: &CausalLm, readers: &TokenBatch, options: &LanguageOptions) -> f64 {
    if options.plain == PlainLoss::Skip {
        return f64::NAN;
    }
    let lm = lm.valid();
    scalar(lm.loss(lm.model.forward(readers, options.run), readers, options.run))
}

/// One graph, one backward pass.
fn keep(
    lm: &CausalLm,
    [readers, read]: [&TokenBatch; 2],
    weights: &Tensor<2>,
    options: &LanguageOptions,
) -> LanguageStep {
    let (layers, hidden) = first_stream(&lm.model, read, options.first_stream(readers == read), options.run);
    let chunks = ReadChunks { packing: read.packing.clone(), layers: &layers };
    let hidden_readers = second_stream(&lm.model, readers, &chunks, weights, options.read, options.run);
    let inbatch = lm.loss(hidden_readers, readers, options.run);
    let plain = hidden.map(|hidden| match options.terms {
        LossTerms::Both => lm.loss(hidden, read, options.run),
        // Only looked at, outside the graph.
        LossTerms::InBatch => lm.valid().loss(hidden.inner(), read, options.run),
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
        weights: gradient_or_zeros(weights, &mut grads),
    }
}

/// The same in pieces: the first stream runs without a graph, its keys and values become leaves of the
/// second stream, and when their gradients are known it runs again, piece by piece, to pass them on. Nothing of
/// that where the language model is frozen.
fn recompute(
    lm: &CausalLm,
    [readers, read]: [&TokenBatch; 2],
    weights: &Tensor<2>,
    options: &LanguageOptions,
    chunks: usize,
) -> LanguageStep {
    let wanted = options.first_stream(readers == read);
    let mut first = FirstPass::new(lm, read, wanted, options, chunks);
    let mut step = second_pass(lm, [readers, read], &mut first, weights, options, chunks);
    step.gradients.add(first.backward(lm, read, options, chunks));
    step.plain = first.plain;
    step.loss = match options.terms {
        LossTerms::InBatch => step.inbatch,
        LossTerms::Both => step.inbatch + step.plain,
    };
    step
}

/// The first stream's results: keys and values as leaves, and their gradients once they are known.
struct FirstPass {
    layers: Vec<KeysValues>,
    /// Empty where the language model is frozen.
    gradients: Vec<Option<KeysValues>>,
    plain: f64,
}

impl FirstPass {
    fn new(
        lm: &CausalLm,
        batch: &TokenBatch,
        wanted: FirstStream,
        options: &LanguageOptions,
        chunks: usize,
    ) -> Self {
        let is_trained = named(lm).iter().any(|(_, parameter)| parameter.is_trained());
        let (like, lm) = (lm.model.norm.weight.val().unsqueeze::<2>(), lm.valid());
        let mut parts: Vec<Vec<KeysValues>> = Vec::new();
        let mut plain = 0.0;
        for range in pieces(batch.packing.sequences(), chunks) {
            let piece = batch.range(range);
            let (layers, hidden) = first_stream(&lm.model, &piece, wanted, options.run);
            parts.push(layers);
            let loss = hidden.map_or(f64::NAN, |h| scalar(lm.loss(h, &piece, options.run)));
            plain += loss * share(&piece, batch);
        }
        let join = |layer: usize, pick: fn(&KeysValues) -> &Tensor<2>| {
            let whole = Tensor::cat(parts.iter().map(|p| pick(&p[layer]).clone()).collect(), 0);
            if is_trained { leaf(whole, &like) } else { lift(whole, &like.device()) }
        };
        let layers: Vec<KeysValues> = (0..lm.model.layers.len())
            .map(|layer| KeysValues { k: join(layer, |kv| &kv.k), v: join(layer, |kv| &kv.v) })
            .collect();
        let gradients = if is_trained { layers.iter().map(|_| None).collect() } else { Vec::new() };
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
        let mut sum = GradientSet::default();
        if self.gradients.is_empty() {
            return sum;
        }
        let wanted = match options.terms {
            LossTerms::InBatch => FirstStream::KeysAndValues,
            LossTerms::Both => FirstStream::Whole,
        };
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
pub(super) fn share(piece: &TokenBatch, whole: &TokenBatch) -> f64 {
    let targets =
        |batch: &TokenBatch| batch.packing.lengths().iter().map(|l| l.saturating_sub(1)).sum::<usize>();
    targets(piece) as f64 / targets(whole).max(1) as f64
}

fn second_pass(
    lm: &CausalLm,
    [readers, read]: [&TokenBatch; 2],
    first: &mut FirstPass,
    weights: &Tensor<2>,
    options: &LanguageOptions,
    chunks: usize,
) -> LanguageStep {
    let mut result = LanguageStep {
        loss: 0.0,
        plain: 0.0,
        inbatch: 0.0,
        gradients: GradientSet::default(),
        weights: weights.clone().inner().zeros_like(),
    };
    for range in pieces(readers.packing.sequences(), chunks) {
        let piece = readers.range(range.clone());
        let own = weights.clone().narrow(0, range.start, range.len());
        let total = {
            let from = ReadChunks { packing: read.packing.clone(), layers: &first.layers };
            let hidden = second_stream(&lm.model, &piece, &from, &own, options.read, options.run);
            lm.loss(hidden, &piece, options.run).mul_scalar(share(&piece, readers))
        };
        let mut grads = total.backward();
        result.inbatch += scalar(total);
        result.gradients.add(GradientSet::take(lm, &mut grads));
        result.weights = result.weights + gradient_or_zeros(weights, &mut grads);
        first.collect(&mut grads);
    }
    result
}
