//! The large products of linear layers, into memory that is written once: in f32 by the `gemm` crate, of bf16
//! operands by `revela-bf16`.
#![allow(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use gemm::Parallelism;
use rayon::prelude::*;
use revela_bf16::{Source, Start, product};
use serde::{Deserialize, Serialize};

use super::few;

/// How f32 matrices are multiplied on the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matmul {
    /// As they are.
    #[default]
    F32,
    /// Operands are rounded to bf16, sums are f32. Takes little more than half the time on processors with
    /// AVX-512 BF16; others multiply in f32.
    Bf16,
}

impl FromStr for Matmul {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            other => Err(format!("unknown precision of products {other}; choose f32 or bf16")),
        }
    }
}

impl fmt::Display for Matmul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

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

    /// Whether one thread is enough.
    pub(super) fn is_small(self) -> bool {
        self.m * self.n * self.k < Self::PARALLEL
    }

    fn parallelism(self) -> Parallelism {
        if self.is_small() { Parallelism::None } else { Parallelism::Rayon(0) }
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

impl Matmul {
    pub(super) fn rounds(self) -> bool {
        self == Self::Bf16 && revela_bf16::native()
    }

    /// `x * w^T`: `x` is `[m, k]`, `w` is `[n, k]` (a linear layer's weight), the result `[m, n]`.
    pub fn linear(self, shape: Shape, x: &[f32], w: &[f32]) -> Vec<f32> {
        if self.rounds() {
            return rounded(shape, Source::along(x, shape.k), Source::along(w, shape.k), Start::Zero);
        }
        if few::pays(shape) {
            return few::linear(shape, x, w);
        }
        fresh(shape, (x, shape.k, 1), (w, 1, shape.k))
    }

    /// The same with `bias`, `[n]`, added to every row.
    pub fn linear_bias(self, shape: Shape, x: &[f32], w: &[f32], bias: &[f32]) -> Vec<f32> {
        if self.rounds() {
            return rounded(shape, Source::along(x, shape.k), Source::along(w, shape.k), Start::Bias(bias));
        }
        let mut y = self.linear(shape, x, w);
        add_bias(&mut y, bias);
        y
    }

    /// `a * b`: `a` is `[m, k]`, `b` is `[k, n]`.
    pub fn nn(self, shape: Shape, a: &[f32], b: &[f32]) -> Vec<f32> {
        if self.rounds() {
            return rounded(shape, Source::along(a, shape.k), Source::across(b, shape.n), Start::Zero);
        }
        fresh(shape, (a, shape.k, 1), (b, shape.n, 1))
    }

    /// `c += a^T * b`: `a` is `[k, m]`, `b` is `[k, n]`, `c` is `[m, n]`.
    pub fn tn_add(self, shape: Shape, a: &[f32], b: &[f32], c: &mut [f32]) {
        assert!(c.len() == shape.m * shape.n, "gemm result has the wrong length");
        if self.rounds() {
            return product(
                shape.into(),
                Source::across(a, shape.m),
                Source::across(b, shape.n),
                Start::Add,
                c,
            );
        }
        // SAFETY: `c` is an initialised slice of m * n numbers.
        unsafe { call(shape, c.as_mut_ptr(), true, (a, 1, shape.m), (b, shape.n, 1)) }
    }
}

impl From<Shape> for revela_bf16::Shape {
    fn from(Shape { m, n, k }: Shape) -> Self {
        Self { m, n, k }
    }
}

fn rounded(shape: Shape, a: Source<'_>, b: Source<'_>, start: Start<'_>) -> Vec<f32> {
    let mut c = vec![0.0; shape.m * shape.n];
    product(shape.into(), a, b, start, &mut c);
    c
}

/// Numbers per task.
const TASK: usize = 1 << 14;

fn add_bias(y: &mut [f32], bias: &[f32]) {
    let n = bias.len().max(1);
    y.par_chunks_mut((TASK / n).max(1) * n).for_each(|task| {
        for row in task.chunks_exact_mut(n) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_agree_in_both_precisions() {
        let shape = Shape { m: 3, n: 4, k: 2 };
        // Few bits each, so that rounding changes nothing.
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let w = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, -1.0];
        let w_t = [1.0, 0.0, 1.0, 2.0, 0.0, 1.0, 1.0, -1.0];
        let x_t = [1.0, 3.0, 5.0, 2.0, 4.0, 6.0];
        let expected = [1.0, 2.0, 3.0, 0.0, 3.0, 4.0, 7.0, 2.0, 5.0, 6.0, 11.0, 4.0];
        for matmul in [Matmul::F32, Matmul::Bf16] {
            assert_eq!(matmul.linear(shape, &x, &w), expected);
            assert_eq!(matmul.nn(shape, &x, &w_t), expected);
            let biased = matmul.linear_bias(shape, &x, &w, &[1.0, 0.0, 0.0, 2.0]);
            assert_eq!(biased[4..8], [4.0, 4.0, 7.0, 4.0]);
            let mut c = vec![1.0; 12];
            matmul.tn_add(shape, &x_t, &w_t, &mut c);
            assert!(c.iter().zip(expected).all(|(c, e)| *c == e + 1.0));
        }
    }

    #[test]
    fn names_parse_and_display() {
        for name in ["f32", "bf16"] {
            assert_eq!(name.parse::<Matmul>().unwrap().to_string(), name);
        }
        assert!("int8".parse::<Matmul>().unwrap_err().contains("choose f32 or bf16"));
    }
}
