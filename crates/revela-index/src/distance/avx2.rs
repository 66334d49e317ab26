//! AVX2 with FMA: x86-64 since about 2013.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Kernels;

static KERNELS: Kernels = Kernels {
    name: "avx2",
    // SAFETY (all entries): `available` hands these out only where the features were detected.
    dot: |a, b| unsafe { dot(a, b) },
};

pub(super) fn available() -> Option<&'static Kernels> {
    let present = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    present.then_some(&KERNELS)
}

#[target_feature(enable = "avx2,fma")]
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
    let total = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    let half = _mm_add_ps(_mm256_castps256_ps128(total), _mm256_extractf128_ps::<1>(total));
    let quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
    let sum = _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
    rest_a.iter().zip(rest_b).fold(sum, |sum, (x, y)| x.mul_add(*y, sum))
}
