//! Small products in either precision.

use std::cell::RefCell;

use revela_bf16::{Left, Right, Source, Start, Target, multiply};

use super::microkernel::{self, matmul};
use super::{Mat, MatMut, Matmul, Packed, Panels, RightOperand, Store, arch};

/// Memory of rounded operands, used again by the next product of the thread.
#[derive(Default)]
struct Scratch {
    left: Left,
    right: Right,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Matmul {
    /// Packs `n` rows of `k` numbers, `stride` apart; the rows become the columns of the right operand.
    pub fn pack(self, rows: &[f32], n: usize, k: usize, stride: usize) -> Packed {
        if self.rounds() {
            return Packed::Bf16(Right::new(Source::along(rows, stride), n, k));
        }
        Packed::F32(Panels::pack(rows, n, k, stride))
    }

    /// `c = a * b` or `c += a * b` on this thread, for matrices that stay in the cache: `a` is `[m, k]`, `b` is
    /// `[k, n]`, `c` is `[m, n]`. Of packed operands as many columns are taken as `c` has; `c` may have more than
    /// were packed, up to whole panels: these become zero.
    ///
    /// # Panics
    /// When the shapes do not fit each other or reach outside their slices: a bug in the calling kernel.
    pub fn tile(self, a: Mat<'_>, b: RightOperand<'_>, c: MatMut<'_>, store: Store) {
        match b {
            RightOperand::Packed(Packed::F32(panels)) => {
                matmul(arch(), a, microkernel::Right::Panels(panels), c, store)
            }
            RightOperand::Packed(Packed::Bf16(right)) => {
                SCRATCH.with_borrow_mut(|scratch| rounded(&mut scratch.left, a, right, c, store));
            }
            RightOperand::Rows { data, stride } if self.rounds() => SCRATCH.with_borrow_mut(|scratch| {
                let Scratch { left, right } = scratch;
                right.fill(Source::across(data, stride), c.cols, a.cols);
                rounded(left, a, right, c, store);
            }),
            RightOperand::Rows { data, stride } => {
                matmul(arch(), a, microkernel::Right::Rows { data, stride }, c, store);
            }
        }
    }
}

fn rounded(left: &mut Left, a: Mat<'_>, right: &Right, c: MatMut<'_>, store: Store) {
    assert!(a.rows == c.rows, "the shapes of a tile do not fit");
    let source = match (a.row_stride, a.col_stride) {
        (stride, 1) => Source::along(a.data, stride),
        (1, stride) => Source::across(a.data, stride),
        _ => unreachable!("a matrix of rows, or its transpose"),
    };
    left.fill(source, a.rows, a.cols);
    let start = match store {
        Store::Set => Start::Zero,
        Store::Add => Start::Add,
    };
    multiply(left, right, start, Target::new(c.data, c.cols, c.stride));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_agree_on_numbers_of_few_bits() {
        let numbers = |n: usize, by: usize| (0..n).map(|i| (i * by % 13) as f32 - 6.0).collect::<Vec<_>>();
        let (m, n, k) = (17, 45, 20);
        let (rows, columns, b) = (numbers(m * k, 5), numbers(k * m, 7), numbers(n * k, 3));
        let all = |matmul: Matmul| {
            let packed = matmul.pack(&b, n, k, k);
            let mut c = vec![1.0; m * n];
            let left = [Mat::new(&rows, m, k, k), Mat::new(&columns, k, m, m).transposed()];
            let right = [RightOperand::Packed(&packed), RightOperand::Rows { data: &b, stride: n }];
            for (left, right) in left.into_iter().flat_map(|l| right.into_iter().map(move |r| (l, r))) {
                matmul.tile(left, right, MatMut::new(&mut c, m, n, n), Store::Add);
            }
            c
        };
        assert_eq!(all(Matmul::Bf16), all(Matmul::F32));
    }
}
