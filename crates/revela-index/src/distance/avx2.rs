//! AVX2 with FMA and F16C: x86-64 since about 2013.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use half::f16;

use super::gather::gather;
use super::sift::sift_by;
use super::{CODE_BIAS, CODE_BLOCK, Kernels, scalar};

pub(super) static KERNELS: Kernels = Kernels {
    name: "avx2",
    // SAFETY (all entries): `available` hands these out only where the features were detected.
    dot: |a, b| unsafe { dot(a, b) },
    dot_codes: |a, b| unsafe { dot_codes(a, b) },
    gather_codes: |query, codes, rows, out| unsafe { gather_codes(query, codes, rows, out) },
    scan_codes: |query, codes, out| unsafe { scan_codes(query, codes, out) },
    sign_sums: |planes, data, rows, out| unsafe { sign_sums(planes, data, rows, out) },
    sift: |test, data, rows, judged, kept| sift_by(KERNELS.sign_sums, test, data, rows, judged, kept),
    gather: |query, data, rows, out| unsafe { gather_f32(query, data, rows, out) },
    gather_f16: |query, data, rows, out| unsafe { gather_f16(query, data, rows, out) },
};

pub(super) fn available() -> Option<&'static Kernels> {
    let present = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("popcnt");
    present.then_some(&KERNELS)
}

/// Runs work whose code was compiled into it with wider instructions, where the machine has them.
#[inline]
pub(super) fn widely<R>(work: impl FnOnce() -> R) -> R {
    #[target_feature(enable = "avx2")]
    fn run<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
    match is_x86_feature_detected!("avx2") {
        // SAFETY: the feature was just detected.
        true => unsafe { run(work) },
        false => work(),
    }
}

#[target_feature(enable = "avx2,fma")]
fn gather_f32(query: &[f32], data: &[f32], rows: &[u32], out: &mut [f32]) {
    gather(query.len(), data, rows, out, f32::NEG_INFINITY, |row| dot(query, row));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn gather_f16(query: &[f32], data: &[u16], rows: &[u32], out: &mut [f32]) {
    gather(query.len(), data, rows, out, f32::NEG_INFINITY, |row| dot_f16(query, row));
}

#[target_feature(enable = "avx2")]
fn gather_codes(query: &[i8], codes: &[u8], rows: &[u32], out: &mut [i32]) {
    gather(query.len(), codes, rows, out, i32::MIN, |row| dot_query(row, query));
}

#[target_feature(enable = "avx2")]
fn scan_codes(query: &[i8], codes: &[u8], out: &mut [i32]) {
    for (row, out) in codes.chunks_exact(query.len().max(1)).zip(out) {
        *out = dot_query(row, query);
    }
}

#[target_feature(enable = "popcnt")]
fn sign_sums(planes: &[u64], data: &[u64], rows: &[u32], out: &mut [u32]) {
    scalar::sign_sums_of(planes, data, rows, out);
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let (blocks_a, rest_a) = a.as_chunks::<32>();
    let (blocks_b, rest_b) = b.as_chunks::<32>();
    let mut sums = [_mm256_setzero_ps(); 4];
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: a block has 32 numbers, and 8 * i + 8 <= 32.
            let (x, y) =
                unsafe { (_mm256_loadu_ps(a.as_ptr().add(8 * i)), _mm256_loadu_ps(b.as_ptr().add(8 * i))) };
            *sum = _mm256_fmadd_ps(x, y, *sum);
        }
    }
    let sum = sum_f32(sums);
    rest_a.iter().zip(rest_b).fold(sum, |sum, (x, y)| x.mul_add(*y, sum))
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot_f16(query: &[f32], row: &[u16]) -> f32 {
    let length = query.len().min(row.len());
    let (blocks_a, rest_a) = query[..length].as_chunks::<32>();
    let (blocks_b, rest_b) = row[..length].as_chunks::<32>();
    let mut sums = [_mm256_setzero_ps(); 4];
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: a block has 32 numbers on both sides, and 8 * i + 8 <= 32.
            let (x, y) = unsafe {
                (_mm256_loadu_ps(a.as_ptr().add(8 * i)), _mm_loadu_si128(b.as_ptr().add(8 * i).cast()))
            };
            *sum = _mm256_fmadd_ps(x, _mm256_cvtph_ps(y), *sum);
        }
    }
    let sum = sum_f32(sums);
    rest_a.iter().zip(rest_b).fold(sum, |sum, (x, &y)| x.mul_add(f16::from_bits(y).to_f32(), sum))
}

#[target_feature(enable = "avx2")]
#[inline]
fn sum_f32(sums: [__m256; 4]) -> f32 {
    let total = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    let half = _mm_add_ps(_mm256_castps256_ps128(total), _mm256_extractf128_ps::<1>(total));
    let quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn sum_i32(sums: [__m256i; 2]) -> i32 {
    let total = _mm256_add_epi32(sums[0], sums[1]);
    let half = _mm_add_epi32(_mm256_castsi256_si128(total), _mm256_extracti128_si256::<1>(total));
    let quarter = _mm_add_epi32(half, _mm_shuffle_epi32::<0b1110>(half));
    _mm_cvtsi128_si32(_mm_add_epi32(quarter, _mm_shuffle_epi32::<0b01>(quarter)))
}

/// Products of bytes are added in pairs of 16 bits, which 255 * 127 would overflow, so bytes are widened
/// first and then multiplied.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn dot_query(codes: &[u8], query: &[i8]) -> i32 {
    let (blocks_a, _) = codes.as_chunks::<CODE_BLOCK>();
    let (blocks_b, _) = query.as_chunks::<CODE_BLOCK>();
    let mut sums = [_mm256_setzero_si256(); 2];
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for i in 0..CODE_BLOCK / 16 {
            // SAFETY: a block has 64 bytes on both sides, and 16 * i + 16 <= 64.
            let (x, y) = unsafe {
                (
                    _mm_loadu_si128(a.as_ptr().add(16 * i).cast()),
                    _mm_loadu_si128(b.as_ptr().add(16 * i).cast()),
                )
            };
            let products = _mm256_madd_epi16(_mm256_cvtepu8_epi16(x), _mm256_cvtepi8_epi16(y));
            sums[i % 2] = _mm256_add_epi32(sums[i % 2], products);
        }
    }
    sum_i32(sums)
}

#[target_feature(enable = "avx2")]
fn dot_codes(a: &[u8], b: &[u8]) -> i32 {
    let (blocks_a, _) = a.as_chunks::<CODE_BLOCK>();
    let (blocks_b, _) = b.as_chunks::<CODE_BLOCK>();
    let bias = _mm_set1_epi8(CODE_BIAS as i8);
    let mut sums = [_mm256_setzero_si256(); 2];
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for i in 0..CODE_BLOCK / 16 {
            // SAFETY: a block has 64 bytes, and 16 * i + 16 <= 64.
            let (x, y) = unsafe {
                (
                    _mm_loadu_si128(a.as_ptr().add(16 * i).cast()),
                    _mm_loadu_si128(b.as_ptr().add(16 * i).cast()),
                )
            };
            // Flipping the highest bit takes 128 away and leaves a signed byte.
            let (x, y) = (_mm_xor_si128(x, bias), _mm_xor_si128(y, bias));
            let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(x), _mm256_cvtepi8_epi16(y));
            sums[i % 2] = _mm256_add_epi32(sums[i % 2], products);
        }
    }
    sum_i32(sums)
}
