//! NEON: every 64-bit ARM.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::gather::gather;
use super::{CODE_BIAS, CODE_BLOCK, Kernels, scalar};

static KERNELS: Kernels = Kernels {
    name: "neon",
    // SAFETY (all entries): NEON is part of every aarch64 target.
    dot: |a, b| unsafe { dot(a, b) },
    dot_codes: |a, b| unsafe { dot_codes(a, b) },
    gather_codes: |query, codes, rows, out| unsafe { gather_codes(query, codes, rows, out) },
    scan_codes: |query, codes, out| unsafe { scan_codes(query, codes, out) },
    gather: |query, data, rows, out| unsafe { gather_f32(query, data, rows, out) },
    gather_f16: scalar::KERNELS.gather_f16,
    sign_sums: scalar::KERNELS.sign_sums,
    sift: scalar::KERNELS.sift,
};

pub(super) fn available() -> Option<&'static Kernels> {
    Some(&KERNELS)
}

#[target_feature(enable = "neon")]
fn gather_f32(query: &[f32], data: &[f32], rows: &[u32], out: &mut [f32]) {
    gather(query.len(), data, rows, out, f32::NEG_INFINITY, |row| dot(query, row));
}

#[target_feature(enable = "neon")]
fn gather_codes(query: &[i8], codes: &[u8], rows: &[u32], out: &mut [i32]) {
    let sum = sum_of(query);
    gather(query.len(), codes, rows, out, i32::MIN, |row| dot_query(row, query, sum));
}

#[target_feature(enable = "neon")]
fn scan_codes(query: &[i8], codes: &[u8], out: &mut [i32]) {
    let sum = sum_of(query);
    for (row, out) in codes.chunks_exact(query.len().max(1)).zip(out) {
        *out = dot_query(row, query, sum);
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let (blocks_a, rest_a) = a.as_chunks::<16>();
    let (blocks_b, rest_b) = b.as_chunks::<16>();
    let mut sums = [vdupq_n_f32(0.0); 4];
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: a block has 16 numbers, and 4 * i + 4 <= 16.
            let (x, y) = unsafe { (vld1q_f32(a.as_ptr().add(4 * i)), vld1q_f32(b.as_ptr().add(4 * i))) };
            *sum = vfmaq_f32(*sum, x, y);
        }
    }
    let sum = vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])));
    rest_a.iter().zip(rest_b).fold(sum, |sum, (x, y)| x.mul_add(*y, sum))
}

/// What the bias adds to a dot product with this query.
fn sum_of(query: &[i8]) -> i32 {
    let (blocks, _) = query.as_chunks::<CODE_BLOCK>();
    i32::from(CODE_BIAS) * blocks.iter().flatten().map(|&x| i32::from(x)).sum::<i32>()
}

/// The product with the codes' signed values, and what the bias adds.
#[target_feature(enable = "neon")]
#[inline]
fn dot_query(codes: &[u8], query: &[i8], bias_product: i32) -> i32 {
    let (blocks_a, _) = codes.as_chunks::<CODE_BLOCK>();
    let (blocks_b, _) = query.as_chunks::<CODE_BLOCK>();
    let mut sums = [vdupq_n_s32(0); 2];
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for i in 0..CODE_BLOCK / 16 {
            // SAFETY: a block has 64 bytes on both sides, and 16 * i + 16 <= 64.
            let (x, y) = unsafe { (vld1q_u8(a.as_ptr().add(16 * i)), vld1q_s8(b.as_ptr().add(16 * i))) };
            sums[i % 2] = add_products(sums[i % 2], signed(x), y);
        }
    }
    vaddvq_s32(vaddq_s32(sums[0], sums[1])).wrapping_add(bias_product)
}

#[target_feature(enable = "neon")]
fn dot_codes(a: &[u8], b: &[u8]) -> i32 {
    let (blocks_a, _) = a.as_chunks::<CODE_BLOCK>();
    let (blocks_b, _) = b.as_chunks::<CODE_BLOCK>();
    let mut sums = [vdupq_n_s32(0); 2];
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for i in 0..CODE_BLOCK / 16 {
            // SAFETY: a block has 64 bytes, and 16 * i + 16 <= 64.
            let (x, y) = unsafe { (vld1q_u8(a.as_ptr().add(16 * i)), vld1q_u8(b.as_ptr().add(16 * i))) };
            sums[i % 2] = add_products(sums[i % 2], signed(x), signed(y));
        }
    }
    vaddvq_s32(vaddq_s32(sums[0], sums[1]))
}

/// Flipping the highest bit takes 128 away and leaves a signed byte.
#[target_feature(enable = "neon")]
#[inline]
fn signed(codes: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(CODE_BIAS)))
}

/// 128 * 128 fits 16 bits, and pairs are added in 32.
#[target_feature(enable = "neon")]
#[inline]
fn add_products(sums: int32x4_t, x: int8x16_t, y: int8x16_t) -> int32x4_t {
    let low = vmull_s8(vget_low_s8(x), vget_low_s8(y));
    vpadalq_s16(vpadalq_s16(sums, low), vmull_high_s8(x, y))
}
