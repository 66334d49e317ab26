//! How a chunk reads the other chunks of its batch, and the shape of that.

use std::sync::Arc;

use revela_model::Packing;
use revela_model::kernels::AttentionShape;
use serde::{Deserialize, Serialize};

/// Whether the values of a chunk are brought to about unit length (published reading).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueNorm {
    /// Divide by the mean length of the values read, so that no long value vector dominates.
    #[default]
    Mean,
    /// Take values as they are.
    Off,
}

/// What a chunk does with the others in every layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// One softmax over the own past and all other chunks, which stand before the own; a chunk's weight is added
    /// to its scores as a logarithm. A pretrained model reads so at once, without training.
    Joint,
    /// A softmax per other chunk, added to the own path under the chunk's weight (Cai et al., arXiv:2506.16552).
    Published(ValueNorm),
}

/// Which computation gives the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// The CPU kernel where the tensors are f32 on the CPU backend, the definition elsewhere.
    #[default]
    Fast,
    /// All attention weights at once: the definition, for tests.
    Materialised,
}

/// Pairs whose weight is too small to matter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Skip {
    /// Compute all pairs whose weight is not zero.
    Nothing,
    /// Leave out pairs with a weight below this, and the gradient of their weight.
    Below(f32),
}

impl Skip {
    /// Whether a pair with this logarithm of its weight is left out.
    pub(super) fn leaves_out(self, log_weight: f32) -> bool {
        let least = match self {
            Self::Nothing => NOTHING,
            Self::Below(weight) => weight.ln().max(NOTHING),
        };
        // NaN is computed, so that it is seen.
        log_weight < least
    }
}

/// Logarithms below this are of a weight of zero.
const NOTHING: f32 = -1e30;

/// How chunks read each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadOptions {
    /// What is computed.
    pub reading: Reading,
    /// By which computation.
    pub form: Form,
    /// For which pairs.
    pub skip: Skip,
}

impl Reading {
    /// The weight below which a pair changes nothing that could be measured.
    pub fn least_weight(self) -> f32 {
        match self {
            // A weight stands beside scores: attention may raise a rare chunk by some e^20.
            Self::Joint => 1e-15,
            // Rows of W sum to 1, so what is left out changes a row's output by less than B * 1e-6 of a
            // unit vector, and its gradient by as little, since softmax multiplies it by the weight.
            Self::Published(_) => 1e-6,
        }
    }
}

impl From<Reading> for ReadOptions {
    fn from(reading: Reading) -> Self {
        Self { reading, form: Form::Fast, skip: Skip::Below(reading.least_weight()) }
    }
}

/// The readers and the read: which rows belong to which chunk.
#[derive(Debug, Clone)]
pub struct ReadShape {
    /// Chunks whose queries read.
    pub readers: Arc<Packing>,
    /// Chunks that are read.
    pub chunks: Arc<Packing>,
    /// Heads.
    pub heads: AttentionShape,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out() {
        assert!(Skip::Nothing.leaves_out(f32::MIN) && Skip::Nothing.leaves_out(f32::NEG_INFINITY));
        assert!(!Skip::Nothing.leaves_out(-20_000.0) && !Skip::Nothing.leaves_out(f32::NAN));
        assert!(Skip::Below(1e-6).leaves_out(-14.0) && !Skip::Below(1e-6).leaves_out(-13.0));
        assert!(Skip::Below(0.0).leaves_out(f32::MIN) && !Skip::Below(0.0).leaves_out(-500.0));
    }
}
