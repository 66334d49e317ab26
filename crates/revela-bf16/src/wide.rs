//! AVX-512 with BF16: servers since 2020 (Cooper Lake), AMD's since 2022 (Zen 4).
//!
//! Every function here says whether it did the work; without the instructions none does.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::sync::OnceLock;

use crate::operand::{Left, Order, PANEL, Source};
use crate::plain;
use crate::product::{Start, Tile};

/// Numbers of bf16 in a vector.
const LANES: usize = 32;

/// Rows of a tile whose sums are kept in registers: with two vectors each, 24 of 32 registers.
const ROWS: usize = 12;

pub(crate) fn available() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16")
    })
}

/// Rounds a row.
pub(crate) fn round(from: &[f32], to: &mut [u16]) -> bool {
    if available() {
        // SAFETY: the instructions are there.
        unsafe { round_row(from, to) }
    }
    available()
}

/// Squared length of what rounding takes away.
pub(crate) fn lost(x: &[f32]) -> Option<f32> {
    // SAFETY: the instructions are there.
    available().then(|| unsafe { lost_of(x) })
}

/// Fills rows of the left operand from columns.
pub(crate) fn transpose(x: &[f32], across: usize, left: &mut Left) -> bool {
    if available() {
        // SAFETY: the instructions are there.
        unsafe { transpose_all(x, across, left) }
    }
    available()
}

/// Fills a whole panel of the right operand.
pub(crate) fn fill_panel(source: Source<'_>, k: usize, to: &mut [u16]) -> bool {
    if !available() {
        return false;
    }
    // SAFETY: the instructions are there.
    let done = unsafe {
        match source.order {
            Order::Along => panel_along(source, k, to),
            Order::Across => panel_across(source, k, to),
        }
    };
    plain::fill_panel(source, k, PANEL, done, to);
    true
}

/// Multiplies rows with a panel.
pub(crate) fn tile(tile: &Tile<'_>, c: &mut [f32]) -> bool {
    if available() {
        // SAFETY: the instructions are there.
        unsafe { rows(tile, c) }
    }
    available()
}

/// 32 numbers as bf16.
///
/// SAFETY: both pointers must be valid for reading 16 numbers.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
unsafe fn rounded(low: *const f32, high: *const f32) -> __m512i {
    // SAFETY: the caller's; a vector of bf16 and one of integers are both 64 plain bytes.
    unsafe {
        let both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(high), _mm512_loadu_ps(low));
        std::mem::transmute::<__m512bh, __m512i>(both)
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn round_row(from: &[f32], to: &mut [u16]) {
    let (blocks, rest) = from.as_chunks::<LANES>();
    let (to, to_rest) = to.split_at_mut(blocks.len() * LANES);
    for (from, to) in blocks.iter().zip(to.as_chunks_mut::<LANES>().0) {
        // SAFETY: blocks of 32 numbers on both sides.
        unsafe {
            _mm512_storeu_si512(to.as_mut_ptr().cast(), rounded(from.as_ptr(), from[16..].as_ptr()));
        }
    }
    plain::round(rest, to_rest);
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn lost_of(x: &[f32]) -> f32 {
    let (blocks, rest) = x.as_chunks::<16>();
    let mut sum = _mm512_setzero_ps();
    for block in blocks {
        // SAFETY: a block of 16 numbers; vectors of bf16 and of integers are the same 32 bytes.
        let (x, rounded) = unsafe {
            let x = _mm512_loadu_ps(block.as_ptr());
            (x, std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x)))
        };
        let back = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(rounded)));
        let lost = _mm512_sub_ps(x, back);
        sum = _mm512_fmadd_ps(lost, lost, sum);
    }
    _mm512_reduce_add_ps(sum) + plain::lost(rest)
}

/// Moves the numbers of two rows of 16 beside each other: (low 0, high 0, low 1, high 1, ..).
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn interleaved(rows: __m512i) -> __m512i {
    const ORDER: [u16; LANES] = {
        let mut order = [0; LANES];
        let mut i = 0;
        while i < LANES {
            order[i] = (i / 2 + i % 2 * 16) as u16;
            i += 1;
        }
        order
    };
    // SAFETY: a constant of 64 bytes.
    let order = unsafe { _mm512_loadu_si512(ORDER.as_ptr().cast()) };
    _mm512_permutexvar_epi16(order, rows)
}

