//! The retriever's side of a step: embeddings as leaves, and from their gradients its own.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use revela_model::decoder::TokenBatch;
use revela_model::embedding_model::EmbeddingModel;
use revela_model::layers::Run;
use revela_model::pooling::{Pooling, normalize};

use super::{Activations, gradient_or_zeros, leaf, pieces, surrogate};
use crate::gradients::GradientSet;

/// How texts are embedded.
#[derive(Debug, Clone, Copy)]
pub struct EmbedOptions {
    /// From token states to a vector.
    pub pooling: Pooling,
    /// What is kept.
    pub activations: Activations,
    /// Kernels and dropout.
    pub run: Run,
}

/// Unit embeddings of a batch of texts, `[texts, d]`, f32.
pub fn embed(retriever: &EmbeddingModel, texts: &TokenBatch, options: &EmbedOptions) -> Tensor<2> {
    normalize(retriever.embed(texts, options.pooling, options.run))
}

/// Embeddings of `N` batches of texts, cut off from the retriever.
///
/// Large batches are embedded in pieces without a graph and again, piece by piece, when the gradients of
/// their vectors are known (gradient caching, Gao et al. 2021, arXiv:2101.06983).
pub(super) struct Embeddings<'a, const N: usize> {
    retriever: &'a EmbeddingModel,
    texts: [&'a TokenBatch; N],
    options: EmbedOptions,
    /// Vectors of each batch, leaves of whatever graph is built on them.
    pub(super) leaves: [Tensor<2>; N],
    /// The vectors with their graph, where activations are kept.
    graphs: Option<[Tensor<2>; N]>,
}

impl<'a, const N: usize> Embeddings<'a, N> {
    pub(super) fn new(
        retriever: &'a EmbeddingModel,
        texts: [&'a TokenBatch; N],
        options: EmbedOptions,
    ) -> Self {
        let like = retriever.sample().unsqueeze::<2>();
        let (leaves, graphs) = match options.activations {
            Activations::Keep => {
                let graphs = tagged(texts, options).map(|(texts, options)| embed(retriever, texts, &options));
                (graphs.clone().map(|vectors| leaf(vectors.inner(), &like)), Some(graphs))
            }
            Activations::Recompute { chunks } => {
                let plain = retriever.valid();
                let all = |(texts, options): (&TokenBatch, EmbedOptions)| {
                    let parts = pieces(texts.packing.sequences(), chunks);
                    let parts = parts.map(|range| embed(&plain, &texts.range(range), &options));
                    leaf(Tensor::cat(parts.collect(), 0), &like)
                };
                (tagged(texts, options).map(all), None)
            }
        };
        Self { retriever, texts, options, leaves, graphs }
    }

    /// The retriever's gradients, given a backward pass that reached the leaves.
    pub(super) fn backward(self, grads: &mut Gradients) -> GradientSet {
        let gradients = self.leaves.each_ref().map(|leaf| gradient_or_zeros(leaf, grads));
        if let Some(graphs) = self.graphs {
            let terms = graphs.into_iter().zip(&gradients).map(|(vectors, d)| surrogate(vectors, d));
            return match terms.reduce(|a, b| a + b) {
                Some(total) => GradientSet::take(self.retriever, &mut total.backward()),
                None => GradientSet::default(),
            };
        }
        let Activations::Recompute { chunks } = self.options.activations else {
            return GradientSet::default();
        };
        let mut sum = GradientSet::default();
        for ((texts, options), gradient) in tagged(self.texts, self.options).into_iter().zip(gradients) {
            for range in pieces(texts.packing.sequences(), chunks) {
                let part = gradient.clone().narrow(0, range.start, range.len());
                let vectors = embed(self.retriever, &texts.range(range), &options);
                sum.add(GradientSet::take(self.retriever, &mut surrogate(vectors, &part).backward()));
            }
        }
        sum
    }
}

/// Each batch with dropout of its own.
fn tagged<const N: usize>(
    texts: [&TokenBatch; N],
    options: EmbedOptions,
) -> [(&TokenBatch, EmbedOptions); N] {
    let mut tag = 0;
    texts.map(|texts| {
        tag += 1;
        (texts, EmbedOptions { run: options.run.tagged(tag), ..options })
    })
}
