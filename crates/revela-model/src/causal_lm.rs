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

    /// The mean log-likelihood per token (nats) of each sequence of a batch but its first token, given its final hidden
    /// states; 0 of a sequence that predicts nothing.
    pub fn sequence_likelihoods(&self, hidden: Tensor<2>, batch: &TokenBatch, run: Run) -> Vec<f32> {
        let predicted: Vec<usize> = batch.packing.lengths().iter().map(|n| n.saturating_sub(1)).collect();
        self.ending_likelihoods(hidden, batch, &predicted, run)
    }

    /// The same of the last so many tokens of each sequence, at most all but its first. Logits of other rows are not
    /// computed.
    pub fn ending_likelihoods(
        &self,
        hidden: Tensor<2>,
        batch: &TokenBatch,
        predicted: &[usize],
        run: Run,
    ) -> Vec<f32> {
        let (mut targets, packing) = (batch.next_tokens(), &batch.packing);
        for (sequence, count) in predicted.iter().enumerate() {
            let start = packing.starts()[sequence];
            let unasked = packing.keys(sequence).saturating_sub(1).saturating_sub(*count);
            targets[start..start + unasked].fill(None);
        }
        let mut losses = run.kernels.token_losses(hidden, self.output_embedding(), &targets).into_iter();
        let mean = |&count: &usize| {
            let loss: f64 = losses.by_ref().take(count).map(f64::from).sum();
            -(loss / count.max(1) as f64) as f32
        };
        predicted.iter().map(mean).collect()
    }
}
