//! Static embeddings: every token has one vector, whatever stands beside it, and a text is the mean of its tokens'.
//!
//! The module is sentence-transformers' `StaticEmbedding`; Model2Vec (Tulkens and van Dongen 2024) distils such
//! tables from encoders. A text costs one row of the table per token, and in minutes of training from nothing such
//! a table learns more than a transformer of one layer (docs/experiments.md).

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::decoder::TokenBatch;
use crate::layers::Embedding;
use crate::names::TOKEN_TABLE;
use crate::weights::Weights;

/// Tokens after which a text is cut. There are no positions that would end; this bounds memory alone.
pub(crate) const LONGEST: usize = 1 << 16;

/// Sizes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticConfig {
    /// Tokens.
    pub vocab_size: usize,
    /// Features of a token's vector.
    pub hidden_size: usize,
}

impl StaticConfig {
    /// The sizes of the table that a folder's weights hold.
    pub(crate) fn of_weights(weights: &Weights) -> Result<Self, String> {
        match weights.get(TOKEN_TABLE).map(|table| table.shape.as_slice()) {
            Some(&[vocab_size, hidden_size]) if vocab_size > 0 && hidden_size > 0 => {
                Ok(Self { vocab_size, hidden_size })
            }
            Some(shape) => {
                Err(format!("{TOKEN_TABLE} has shape {shape:?}, which is no table of token vectors"))
            }
            None => Err(format!("it holds no {TOKEN_TABLE}, the table of token vectors")),
        }
    }
}

/// The table.
#[derive(Module, Debug)]
pub struct StaticEmbedding {
    /// A vector per token.
    pub embedding: Embedding,
    #[module(skip)]
    config: Arc<StaticConfig>,
}

impl StaticEmbedding {
    /// A table of zeros, to be filled by name.
    pub fn zeros(config: Arc<StaticConfig>, device: &Device) -> Self {
        Self { embedding: Embedding::zeros(config.vocab_size, config.hidden_size, device), config }
    }

    /// The sizes.
    pub fn config(&self) -> &Arc<StaticConfig> {
        &self.config
    }

    /// The vectors of a batch's tokens, `[rows, hidden]`.
    pub fn forward(&self, batch: &TokenBatch) -> Tensor<2> {
        self.embedding.forward(&batch.ids)
    }
}

#[cfg(test)]
mod tests {
    use revela_base::artifact::IfExists;
    use revela_base::embed::{Embedder, TextKind};
    use revela_base::seed::Seed;

    use super::*;
    use crate::contract::Contract;
    use crate::encoder::Encoder;
    use crate::init::draw;
    use crate::tokenizer::{Cut, TextTokenizer};
    use crate::weights::Precision;

    #[test]
    fn a_text_is_the_mean_of_its_tokens_in_any_order() {
        let mut tokenizer = TextTokenizer::train(["sun moon star sky"; 9].iter(), 300, Cut::Words).unwrap();
        let config = StaticConfig { vocab_size: tokenizer.vocabulary(), hidden_size: 8 };
        let device = Device::flex();
        let table = draw(StaticEmbedding::zeros(Arc::new(config), &device), Seed(7), &device);
        let rows: Vec<f32> = table.embedding.weight.val().into_data().try_into_vec().unwrap();
        let contract = Contract::of_table(&mut tokenizer);
        let ids = tokenizer.encode("sun moon").unwrap();
        assert_eq!(ids, tokenizer.encode_bare("sun moon").unwrap(), "no end token is counted in");
        let encoder = Encoder::new(table.into(), tokenizer, contract).unwrap();
        let mean: Vec<f32> =
            (0..8).map(|i| ids.iter().map(|id| rows[*id as usize * 8 + i]).sum::<f32>()).collect();
        let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
        let found = encoder.embed(TextKind::Query, &["sun moon", "moon sun", ""]).unwrap();
        for i in 0..8 {
            assert!((found[i] - mean[i] / length).abs() < 1e-6);
            assert!((found[i] - found[8 + i]).abs() < 1e-6);
            assert_eq!(found[16 + i], 0.0, "a text without a token has no vector");
        }
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("table");
        encoder.save(&dir, Precision::F32, IfExists::Refuse).unwrap();
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        let of_bytes = |weights: &[u8]| {
            Encoder::of_table(&read("tokenizer.json"), weights, &dir, Precision::F32, &device)
        };
        let again = of_bytes(&read("model.safetensors")).unwrap();
        let opened = Encoder::open(&dir, Precision::F32, &device).unwrap();
        assert_eq!(again.fingerprint(), encoder.fingerprint());
        assert_eq!(opened.fingerprint(), encoder.fingerprint());
        let error = of_bytes(b"no weights").unwrap_err().to_string();
        assert!(error.contains("model.safetensors"), "{error}");
    }
}
