//! The Revela objective: next-token prediction with in-batch attention, weighted by the retriever
//! (Cai et al., arXiv:2506.16552, section 3).

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use revela_model::causal_lm::CausalLm;
use revela_model::decoder::{Decoder, TokenBatch};
use revela_model::device::lift;
use revela_model::layers::Run;
use revela_model::pooling::{Pooling, normalize};
use serde::{Deserialize, Serialize};

use super::{Activations, StepResult};
use crate::gradients::GradientSet;
use crate::inbatch::attention::CrossOptions;
use crate::inbatch::forward::{FirstStream, KeysValues, ReadChunks, first_stream, second_stream};
use crate::inbatch::weights::{InBatchWeights, entropy, inbatch_weights};

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

/// The chunks of a batch, as each side wants them.
#[derive(Debug, Clone)]
pub struct RevelaBatch {
    /// For the language model.
    pub lm: TokenBatch,
    /// For the retriever, as passages.
    pub passage: TokenBatch,
    /// For the retriever, as queries.
    pub query: TokenBatch,
}

/// How a step is computed.
#[derive(Debug, Clone, Copy)]
pub struct RevelaOptions {
    /// Temperature of the weights.
    pub tau: f64,
    /// Pooling of the retriever.
    pub pooling: Pooling,
    /// Losses.
    pub terms: LossTerms,
    /// The cross path.
    pub cross: CrossOptions,
    /// What is kept.
    pub activations: Activations,
    /// Kernels and dropout.
    pub run: Run,
}

/// Everything a step computes before its gradients.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Passage embeddings, `[B, d]`.
    pub passage: Tensor<2>,
    /// Query embeddings, `[B, d]`.
    pub query: Tensor<2>,
    /// Similarities and weights.
    pub weights: InBatchWeights,
    /// Final hidden states of the first stream.
    pub plain_hidden: Tensor<2>,
    /// Final hidden states of the second stream.
    pub inbatch_hidden: Tensor<2>,
    /// Loss of the first stream, `[1]`.
    pub plain: Tensor<1>,
    /// Loss of the second stream, `[1]`.
    pub inbatch: Tensor<1>,
    /// What is minimised, `[1]`.
    pub total: Tensor<1>,
}

/// Unit embeddings of a batch of texts, `[B, d]`.
pub fn embed(retriever: &Decoder, batch: &TokenBatch, options: &RevelaOptions) -> Tensor<2> {
    let hidden = retriever.forward(batch, options.run);
    normalize(options.pooling.pool(hidden, &batch.packing, options.run))
}

/// The step as one graph.
pub fn forward(lm: &CausalLm, retriever: &Decoder, batch: &RevelaBatch, options: &RevelaOptions) -> Forward {
    let passage = embed(retriever, &batch.passage, options);
    let query = embed(retriever, &batch.query, options);
    let weights = inbatch_weights(query.clone(), passage.clone(), options.tau);
    let (layers, plain_hidden) = first_stream(&lm.model, &batch.lm, FirstStream::Whole, options.run);
    let plain_hidden = plain_hidden.unwrap_or_else(|| unreachable!("the whole stream was asked for"));
    let read = ReadChunks { packing: batch.lm.packing.clone(), layers: &layers };
    let inbatch_hidden =
        second_stream(&lm.model, &batch.lm, &read, &weights.weights, options.cross, options.run);
    let plain = lm.loss(plain_hidden.clone(), &batch.lm, options.run);
    let inbatch = lm.loss(inbatch_hidden.clone(), &batch.lm, options.run);
    let total = match options.terms {
        LossTerms::InBatch => inbatch.clone(),
        LossTerms::Both => inbatch.clone() + plain.clone(),
    };
    Forward { passage, query, weights, plain_hidden, inbatch_hidden, plain, inbatch, total }
}

/// Losses and gradients of one batch.
pub fn step(lm: &CausalLm, retriever: &Decoder, batch: &RevelaBatch, options: &RevelaOptions) -> StepResult {
    match options.activations {
        Activations::Keep => keep(lm, retriever, batch, options),
        Activations::Recompute { chunks } => recompute(lm, retriever, batch, options, chunks.max(1)),
    }
}

