//! A language model that only reads: what both forms that need one share.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use revela_base::checksum::Fingerprint;

use crate::causal_lm::CausalLm;
use crate::decoder::TokenBatch;
use crate::error::Result;
use crate::kernels::Kernels;
use crate::language_model::LanguageModel;
use crate::layers::Run;
use crate::op::runs_on;
use crate::params::named;
use crate::tokenizer::TextTokenizer;
use crate::weights::Precision;

/// The model, its tokenizer and how it is run.
#[derive(Debug, Clone)]
pub(super) struct Causal {
    model: LanguageModel,
    run: Run,
}

impl Causal {
    pub(super) fn open(dir: &Path, kernels: Kernels, device: &Device) -> Result<Self> {
        let mut model = LanguageModel::open(dir, Precision::F32, device)?;
        model.lm = model.lm.no_grad();
        Ok(Self { model, run: Run { kernels, ..Run::default() } })
    }

    pub(super) fn tokenizer(&self) -> &TextTokenizer {
        &self.model.tokenizer
    }

    pub(super) fn lm(&self) -> &CausalLm {
        &self.model.lm
    }

    /// Final hidden states of sequences, `[rows, hidden]`, with the batch that says whose they are.
    pub(super) fn forward(&self, sequences: &[&[u32]]) -> (TokenBatch, Tensor<2>, Run) {
        let batch = match runs_on(&self.lm().model.norm.weight.val()) {
            true => TokenBatch::packed(sequences),
            false => TokenBatch::padded(sequences, 0),
        };
        let hidden = self.lm().model.forward(&batch, self.run);
        (batch, hidden, self.run)
    }

    pub(super) fn describe(&self, fingerprint: Fingerprint) -> Fingerprint {
        let fingerprint = fingerprint
            .part("config", self.lm().model.config().to_json("").to_string())
            .part("tokenizer", self.tokenizer().to_json().unwrap_or_default());
        named(self.lm()).into_iter().fold(fingerprint, |all, (name, p)| all.part(&name, p.data().as_bytes()))
    }
}
