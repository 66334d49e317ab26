//! Kernels on plain `f32` slices for processors: what burn's CPU backend lacks or builds from many
//! passes over memory.
//!
//! Nothing here knows tensors or gradients; [`crate::kernels`] joins these functions to burn. All work
//! is split into tasks whose number does not depend on the number of threads, and each task adds in a
//! fixed order, so that results are the same bytes on any number of threads.

mod gemm;
mod matrix;
mod microkernel;
pub mod vector;

pub use gemm::{Matmul, Shape};
pub use matrix::{Mat, MatMut, PANEL, Panels, RightOperand, Store, split_rows};
pub use microkernel::matmul;

/// The instruction set of this machine, found once at run time.
pub fn arch() -> pulp::Arch {
    pulp::Arch::new()
}
