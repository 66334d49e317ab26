//! The Revela objective: next-token prediction with in-batch attention, weighted by the retriever
//! (Cai et al., arXiv:2506.16552, section 3).

use burn::tensor::Tensor;
use revela_model::causal_lm::CausalLm;
use revela_model::decoder::TokenBatch;
use revela_model::embedding_model::EmbeddingModel;

use super::contrastive::{hits, pick_loss};
use super::embedding::{EmbedOptions, Embeddings};
use super::language::{LanguageOptions, LossTerms, language_step};
use super::{StepResult, scalar, surrogate};
use crate::choices::QueryText;
use crate::inbatch::reading::ReadOptions;
use crate::inbatch::weights::{InBatchWeights, Own, inbatch_weights};
use crate::schedule::Annealed;

/// What is learnt by reading each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RevelaConfig {
    /// Temperature.
    pub tau: Annealed,
    /// Losses.
    pub terms: LossTerms,
    /// How chunks read each other.
    pub read: ReadOptions,
    /// What asks.
    pub query: QueryText,
    /// Weight of the contrastive loss of each reader's own passage.
    pub hard: f64,
}

/// The texts of a batch, as each side wants them.
#[derive(Debug, Clone)]
pub struct RevelaBatch {
    /// For the language model: what is predicted while it reads.
    pub readers: TokenBatch,
    /// For the language model: what is read.
    pub read: TokenBatch,
    /// What is read, for the retriever.
    pub passage: TokenBatch,
    /// What reads, for the retriever.
    pub query: TokenBatch,
}

/// How what reads belongs to what is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pairing {
    /// They are the same chunks, and none reads itself.
    Same,
    /// Each reader was cut out of this passage, which is an answer to it.
    Answers(Vec<usize>),
}

/// How a step is computed.
#[derive(Debug, Clone, Copy)]
pub struct RevelaOptions {
    /// Temperature of the weights.
    pub tau: f64,
    /// Weight of the contrastive loss of each reader's own passage.
    pub hard: f64,
    /// The retriever's side.
    pub embed: EmbedOptions,
    /// The language model's side.
    pub language: LanguageOptions,
}

/// Losses and gradients of one batch, and its weights W (`[readers, read]`).
///
/// The two models meet only in the weights W, so each has a graph of its own: the retriever's vectors
/// give W, the language model's step gives their gradient, which goes back through the softmax into the retriever.
pub fn step(
    lm: &CausalLm,
    retriever: &EmbeddingModel,
    batch: &RevelaBatch,
    pairing: &Pairing,
    options: &RevelaOptions,
) -> (StepResult, Tensor<2>) {
    let embeddings = Embeddings::new(retriever, [&batch.query, &batch.passage], options.embed);
    let [query, passage] = embeddings.vectors();
    let own = match pairing {
        Pairing::Same => Own::Hidden,
        Pairing::Answers(_) => Own::Seen,
    };
    let weights = inbatch_weights(query, passage, options.tau, own);
    let taken = weights.taken_by(options.language.read.reading);
    let language = language_step(lm, [&batch.readers, &batch.read], taken.clone().inner(), &options.language);
    let mut total = surrogate(taken, &language.weights);
    let mut loss = language.loss;
    let mut numbers = vec![("loss_plain", language.plain), ("loss_inbatch", language.inbatch)];
    if let Pairing::Answers(own) = pairing {
        let (scores, contrast) = contrast(&weights, own);
        numbers.push(("accuracy", hits(&scores, own)));
        if options.hard > 0.0 {
            loss += options.hard * scalar(contrast.clone());
            total = total + contrast.mul_scalar(options.hard);
        }
    }
    let mut grads = total.backward();
    let result =
        StepResult { loss, lm: language.gradients, retriever: embeddings.backward(&mut grads), numbers };
    (result, weights.weights().inner())
}

/// The scores, and the loss of picking each reader's own passage by them.
fn contrast(weights: &InBatchWeights, own: &[usize]) -> (Tensor<2>, Tensor<1>) {
    let scores = weights.scores();
    (scores.clone().inner(), pick_loss(scores, own))
}
