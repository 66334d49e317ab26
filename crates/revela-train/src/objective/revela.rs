//! The Revela objective: next-token prediction with in-batch attention, weighted by the retriever
//! (Cai et al., arXiv:2506.16552, section 3).

use burn::tensor::Tensor;
use revela_model::causal_lm::CausalLm;
use revela_model::decoder::TokenBatch;
use revela_model::embedding_model::EmbeddingModel;

use super::embedding::{EmbedOptions, Embeddings};
use super::language::{LanguageOptions, language_step};
use super::{StepResult, surrogate};
use crate::inbatch::weights::inbatch_weights;

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
    /// The retriever's side.
    pub embed: EmbedOptions,
    /// The language model's side.
    pub language: LanguageOptions,
}

/// Losses and gradients of one batch, and its weights W (`[B, B]`).
///
/// The two models meet only in the weights W, so each has a graph of its own: the retriever's vectors
/// give W, the language model's step gives dW, and dW goes back through the softmax into the retriever.
pub fn step(
    lm: &CausalLm,
    retriever: &EmbeddingModel,
    batch: &RevelaBatch,
    options: &RevelaOptions,
) -> (StepResult, Tensor<2>) {
    let embeddings = Embeddings::new(retriever, [&batch.query, &batch.passage], options.embed);
    let [query, passage] = embeddings.vectors();
    let w = inbatch_weights(query, passage, options.tau).weights;
    let language = language_step(lm, &batch.lm, w.clone().inner(), &options.language);
    let mut grads = surrogate(w.clone(), &language.dw).backward();
    let result = StepResult {
        loss: language.loss,
        lm: language.gradients,
        retriever: embeddings.backward(&mut grads),
        numbers: vec![("loss_plain", language.plain), ("loss_inbatch", language.inbatch)],
    };
    (result, w.inner())
}
