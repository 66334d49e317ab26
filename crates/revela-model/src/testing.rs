//! Tiny models for tests: every layer of the program can run without weights from outside.

use crate::config::{AttentionBias, DecoderConfig, Family, RopeScaling};
use crate::kernels::AttentionShape;

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
    }
}
