//! The large products of linear layers, by the `gemm` crate, into memory that is written once.
#![allow(unsafe_code)]

use gemm::Parallelism;

/// `[m, k] x [k, n]`.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
}

impl Shape {
    /// Multiply-adds under which starting threads costs more than it saves.
    const PARALLEL: usize = 1 << 21;

    fn parallelism(self) -> Parallelism {
        if self.m * self.n * self.k < Self::PARALLEL { Parallelism::None } else { Parallelism::Rayon(0) }
    }
}

/// One operand: numbers and strides between rows and columns.
type Operand<'a> = (&'a [f32], usize, usize);

/// `c = a * b (+ c)`, row-major `c`.
///
/// SAFETY: `c` must be valid for `m * n` writes, and for as many reads where `add` is set.
unsafe fn call(shape: Shape, c: *mut f32, add: bool, a: Operand<'_>, b: Operand<'_>) {
    let Shape { m, n, k } = shape;
    assert!(a.0.len() >= m * k && b.0.len() >= k * n, "gemm operands are too short");
    // SAFETY: operands are dense [m, k] and [k, n] matrices (either way round) of the asserted length;
    // strides address exactly their elements; `c` is valid by this function's contract.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c,
            1,
            n as isize,
            add,
            a.0.as_ptr(),
            a.2 as isize,
            a.1 as isize,
            b.0.as_ptr(),
            b.2 as isize,
            b.1 as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            shape.parallelism(),
        );
    }
}

fn fresh(shape: Shape, a: Operand<'_>, b: Operand<'_>) -> Vec<f32> {
    let len = shape.m * shape.n;
    let mut c: Vec<f32> = Vec::with_capacity(len);
    // SAFETY: the capacity is there; without `add`, gemm writes every element before any is read; the
    // length is set only after that. With k = 0 gemm still writes (zeros).
    unsafe {
        call(shape, c.as_mut_ptr(), false, a, b);
        c.set_len(len);
    }
    c
}

/// `x * w^T`: `x` is `[m, k]`, `w` is `[n, k]` (a linear layer's weight), the result `[m, n]`.
pub fn linear_forward(shape: Shape, x: &[f32], w: &[f32]) -> Vec<f32> {
    fresh(shape, (x, shape.k, 1), (w, 1, shape.k))
}

/// `a * b`: `a` is `[m, k]`, `b` is `[k, n]`.
pub fn product_nn(shape: Shape, a: &[f32], b: &[f32]) -> Vec<f32> {
    fresh(shape, (a, shape.k, 1), (b, shape.n, 1))
}

/// `c += a^T * b`: `a` is `[k, m]`, `b` is `[k, n]`, `c` is `[m, n]`.
pub fn product_tn_add(shape: Shape, a: &[f32], b: &[f32], c: &mut [f32]) {
    assert!(c.len() == shape.m * shape.n, "gemm result has the wrong length");
    // SAFETY: `c` is an initialised slice of m * n numbers.
    unsafe { call(shape, c.as_mut_ptr(), true, (a, 1, shape.m), (b, shape.n, 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_layouts_agree() {
        let shape = Shape { m: 3, n: 4, k: 2 };
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let w = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, -1.0];
        let w_t = [1.0, 0.0, 1.0, 2.0, 0.0, 1.0, 1.0, -1.0];
        let x_t = [1.0, 3.0, 5.0, 2.0, 4.0, 6.0];
        let expected = [1.0, 2.0, 3.0, 0.0, 3.0, 4.0, 7.0, 2.0, 5.0, 6.0, 11.0, 4.0];
        assert_eq!(linear_forward(shape, &x, &w), expected);
        assert_eq!(product_nn(shape, &x, &w_t), expected);
        let mut c = vec![1.0; 12];
        product_tn_add(shape, &x_t, &w_t, &mut c);
        assert!(c.iter().zip(expected).all(|(c, e)| *c == e + 1.0));
    }
}
