//! Tiny models for tests: every layer of the program can run without weights from outside.

use std::sync::Arc;

use burn::tensor::Device;
use revela_base::embed::Metric;
use revela_base::seed::Seed;

use crate::config::{AttentionBias, DecoderConfig, Family, RopeScaling};
use crate::contract::Contract;
use crate::decoder::Decoder;
use crate::encoder::Encoder;
use crate::init::draw;
use crate::kernels::{AttentionShape, Reach};
use crate::pooling::{Pooling, Scale};
use crate::tokenizer::{Cut, TextTokenizer};

/// Two layers of width 32, 97 tokens.
pub fn tiny_config() -> DecoderConfig {
    DecoderConfig {
        family: Family::Llama,
        vocab_size: 97,
        hidden_size: 32,
        intermediate_size: 72,
        layers: 2,
        attention: AttentionShape { heads: 4, kv_heads: 2, dim: 8 },
        max_positions: 256,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        tied: false,
        bias: AttentionBias::None,
        reach: Reach::Causal,
    }
}

/// An encoder of that size with freshly drawn weights and a tokenizer trained on a few words.
#[allow(clippy::expect_used)]
pub fn tiny_encoder() -> Encoder {
    let words = ["query: fn a passage: text that is longer, so batches are sorted by length { } ( )"; 3];
    let tokenizer = TextTokenizer::train(words.iter(), 300, Cut::Words).expect("constant input");
    let config = DecoderConfig { vocab_size: tokenizer.vocabulary(), ..tiny_config() };
    let device = Device::flex();
    let decoder = draw(Decoder::zeros(Arc::new(config), &device), Seed(5), &device);
    let contract = Contract {
        query_prompt: "query: ".into(),
        passage_prompt: "passage: ".into(),
        max_length: 64,
        append: None,
        pooling: Pooling::Mean,
        scale: Scale::Unit,
        metric: Metric::Cosine,
    };
    Encoder::new(decoder.into(), tokenizer, contract).expect("the tokenizer fits by construction")
}