/// Transposes a 16 x 16 matrix of pairs.
#[target_feature(enable = "avx512f")]
#[inline]
fn transposed(mut r: [__m512i; 16]) -> [__m512i; 16] {
    // Pairs of 1, 2, 4 and 8 elements change places in turn.
    for i in (0..16).step_by(2) {
        (r[i], r[i + 1]) = (_mm512_unpacklo_epi32(r[i], r[i + 1]), _mm512_unpackhi_epi32(r[i], r[i + 1]));
    }
    for i in (0..16).step_by(4) {
        for j in i..i + 2 {
            (r[j], r[j + 2]) = (_mm512_unpacklo_epi64(r[j], r[j + 2]), _mm512_unpackhi_epi64(r[j], r[j + 2]));
        }
    }
    for i in (0..16).step_by(8) {
        for j in i..i + 4 {
            let (a, b) = (r[j], r[j + 4]);
            r[j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
            r[j + 4] = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
        }
    }
    for j in 0..8 {
        let (a, b) = (r[j], r[j + 8]);
        r[j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
        r[j + 8] = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
    }
    // Where the column of each register belongs after those steps.
    [r[0], r[2], r[1], r[3], r[4], r[6], r[5], r[7], r[8], r[10], r[9], r[11], r[12], r[14], r[13], r[15]]
}

/// Rows of the left operand in blocks of 16, their numbers in blocks of 32; the rest the plain way.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn transpose_all(x: &[f32], across: usize, left: &mut Left) {
    let (rows, numbers) = (left.m / 16 * 16, left.k / LANES * LANES);
    for row in (0..rows).step_by(16) {
        for p in (0..numbers).step_by(LANES) {
            let mut block = [_mm512_setzero_si512(); 16];
            for (i, block) in block.iter_mut().enumerate() {
                let low = &x[(p + 2 * i) * across + row..][..16];
                let high = &x[(p + 2 * i + 1) * across + row..][..16];
                // SAFETY: slices of 16 numbers.
                *block = interleaved(unsafe { rounded(low.as_ptr(), high.as_ptr()) });
            }
            for (i, block) in transposed(block).into_iter().enumerate() {
                let to = &mut left.data[(row + i) * left.stride + p..][..LANES];
                // SAFETY: a slice of 32 numbers of 16 bits.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), block) }
            }
        }
    }
    plain::transpose(x, across, left, [rows, 0]);
    let k = left.k;
    for row in 0..rows {
        let to = &mut left.data[row * left.stride..][..k];
        for (p, to) in to.iter_mut().enumerate().skip(numbers) {
            plain::round(&[x[p * across + row]], std::slice::from_mut(to));
        }
    }
}

/// A panel from 32 rows of `k` numbers; returns how many numbers of each it did.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn panel_along(source: Source<'_>, k: usize, to: &mut [u16]) -> usize {
    let numbers = k / LANES * LANES;
    for half in 0..2 {
        for p in (0..numbers).step_by(LANES) {
            let mut block = [_mm512_setzero_si512(); 16];
            for (i, block) in block.iter_mut().enumerate() {
                let row = &source.data[(half * 16 + i) * source.stride + p..][..LANES];
                // SAFETY: a slice of 32 numbers.
                *block = unsafe { rounded(row.as_ptr(), row[16..].as_ptr()) };
            }
            for (i, block) in transposed(block).into_iter().enumerate() {
                let to = &mut to[((p / 2 + i) * PANEL + half * 16) * 2..][..LANES];
                // SAFETY: a slice of 32 numbers of 16 bits.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), block) }
            }
        }
    }
    numbers
}

/// A panel from the first 32 numbers of `k` rows.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn panel_across(source: Source<'_>, k: usize, to: &mut [u16]) -> usize {
    for (pair, to) in to.as_chunks_mut::<{ 2 * PANEL }>().0.iter_mut().enumerate().take(k / 2) {
        let rows = [2 * pair, 2 * pair + 1].map(|p| &source.data[p * source.stride..][..PANEL]);
        for half in 0..2 {
            let [low, high] = rows.map(|row| row[half * 16..].as_ptr());
            // SAFETY: 16 numbers of each row, and 32 of the 64 of a pair.
            unsafe {
                let block = interleaved(rounded(low, high));
                _mm512_storeu_si512(to[half * LANES..].as_mut_ptr().cast(), block);
            }
        }
    }
    k / 2 * 2
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn rows(tile: &Tile<'_>, c: &mut [f32]) {
    let mut row = 0;
    while row + ROWS <= tile.rows {
        block::<ROWS>(tile, row, c);
        row += ROWS;
    }
    while row + 4 <= tile.rows {
        block::<4>(tile, row, c);
        row += 4;
    }
    while row < tile.rows {
        block::<1>(tile, row, c);
        row += 1;
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
#[allow(
    clippy::needless_range_loop,
    reason = "constant bounds over several arrays, which the compiler unrolls"
)]
fn block<const R: usize>(tile: &Tile<'_>, row: usize, c: &mut [f32]) {
    let masks = [0, 16].map(|from| ((1u32 << tile.columns.saturating_sub(from).min(16)) - 1) as __mmask16);
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    let pairs = tile.panel.len() / (2 * PANEL);
    let a = &tile.a[row * tile.stride..][..(R - 1) * tile.stride + 2 * pairs];
    let (a, panel) = (a.as_ptr(), tile.panel.as_ptr());
    for pair in 0..pairs {
        // SAFETY: `panel` has `pairs` times 64 numbers, and `a` 2 * pairs numbers in each of R rows; vectors of
        // bf16 and of integers are the same 64 bytes.
        unsafe {
            let b = panel.add(pair * 2 * PANEL);
            let b: [__m512bh; 2] = [0, 1].map(
                #[inline(always)]
                |half| b.add(half * LANES).cast::<__m512bh>().read_unaligned(),
            );
            for r in 0..R {
                let both = a.add(r * tile.stride + 2 * pair).cast::<i32>().read_unaligned();
                let both = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(both));
                sums[r][0] = _mm512_dpbf16_ps(sums[r][0], both, b[0]);
                sums[r][1] = _mm512_dpbf16_ps(sums[r][1], both, b[1]);
            }
        }
    }
    for r in 0..R {
        let to = &mut c[(row + r) * tile.width..][..tile.columns];
        for half in 0..2 {
            let at = (half * 16).min(to.len());
            // SAFETY: the mask leaves out what lies behind the end of the row, or of the bias.
            unsafe {
                let sum = match tile.start {
                    Start::Zero => sums[r][half],
                    Start::Add => {
                        let old = _mm512_maskz_loadu_ps(masks[half], to[at..].as_ptr());
                        _mm512_add_ps(old, sums[r][half])
                    }
                    Start::Bias(bias) => {
                        let bias = _mm512_maskz_loadu_ps(masks[half], bias[at..].as_ptr());
                        _mm512_add_ps(bias, sums[r][half])
                    }
                };
                _mm512_mask_storeu_ps(to[at..].as_mut_ptr(), masks[half], sum);
            }
        }
    }
}