fn keep(lm: &CausalLm, retriever: &Decoder, batch: &RevelaBatch, options: &RevelaOptions) -> StepResult {
    let f = forward(lm, retriever, batch, options);
    let mut grads = f.total.backward();
    StepResult {
        loss: scalar(f.total),
        lm: GradientSet::take(lm, &mut grads),
        retriever: GradientSet::take(retriever, &mut grads),
        numbers: numbers(&f.weights.weights, scalar(f.plain), scalar(f.inbatch)),
    }
}

fn numbers(weights: &Tensor<2>, plain: f64, inbatch: f64) -> Vec<(&'static str, f64)> {
    vec![("loss_plain", plain), ("loss_inbatch", inbatch), ("weights_entropy", entropy(weights))]
}

fn scalar(tensor: Tensor<1>) -> f64 {
    f64::from(tensor.into_scalar::<f32>())
}

/// The same gradients in pieces. Each stage runs once without a graph, its results become leaves of the
/// next stage, and when their gradients are known it runs again, piece by piece, to pass them on.
fn recompute(
    lm: &CausalLm,
    retriever: &Decoder,
    batch: &RevelaBatch,
    options: &RevelaOptions,
    chunks: usize,
) -> StepResult {
    let mut retriever_part = Embedded::new(retriever, batch, options, chunks);
    let w =
        inbatch_weights(retriever_part.query.clone(), retriever_part.passage.clone(), options.tau).weights;
    let mut read = FirstPass::new(lm, batch, options, chunks);
    let w_leaf = leaf(w.clone().inner(), &w);
    let second = second_pass(lm, batch, &mut read, &w_leaf, options, chunks);
    let mut gradients = second.gradients;
    gradients.add(read.backward(lm, batch, options, chunks));
    let mut grads = surrogate(w.clone(), &second.dw).backward();
    let plain = read.plain;
    StepResult {
        loss: match options.terms {
            LossTerms::InBatch => second.loss,
            LossTerms::Both => second.loss + plain,
        },
        lm: gradients,
        retriever: retriever_part.backward(&mut grads, retriever, batch, options, chunks),
        numbers: numbers(&w, plain, second.loss),
    }
}

/// Ranges of at most `size` that cover `0..n`.
fn pieces(n: usize, size: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..n).step_by(size).map(move |from| from..(from + size).min(n))
}

/// A constant as a new leaf of the same autodiff context as `like`.
fn leaf(tensor: Tensor<2>, like: &Tensor<2>) -> Tensor<2> {
    lift(tensor, &like.device()).require_grad()
}

/// A number whose gradient with respect to `tensor` is `gradient`.
fn surrogate(tensor: Tensor<2>, gradient: &Tensor<2>) -> Tensor<1> {
    let gradient = lift(gradient.clone(), &tensor.device());
    (tensor * gradient).sum()
}

fn gradient_or_zeros(leaf: &Tensor<2>, grads: &mut Gradients) -> Tensor<2> {
    leaf.grad_remove(grads).unwrap_or_else(|| leaf.clone().inner().zeros_like())
}

/// The retriever's side: embeddings as leaves.
struct Embedded {
    passage: Tensor<2>,
    query: Tensor<2>,
}

impl Embedded {
    fn new(retriever: &Decoder, batch: &RevelaBatch, options: &RevelaOptions, chunks: usize) -> Self {
        let plain = retriever.valid();
        let like = retriever.norm.weight.val().unsqueeze::<2>();
        let all = |texts: &TokenBatch| {
            let parts =
                pieces(texts.packing.sequences(), chunks).map(|r| embed(&plain, &texts.range(r), options));
            leaf(Tensor::cat(parts.collect(), 0), &like)
        };
        Self { passage: all(&batch.passage), query: all(&batch.query) }
    }

