//! The small matrix product inside attention, tuned for tiles that stay in the cache.
//!
//! `gemm` packs both operands anew on every call, which costs a third of the time at a head's sizes
//! (k = 64). Here the left operand is read where it stands, and the right one either stands in rows
//! already or was packed once for all the products that share it ([`super::Panels`]). The inner block
//! keeps 12 x 2 vectors of the result in registers (AVX-512, NEON) or 6 x 2 (AVX2).
#![allow(unsafe_code)]

use pulp::{Simd, WithSimd};

use super::matrix::inside;
use super::{Mat, MatMut, PANEL, Panels, Store};

/// `c = a * b` or `c += a * b`; `a` is `[m, k]`, `b` is `[k, n]`, `c` is `[m, n]`.
///
/// # Panics
/// When the shapes do not fit each other or reach outside their slices: a bug in the calling kernel.
pub(super) fn matmul(arch: pulp::Arch, a: Mat<'_>, b: Right<'_>, c: MatMut<'_>, store: Store) {
    assert!(a.fits() && c.fits(), "matmul operands reach outside their slices");
    assert!(c.rows == a.rows && b.fits(a.cols, c.cols), "matmul shapes do not fit");
    arch.dispatch(Product { a, b, m: c.rows, n: c.cols, c_stride: c.stride, c: c.data.as_mut_ptr(), store });
}

/// The right operand in f32.
#[derive(Clone, Copy)]
pub(super) enum Right<'a> {
    /// Rows, `stride` numbers apart.
    Rows { data: &'a [f32], stride: usize },
    /// Packed columns.
    Panels(&'a Panels),
}

impl Right<'_> {
    fn fits(&self, k: usize, n: usize) -> bool {
        match self {
            Self::Rows { data, stride } => inside(data.len(), k, n, *stride, 1),
            Self::Panels(panels) => {
                panels.k == k && n <= panels.columns && panels.data.len() == panels.columns * k
            }
        }
    }
}

struct Product<'a> {
    a: Mat<'a>,
    b: Right<'a>,
    m: usize,
    n: usize,
    c: *mut f32,
    c_stride: usize,
    store: Store,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let wide = 2 * S::F32_LANES;
        let mut j = 0;
        while j + wide <= self.n {
            self.columns::<S, 2>(simd, j);
            j += wide;
        }
        while j + S::F32_LANES <= self.n {
            self.columns::<S, 1>(simd, j);
            j += S::F32_LANES;
        }
        self.scalar_columns(j);
    }
}

