//! The functions that a transformer is made of, each in two forms.
//!
//! [`Kernels::Composed`] builds a function from burn's tensor operations and runs on every device and
//! dtype; [`Kernels::Fused`] uses one CPU kernel with its own backward pass where that is possible
//! (CPU backend, f32) and the composed form elsewhere. Tests hold the two against each other.
//! [`Kernels::Mixed`] differs from it in the precision of products alone.
//!
//! Activations are flat: `[rows, features]`, with a [`Packing`](crate::Packing) that says which rows
//! form which sequence.

use burn::tensor::Tensor;

use crate::cpu::Matmul;
use crate::op::runs_on;

mod activation;
mod attention;
mod cross_entropy;
mod layer_norm;
mod linear;
mod mean;
mod rms_norm;
mod rope;
mod swiglu;
#[cfg(test)]
mod testing;

pub use activation::Activation;
pub use attention::{AttentionMask, AttentionShape, Reach};
pub use rope::{Rope, RopeTable};

/// Which form of the functions to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernels {
    /// One kernel per function where the device has it.
    #[default]
    Fused,
    /// The same, with products of [`Matmul::Bf16`].
    Mixed,
    /// Compositions of tensor operations everywhere: the plain twin, and for finding out whether a
    /// kernel is to blame.
    Composed,
}

impl Kernels {
    /// These kernels where they run on such tensors; the composed form elsewhere.
    #[must_use]
    pub fn on<const D: usize>(self, like: &Tensor<D>) -> Self {
        if runs_on(like) { self } else { Self::Composed }
    }

    /// How kernels multiply, if they are to be used.
    pub fn matmul(self) -> Option<Matmul> {
        match self {
            Self::Fused => Some(Matmul::F32),
            Self::Mixed => Some(Matmul::Bf16),
            Self::Composed => None,
        }
    }

    fn fused(self) -> bool {
        self.matmul().is_some()
    }
}

impl From<Matmul> for Kernels {
    fn from(matmul: Matmul) -> Self {
        match matmul {
            Matmul::F32 => Self::Fused,
            Matmul::Bf16 => Self::Mixed,
        }
    }
}
