//! AVX-512: x86-64 servers since 2017, and many desktops.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Kernels;

static KERNELS: Kernels = Kernels {
    name: "avx512",
    // SAFETY (all entries): `available` hands these out only where the features were detected.
    dot: |a, b| unsafe { dot(a, b) },
};

pub(super) fn available() -> Option<&'static Kernels> {
    is_x86_feature_detected!("avx512f").then_some(&KERNELS)
}

#[target_feature(enable = "avx512f")]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let (blocks_a, rest_a) = a.as_chunks::<64>();
    let (blocks_b, rest_b) = b.as_chunks::<64>();
    let mut sums = [_mm512_setzero_ps(); 4];
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: a block has 64 numbers, and 16 * i + 16 <= 64.
            let (x, y) =
                unsafe { (_mm512_loadu_ps(a.as_ptr().add(16 * i)), _mm512_loadu_ps(b.as_ptr().add(16 * i))) };
            *sum = _mm512_fmadd_ps(x, y, *sum);
        }
    }
    for (a, b) in rest_a.chunks(16).zip(rest_b.chunks(16)) {
        let mask = ((1u32 << a.len()) - 1) as __mmask16;
        // SAFETY: both pieces have the same length of at most 16, and the mask has as many bits; numbers
        // outside the mask are not read.
        let (x, y) =
            unsafe { (_mm512_maskz_loadu_ps(mask, a.as_ptr()), _mm512_maskz_loadu_ps(mask, b.as_ptr())) };
        sums[0] = _mm512_fmadd_ps(x, y, sums[0]);
    }
    let total = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
    _mm512_reduce_add_ps(total)
}
