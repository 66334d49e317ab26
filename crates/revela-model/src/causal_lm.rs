//! A decoder with an output embedding: a language model.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::config::DecoderConfig;
use crate::decoder::{Decoder, TokenBatch};
use crate::layers::{Linear, Run};

/// The language model.
#[derive(Module, Debug)]
pub struct CausalLm {
    /// The decoder.
    pub model: Decoder,
    /// The output embedding; absent where it is tied to the input embedding.
    pub lm_head: Option<Linear>,
}

impl CausalLm {
    /// A model of zeros and ones, to be filled by name.
    pub fn zeros(config: Arc<DecoderConfig>, device: &Device) -> Self {
        let lm_head =
            (!config.tied).then(|| Linear::zeros(config.hidden_size, config.vocab_size, false, device));
        Self { model: Decoder::zeros(config, device), lm_head }
    }

    /// `[vocabulary, hidden]`.
    pub fn output_embedding(&self) -> Tensor<2> {
        match &self.lm_head {
            Some(head) => head.weight.val(),
            None => self.model.embed_tokens.weight.val(),
        }
    }

    /// Logits of all rows, `[rows, vocabulary]`; training uses [`loss`](Self::loss) instead, which
    /// never holds them all.
    pub fn logits(&self, hidden: Tensor<2>, run: Run) -> Tensor<2> {
        run.kernels.linear(hidden, self.output_embedding())
    }

    /// Mean next-token cross entropy (nats) of a batch, given its final hidden states. Returns `[1]`.
    pub fn loss(&self, hidden: Tensor<2>, batch: &TokenBatch, run: Run) -> Tensor<1> {
        run.kernels.cross_entropy(hidden, self.output_embedding(), &batch.next_tokens())
    }

    /// The sum of the next-token cross entropies (nats) of each sequence of a batch, given its final hidden states.
    pub fn sequence_losses(&self, hidden: Tensor<2>, batch: &TokenBatch, run: Run) -> Vec<f64> {
        let targets = batch.next_tokens();
        let losses = run.kernels.token_losses(hidden, self.output_embedding(), &targets);
        let mut losses = losses.into_iter();
        let lengths = batch.packing.lengths().iter();
        let sum = |&length: &usize| losses.by_ref().take(length.saturating_sub(1)).map(f64::from).sum();
        lengths.map(sum).collect()
    }
}
