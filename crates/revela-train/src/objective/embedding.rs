//! The retriever's side of a step: embeddings as leaves, and from their gradients its own.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use revela_model::decoder::TokenBatch;
use revela_model::embedding_model::EmbeddingModel;
use revela_model::layers::Run;
use revela_model::params::named;
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
/// Batches that are equal are embedded once, unless dropout makes them differ. Large batches are embedded in
/// pieces without a graph and again, piece by piece, when the gradients of their vectors are known (gradient
/// caching, Gao et al. 2021, arXiv:2101.06983).
pub(super) struct Embeddings<'a, const N: usize> {
    retriever: &'a EmbeddingModel,
    options: EmbedOptions,
    /// The batches that differ.
    distinct: Vec<Embedded<'a>>,
    /// Which of them each batch is.
    places: [usize; N],
}

struct Embedded<'a> {
    texts: &'a TokenBatch,
    /// With dropout of its own.
    options: EmbedOptions,
    /// The vectors, a leaf of whatever graph is built on them.
    leaf: Tensor<2>,
    /// The vectors with their graph, where activations are kept.
    graph: Option<Tensor<2>>,
}

impl<'a, const N: usize> Embeddings<'a, N> {
    pub(super) fn new(
        retriever: &'a EmbeddingModel,
        texts: [&'a TokenBatch; N],
        options: EmbedOptions,
    ) -> Self {
        let drops = may_drop(retriever);
        let mut distinct: Vec<Embedded<'a>> = Vec::with_capacity(N);
        let places = texts.map(|texts| {
            let same = distinct.iter().position(|known| !drops && known.texts == texts);
            same.unwrap_or_else(|| {
                let tag = distinct.len() as u64 + 1;
                let options = EmbedOptions { run: options.run.tagged(tag), ..options };
                distinct.push(Embedded::new(retriever, texts, options));
                distinct.len() - 1
            })
        });
        Self { retriever, options, distinct, places }
    }

    /// The vectors of each batch.
    pub(super) fn vectors(&self) -> [Tensor<2>; N] {
        self.places.map(|place| self.distinct[place].leaf.clone())
    }

    /// The retriever's gradients, given a backward pass that reached the vectors.
    pub(super) fn backward(self, grads: &mut Gradients) -> GradientSet {
        let gradients: Vec<Tensor<2>> =
            self.distinct.iter().map(|known| gradient_or_zeros(&known.leaf, grads)).collect();
        let Activations::Recompute { chunks } = self.options.activations else {
            let graphs = self.distinct.into_iter().filter_map(|known| known.graph);
            let terms = graphs.zip(&gradients).map(|(vectors, d)| surrogate(vectors, d));
            return match terms.reduce(|a, b| a + b) {
                Some(total) => GradientSet::take(self.retriever, &mut total.backward()),
                None => GradientSet::default(),
            };
        };
        let mut sum = GradientSet::default();
        for (known, gradient) in self.distinct.iter().zip(gradients) {
            for range in pieces(known.texts.packing.sequences(), chunks) {
                let part = gradient.clone().narrow(0, range.start, range.len());
                let vectors = embed(self.retriever, &known.texts.range(range), &known.options);
                sum.add(GradientSet::take(self.retriever, &mut surrogate(vectors, &part).backward()));
            }
        }
        sum
    }
}

impl<'a> Embedded<'a> {
    fn new(retriever: &EmbeddingModel, texts: &'a TokenBatch, options: EmbedOptions) -> Self {
        let like = retriever.sample().unsqueeze::<2>();
        let (vectors, graph) = match options.activations {
            Activations::Keep => {
                let graph = embed(retriever, texts, &options);
                (graph.clone().inner(), Some(graph))
            }
            Activations::Recompute { chunks } => {
                let plain = retriever.valid();
                let parts = pieces(texts.packing.sequences(), chunks);
                let parts = parts.map(|range| embed(&plain, &texts.range(range), &options));
                (Tensor::cat(parts.collect(), 0), None)
            }
        };
        Self { texts, options, leaf: leaf(vectors, &like), graph }
    }
}

/// Whether equal texts may get different vectors: only adapters have dropout.
fn may_drop(retriever: &EmbeddingModel) -> bool {
    named(retriever).iter().any(|(name, _)| name.contains(".lora."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use revela_base::seed::Seed;
    use revela_model::decoder::Decoder;
    use revela_model::init::draw;
    use revela_model::lora::{self, LoraConfig};
    use revela_model::testing::tiny_config;

    fn retriever() -> EmbeddingModel {
        let device = Device::flex().autodiff();
        draw(Decoder::zeros(std::sync::Arc::new(tiny_config()), &device), Seed(1), &device).into()
    }

    /// How many batches are embedded, and the gradients of a function of both batches' vectors.
    fn step(texts: [&TokenBatch; 2], activations: Activations) -> (usize, GradientSet) {
        let retriever = retriever();
        let options = EmbedOptions { pooling: Pooling::Mean, activations, run: Run::training(0) };
        let embeddings = Embeddings::new(&retriever, texts, options);
        let [query, passage] = embeddings.vectors();
        let mut grads = (query.powf_scalar(3.0) * passage.cumsum(1)).sum().backward();
        (embeddings.distinct.len(), embeddings.backward(&mut grads))
    }

    #[test]
    fn equal_batches_are_embedded_once_with_the_gradient_of_both() {
        let texts: [&[u32]; 3] = [&[1, 2, 3], &[4, 5], &[6, 7, 8, 9]];
        // The same texts, but not the same batch.
        let (packed, padded) = (TokenBatch::packed(&texts), TokenBatch::padded(&texts, 0));
        for activations in [Activations::Keep, Activations::Recompute { chunks: 2 }] {
            let (one, once) = step([&packed, &packed.clone()], activations);
            let (two, twice) = step([&packed, &padded], activations);
            assert_eq!((one, two), (1, 2));
            for (name, _) in named(&retriever()) {
                let difference = once.get(&name).unwrap().clone() - twice.get(&name).unwrap().clone();
                let largest = difference.abs().max().into_scalar::<f32>();
                assert!(largest < 1e-5, "{name}: {largest}");
            }
        }
    }

    #[test]
    fn with_adapters_each_batch_has_its_own_dropout() {
        let lora = LoraConfig { r: 2, dropout: 0.5, ..LoraConfig::default() };
        let adapted = lora::attach(retriever(), &lora, Seed(2), &Device::flex().autodiff()).unwrap();
        let batch = TokenBatch::packed(&[[1, 2, 3]]);
        let activations = Activations::Keep;
        let options = EmbedOptions { pooling: Pooling::Mean, activations, run: Run::training(0) };
        assert_eq!(Embeddings::new(&adapted, [&batch, &batch], options).distinct.len(), 2);
    }
}