impl Product<'_> {
    /// Where column `j` of `b` starts, and the distance between its rows.
    #[inline(always)]
    fn b_at(&self, j: usize) -> (*const f32, usize) {
        match self.b {
            // SAFETY: `fits` checked that every element of the k x n operand lies in the slice.
            Right::Rows { data, stride } => (unsafe { data.as_ptr().add(j) }, stride),
            Right::Panels(panels) => {
                let at = j / PANEL * PANEL * panels.k + j % PANEL;
                // SAFETY: as above; panels are padded to whole multiples of PANEL columns.
                (unsafe { panels.data.as_ptr().add(at) }, PANEL)
            }
        }
    }

    #[inline(always)]
    fn columns<S: Simd, const NV: usize>(&self, simd: S, j: usize) {
        let mut i = 0;
        if S::F32_LANES == 8 {
            // AVX2 has 16 registers, too few for the larger block.
            while i + 6 <= self.m {
                self.block::<S, 6, NV>(simd, i, j);
                i += 6;
            }
        } else {
            while i + 12 <= self.m {
                self.block::<S, 12, NV>(simd, i, j);
                i += 12;
            }
        }
        while i + 4 <= self.m {
            self.block::<S, 4, NV>(simd, i, j);
            i += 4;
        }
        while i < self.m {
            self.block::<S, 1, NV>(simd, i, j);
            i += 1;
        }
    }

    #[inline(always)]
    fn block<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, i: usize, j: usize) {
        let lanes = S::F32_LANES;
        let (b, b_stride) = self.b_at(j);
        let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
        // SAFETY: rows i..i+MR, columns j..j+NV*lanes and all k lie inside the three operands (checked
        // in `matmul`), `c` is borrowed mutably for as long as `self` lives, and S::f32s is plain data
        // of `lanes` f32 that is read and written unaligned.
        unsafe {
            let a = self.a.data.as_ptr().add(i * self.a.row_stride);
            for p in 0..self.a.cols {
                let row = b.add(p * b_stride);
                let b_row: [S::f32s; NV] =
                    std::array::from_fn(|v| row.add(v * lanes).cast::<S::f32s>().read_unaligned());
                let a_col = a.add(p * self.a.col_stride);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let a_value = simd.splat_f32s(*a_col.add(r * self.a.row_stride));
                    for (sum, b_value) in sums.iter_mut().zip(b_row) {
                        *sum = simd.mul_add_f32s(a_value, b_value, *sum);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                let row = self.c.add((i + r) * self.c_stride + j);
                for (v, &sum) in sums.iter().enumerate() {
                    let to = row.add(v * lanes).cast::<S::f32s>();
                    to.write_unaligned(match self.store {
                        Store::Set => sum,
                        Store::Add => simd.add_f32s(to.read_unaligned(), sum),
                    });
                }
            }
        }
    }

    /// The last columns, fewer than a vector.
    #[inline(always)]
    fn scalar_columns(&self, from: usize) {
        for j in from..self.n {
            let (b, b_stride) = self.b_at(j);
            for i in 0..self.m {
                let mut sum = 0.0;
                // SAFETY: indices lie inside the operands, as checked in `matmul`.
                unsafe {
                    for p in 0..self.a.cols {
                        let a = self.a.data.as_ptr().add(i * self.a.row_stride + p * self.a.col_stride);
                        sum += *a * *b.add(p * b_stride);
                    }
                    let to = self.c.add(i * self.c_stride + j);
                    *to = match self.store {
                        Store::Set => sum,
                        Store::Add => *to + sum,
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mut x = seed;
        (0..n)
            .map(|_| {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (x >> 8) as f32 / 16_777_216.0 - 0.5
            })
            .collect()
    }

    fn plain(a: Mat<'_>, b: impl Fn(usize, usize) -> f32, n: usize) -> Vec<f32> {
        let mut c = Vec::new();
        for i in 0..a.rows {
            for j in 0..n {
                let at = |p| a.data[i * a.row_stride + p * a.col_stride];
                c.push((0..a.cols).map(|p| at(p) * b(p, j)).sum::<f32>());
            }
        }
        c
    }

    #[test]
    fn agrees_with_the_definition_at_every_remainder() {
        for arch in [pulp::Arch::Scalar, pulp::Arch::new()] {
            for (m, n, k) in [(1, 1, 1), (13, 33, 5), (12, 64, 64), (25, 50, 8), (7, 17, 3), (40, 31, 160)] {
                let a = numbers(m * (k + 3), 1);
                let b = numbers(k * (n + 2), 2);
                let left = Mat::new(&a, m, k, k + 3);
                let expected = plain(left, |p, j| b[p * (n + 2) + j], n);
                let mut c = vec![1.0; m * n];
                let right = Right::Rows { data: &b, stride: n + 2 };
                matmul(arch, left, right, MatMut::new(&mut c, m, n, n), Store::Set);
                matmul(arch, left, right, MatMut::new(&mut c, m, n, n), Store::Add);
                for (got, want) in c.iter().zip(&expected) {
                    assert!((got - 2.0 * want).abs() < 1e-4, "{m} {n} {k}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn panels_and_transposed_left_operands() {
        let (m, n, k) = (29, 45, 11);
        let a = numbers(k * m, 3);
        let rows = numbers(n * k, 4);
        let panels = Panels::pack(&rows, n, k, k);
        let left = Mat::new(&a, k, m, m).transposed();
        let expected = plain(left, |p, j| rows[j * k + p], n);
        let mut c = vec![0.0; m * 64];
        matmul(pulp::Arch::new(), left, Right::Panels(&panels), MatMut::new(&mut c, m, 64, 64), Store::Set);
        for i in 0..m {
            for j in 0..64 {
                let want = if j < n { expected[i * n + j] } else { 0.0 };
                assert!((c[i * 64 + j] - want).abs() < 1e-5);
            }
        }
    }

    #[test]
    #[should_panic(expected = "outside")]
    fn reaching_outside_is_refused() {
        let a = [0.0; 5];
        let mut c = [0.0; 6];
        let right = Right::Rows { data: &a, stride: 2 };
        matmul(pulp::Arch::new(), Mat::new(&a, 3, 2, 2), right, MatMut::new(&mut c, 3, 2, 2), Store::Set);
    }
}