    fn backward(
        &mut self,
        grads: &mut Gradients,
        retriever: &Decoder,
        batch: &RevelaBatch,
        options: &RevelaOptions,
        chunks: usize,
    ) -> GradientSet {
        let mut sum = GradientSet::default();
        for (leaf, texts) in [(&self.passage, &batch.passage), (&self.query, &batch.query)] {
            let gradient = gradient_or_zeros(leaf, grads);
            for range in pieces(texts.packing.sequences(), chunks) {
                let part = gradient.clone().narrow(0, range.start, range.len());
                let embedded = embed(retriever, &texts.range(range), options);
                let mut grads = surrogate(embedded, &part).backward();
                sum.add(GradientSet::take(retriever, &mut grads));
            }
        }
        sum
    }
}

/// The first stream's results: keys and values as leaves, and their gradients once they are known.
struct FirstPass {
    layers: Vec<KeysValues>,
    gradients: Vec<Option<KeysValues>>,
    plain: f64,
}

impl FirstPass {
    fn new(lm: &CausalLm, batch: &RevelaBatch, options: &RevelaOptions, chunks: usize) -> Self {
        let (like, lm) = (lm.model.norm.weight.val().unsqueeze::<2>(), lm.valid());
        let mut parts: Vec<Vec<KeysValues>> = Vec::new();
        let mut plain = 0.0;
        for range in pieces(batch.lm.packing.sequences(), chunks) {
            let piece = batch.lm.range(range);
            let (layers, hidden) = first_stream(&lm.model, &piece, FirstStream::Whole, options.run);
            parts.push(layers);
            let loss = hidden.map_or(0.0, |h| scalar(lm.loss(h, &piece, options.run)));
            plain += loss * share(&piece, &batch.lm);
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
        batch: &RevelaBatch,
        options: &RevelaOptions,
        chunks: usize,
    ) -> GradientSet {
        let wanted = match options.terms {
            LossTerms::InBatch => FirstStream::KeysAndValues,
            LossTerms::Both => FirstStream::Whole,
        };
        let mut sum = GradientSet::default();
        for range in pieces(batch.lm.packing.sequences(), chunks) {
            let starts = batch.lm.packing.starts();
            let (from, rows) = (starts[range.start], starts[range.end] - starts[range.start]);
            let piece = batch.lm.range(range);
            let (layers, hidden) = first_stream(&lm.model, &piece, wanted, options.run);
            let cut = |t: &Tensor<2>| t.clone().narrow(0, from, rows);
            let terms = layers.iter().zip(&self.gradients).filter_map(|(own, gradient)| {
                let gradient = gradient.as_ref()?;
                Some(
                    surrogate(own.k.clone(), &cut(&gradient.k)) + surrogate(own.v.clone(), &cut(&gradient.v)),
                )
            });
            let plain = hidden.map(|h| lm.loss(h, &piece, options.run).mul_scalar(share(&piece, &batch.lm)));
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

struct SecondPass {
    gradients: GradientSet,
    dw: Tensor<2>,
    loss: f64,
}

fn second_pass(
    lm: &CausalLm,
    batch: &RevelaBatch,
    read: &mut FirstPass,
    w: &Tensor<2>,
    options: &RevelaOptions,
    chunks: usize,
) -> SecondPass {
    let mut result =
        SecondPass { gradients: GradientSet::default(), dw: w.clone().inner().zeros_like(), loss: 0.0 };
    for range in pieces(batch.lm.packing.sequences(), chunks) {
        let piece = batch.lm.range(range.clone());
        let own = w.clone().narrow(0, range.start, range.len());
        let total = {
            let from = ReadChunks { packing: batch.lm.packing.clone(), layers: &read.layers };
            let hidden = second_stream(&lm.model, &piece, &from, &own, options.cross, options.run);
            lm.loss(hidden, &piece, options.run).mul_scalar(share(&piece, &batch.lm))
        };
        let mut grads = total.backward();
        result.loss += scalar(total);
        result.gradients.add(GradientSet::take(lm, &mut grads));
        result.dw = result.dw + gradient_or_zeros(w, &mut grads);
        read.collect(&mut grads);
    }
    result
}
