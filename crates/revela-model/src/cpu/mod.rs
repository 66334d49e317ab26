//! Kernels on plain `f32` slices for processors: what burn's CPU backend lacks or builds from many
//! passes over memory.
//!
//! Nothing here knows tensors or gradients; [`crate::kernels`] joins these functions to burn. All work
//! is split into tasks whose number does not depend on the number of threads, and each task adds in a
//! fixed order, so that results are the same bytes on any number of threads.

mod few;
mod gemm;
mod matrix;
mod microkernel;
mod tile;
pub mod vector;

pub use gemm::{Matmul, Shape};
pub use matrix::{Mat, MatMut, PANEL, Packed, Panels, RightOperand, Store, split_rows};

/// The instruction set of this machine, found once at run time.
pub fn arch() -> pulp::Arch {
    pulp::Arch::new()
}

/// Its name.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    return match arch() {
        pulp::Arch::V4(_) => "avx512",
        pulp::Arch::V3(_) => "avx2",
        _ => "scalar",
    };
    #[cfg(not(target_arch = "x86_64"))]
    if cfg!(target_arch = "aarch64") { "neon" } else { "scalar" }
}

/// Whether the machine multiplies bf16 numbers itself ([`Matmul`]).
pub fn bf16_is_native() -> bool {
    revela_bf16::native()
}

/// Runs a closure that is compiled for the machine's instruction set. Mark it, and closures in it,
/// `#[inline(always)]`: what is not inlined is compiled for the oldest processor.
///
/// pulp itself takes closures that are called once, and calls others through a function that is not inlined.
pub fn vectorised<R>(body: impl FnMut() -> R) -> R {
    arch().dispatch(Body(body))
}

struct Body<F>(F);

impl<R, F: FnMut() -> R> pulp::WithSimd for Body<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(mut self, _simd: S) -> R {
        (self.0)()
    }
}
