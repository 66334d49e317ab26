//! NEON: every 64-bit ARM.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::Kernels;

static KERNELS: Kernels = Kernels {
    name: "neon",
    // SAFETY (all entries): NEON is part of every aarch64 target.
    dot: |a, b| unsafe { dot(a, b) },
};

pub(super) fn available() -> Option<&'static Kernels> {
    Some(&KERNELS)
}

#[target_feature(enable = "neon")]
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
