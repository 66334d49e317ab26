//! Linear layers of few rows: a query's few tokens.
//!
//! `gemm` packs the weights anew for every product, which takes longer than multiplying them with a few rows. Here
//! both operands are read where they stand, along the sums, in blocks of rows of both whose sums stay in registers.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{Shape, arch};

/// Whether this is faster than packing, as measured with 384 and 1,536 columns and sums: where the result is
/// narrow, `gemm` has little to share among threads.
pub(super) fn pays(shape: Shape) -> bool {
    shape.m <= if shape.n <= 512 { 128 } else { 48 }
}

/// Rows of weights per task.
const TASK: usize = 64;

/// Rows of the left operand in a block.
const HIGH: usize = 4;

/// `x * w^T`: `x` is `[m, k]`, `w` is `[n, k]`, the result `[m, n]`.
pub(super) fn linear(shape: Shape, x: &[f32], w: &[f32]) -> Vec<f32> {
    let Shape { m, n, k } = shape;
    assert!(x.len() == m * k && w.len() == n * k, "operands of a linear layer have wrong lengths");
    if m == 0 || n == 0 || k == 0 {
        return vec![0.0; m * n];
    }
    // Column by column, so that tasks write apart from each other.
    let mut columns = vec![0.0; n * m];
    let task = |(w, columns): (&[f32], &mut [f32])| arch().dispatch(Columns { x, w, k, columns, m });
    if shape.is_small() {
        task((w, &mut columns));
    } else {
        w.par_chunks(TASK * k).zip(columns.par_chunks_mut(TASK * m)).for_each(task);
    }
    let mut y = vec![0.0; m * n];
    for (i, row) in y.chunks_exact_mut(n).enumerate() {
        row.iter_mut().zip(columns.chunks_exact(m)).for_each(|(y, column)| *y = column[i]);
    }
    y
}

/// Some columns of the result, one after the other.
struct Columns<'a> {
    x: &'a [f32],
    w: &'a [f32],
    k: usize,
    columns: &'a mut [f32],
    m: usize,
}

impl WithSimd for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // AVX2 has 16 registers, too few for the larger block.
        let done =
            if S::F32_LANES == 8 { self.blocks::<S, 2>(simd, 0) } else { self.blocks::<S, 4>(simd, 0) };
        self.blocks::<S, 1>(simd, done);
    }
}

impl Columns<'_> {
    /// Columns from `first` on, `WIDE` at a time; returns how many there are until the last whole block.
    #[inline(always)]
    fn blocks<S: Simd, const WIDE: usize>(&mut self, simd: S, first: usize) -> usize {
        let (k, m) = (self.k, self.m);
        let mut done = first;
        let weights = self.w[first * k..].chunks_exact(WIDE * k);
        for (w, columns) in weights.zip(self.columns[first * m..].chunks_exact_mut(WIDE * m)) {
            let mut row = 0;
            while row + HIGH <= m {
                block::<S, HIGH, WIDE>(simd, &self.x[row * k..], w, k, &mut columns[row..], m);
                row += HIGH;
            }
            while row < m {
                block::<S, 1, WIDE>(simd, &self.x[row * k..], w, k, &mut columns[row..], m);
                row += 1;
            }
            done += WIDE;
        }
        done
    }
}

/// The products of `H` rows of `x` with `W` rows of `w`.
#[inline(always)]
fn block<S: Simd, const H: usize, const W: usize>(
    simd: S,
    x: &[f32],
    w: &[f32],
    k: usize,
    columns: &mut [f32],
    m: usize,
) {
    let steps = k / S::F32_LANES;
    let mut left: [&[S::f32s]; H] = [&[]; H];
    let mut right: [&[S::f32s]; W] = [&[]; W];
    for (i, left) in left.iter_mut().enumerate() {
        *left = &S::as_simd_f32s(&x[i * k..(i + 1) * k]).0[..steps];
    }
    for (j, right) in right.iter_mut().enumerate() {
        *right = &S::as_simd_f32s(&w[j * k..(j + 1) * k]).0[..steps];
    }
    let mut sums = [[simd.splat_f32s(0.0); W]; H];
    for p in 0..steps {
        for i in 0..H {
            for j in 0..W {
                sums[i][j] = simd.mul_add_e_f32s(left[i][p], right[j][p], sums[i][j]);
            }
        }
    }
    let tail = steps * S::F32_LANES;
    for i in 0..H {
        for j in 0..W {
            let mut sum = simd.reduce_sum_f32s(sums[i][j]);
            for p in tail..k {
                sum += x[i * k + p] * w[j * k + p];
            }
            columns[j * m + i] = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_single_sums() {
        for (m, n, k) in
            [(0, 3, 2), (1, 1, 1), (3, 5, 17), (4, 4, 16), (7, 66, 33), (9, 130, 70), (40, 300, 200)]
        {
            let number = |at: usize| ((at as u32).wrapping_mul(0x9e37_79b9) >> 16) as f32 / 65536.0 - 0.5;
            let x: Vec<f32> = (0..m * k).map(number).collect();
            let w: Vec<f32> = (m * k..m * k + n * k).map(number).collect();
            let y = linear(Shape { m, n, k }, &x, &w);
            assert_eq!(y.len(), m * n);
            for (at, y) in y.iter().enumerate() {
                let (x, w) = (&x[at / n * k..][..k], &w[at % n * k..][..k]);
                let expected: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                assert!((f64::from(*y) - expected).abs() < 1e-5, "{m} {n} {k}: {y} {expected}");
            }
        }
    }
}
