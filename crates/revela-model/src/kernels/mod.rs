//! The functions that a transformer is made of, each in two forms.
//!
//! [`Kernels::Composed`] builds a function from burn's tensor operations and runs on every device and
//! dtype; [`Kernels::Fused`] uses one CPU kernel with its own backward pass where that is possible
//! (CPU backend, f32) and the composed form elsewhere. Tests hold the two against each other.
//!
//! Activations are flat: `[rows, features]`, with a [`Packing`](crate::Packing) that says which rows
//! form which sequence.

use burn::tensor::Tensor;

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
}
