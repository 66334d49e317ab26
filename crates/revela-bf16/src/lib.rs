//! Matrix products of numbers rounded to bf16, with f32 sums.
//!
//! Processors with AVX-512 BF16 multiply two pairs of bf16 numbers and add them to an f32 sum in the time
//! that one f32 multiplication and addition takes, so a product takes half the time. A number loses at most
//! 2^-8 of itself when it is rounded. Mixed-precision training (Micikevicius et al., ICLR 2018) and PyTorch's
//! "medium" precision of f32 products do the same.
//!
//! Operands are laid out first ([`Left`], [`Right`]), then multiplied ([`multiply`]); [`product`] does both on
//! all threads. [`native`] says whether the processor has the instructions: everything here also works without
//! them, in plain Rust, slower than an f32 product.

mod lost;
mod operand;
mod plain;
mod product;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use lost::lost;
pub use operand::{Left, Right, Source};
pub use product::{Shape, Start, Target, multiply, product};

/// Whether the processor multiplies bf16 numbers itself.
pub fn native() -> bool {
    #[cfg(target_arch = "x86_64")]
    return wide::available();
    #[cfg(not(target_arch = "x86_64"))]
    false
}
