//! Dot products, with the best instructions that the machine has.
//!
//! One file per instruction set; [`kernels`] chooses once, at run time. All sets are tested against
//! the plain one. Within one set a pair of vectors always gives the same bits, however it is batched;
//! between sets the last bits of f32 results differ, because the order of the additions does. Results
//! on int8 codes are whole numbers and the same everywhere.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod gather;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
mod sift;
mod tile;
#[cfg(target_arch = "x86_64")]
mod vpopcnt;

use std::ops::Range;
use std::sync::OnceLock;

pub(crate) use gather::prefetch;
pub(crate) use sift::{SIFTED, SignTail, SignTest};
pub(crate) use tile::tile;

/// What is added to an int8 code so that it is stored without a sign, which is what the machines'
/// multiply-and-add instructions want on one side.
pub(crate) const CODE_BIAS: u8 = 128;

/// Rows of codes are padded to a multiple of this with the code for zero.
pub(crate) const CODE_BLOCK: usize = 64;

/// Bits to which a query's numbers are rounded where rows are signs.
pub(crate) const PLANES: usize = 4;

/// Words that the processor fetches at once; rows of signs are whole lines.
pub(crate) const LINE_WORDS: usize = 8;

/// Judges rows; see [`Kernels::sift`].
type Sift = fn(&SignTest<'_>, &[u64], &mut [u32], Range<usize>, usize) -> usize;

/// Compares a query with the given rows of a matrix.
type Gather<Q, T, O> = fn(&[Q], &[T], &[u32], &mut [O]);

/// The functions of one instruction set. Both vectors must have the same length; if they don't, the
/// rest of the longer one is ignored. Codes come in whole blocks of [`CODE_BLOCK`]; what is left over
/// is ignored.
///
/// The functions that gather compare a query with the given rows of a matrix whose rows are as long as
/// the query; a row outside of the matrix gets the smallest number.
#[derive(Debug)]
pub(crate) struct Kernels {
    /// The instruction set, for reports.
    pub(crate) name: &'static str,
    /// Dot product of f32 vectors.
    pub(crate) dot: fn(&[f32], &[f32]) -> f32,
    /// Dot product of two rows of codes.
    pub(crate) dot_codes: fn(&[u8], &[u8]) -> i32,
    /// Dot products of a signed query with rows of codes *as they are stored*, that is, too large by
    /// [`CODE_BIAS`] times the sum of the query.
    pub(crate) gather_codes: Gather<i8, u8, i32>,
    /// The same for successive rows, from the first one of the codes.
    pub(crate) scan_codes: fn(&[i8], &[u8], &mut [i32]),
    /// Counts the ones that rows of bits have in common with each of a query's [`PLANES`] planes, and adds
    /// them up, those of plane `i` times 2^i. Rows have whole lines, of [`LINE_WORDS`] words; a row outside
    /// of the matrix gets the largest number.
    pub(crate) sign_sums: Gather<u64, u64, u32>,
    /// Judges the rows in a range of a list by their signs: those that are wanted are moved to a place, not
    /// behind the range, and after it; returns where the last one's end is. Rows outside of the matrix stay.
    pub(crate) sift: Sift,
    /// Dot products of a query with rows of f32.
    pub(crate) gather: Gather<f32, f32, f32>,
    /// Dot products of a query with rows of f16, given by their bits.
    pub(crate) gather_f16: Gather<f32, u16, f32>,
}

/// What this machine runs best.
pub(crate) fn kernels() -> &'static Kernels {
    static CHOSEN: OnceLock<&'static Kernels> = OnceLock::new();
    CHOSEN.get_or_init(|| available().first().copied().unwrap_or(&scalar::KERNELS))
}

/// Runs plain code with wide instructions where the machine has them; its results are the same to the last
/// bit. What it calls must be `inline(always)`, or it is compiled without.
#[inline]
pub(crate) fn widely<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    return avx2::widely(work);
    #[cfg(not(target_arch = "x86_64"))]
    work()
}

/// The name of the instruction set in use: `avx512-vpopcnt`, `avx512-vnni`, `avx512`, `avx2`, `neon` or `scalar`.
pub fn instruction_set() -> &'static str {
    kernels().name
}

/// Everything this machine runs, best first, the plain one last.
fn available() -> Vec<&'static Kernels> {
    #[cfg(target_arch = "x86_64")]
    let fast = [avx512::with_popcnt(), avx512::with_vnni(), avx512::available(), avx2::available()];
    #[cfg(target_arch = "aarch64")]
    let fast = [neon::available()];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let fast: [Option<&'static Kernels>; 0] = [];
    fast.into_iter().flatten().chain([&scalar::KERNELS]).collect()
}

#[cfg(test)]
mod tests;
