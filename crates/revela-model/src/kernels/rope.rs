//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864), pairing halves as Hugging Face does.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::Kernels;
use crate::Packing;
use crate::cpu::vectorised;
use crate::op::{Kernel, Output, View, apply};

/// Cosines and sines for every position, `[positions, dim / 2]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeTable {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RopeTable {
    /// Angles `position * frequency` for each of `dim / 2` frequencies (radians per position).
    pub fn new(positions: usize, frequencies: &[f64]) -> Self {
        Self::of((0..positions).map(|p| p as f32), frequencies)
    }

    /// Angles of one position, which may be negative.
    pub fn single(position: f32, frequencies: &[f64]) -> Self {
        Self::of(std::iter::once(position), frequencies)
    }

    fn of(positions: impl Iterator<Item = f32>, frequencies: &[f64]) -> Self {
        // The angle is rounded to f32 before the cosine because the reference computes it so.
        let angles =
            positions.flat_map(|p| frequencies.iter().map(move |f| p * *f as f32)).collect::<Vec<_>>();
        Self {
            half: frequencies.len(),
            cos: angles.iter().map(|a| a.cos()).collect(),
            sin: angles.iter().map(|a| a.sin()).collect(),
        }
    }

    /// Number of positions.
    pub fn positions(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }

    /// Where the angles of a position stand.
    #[inline(always)]
    fn row(&self, position: usize) -> usize {
        if self.cos.len() == self.half { 0 } else { position }
    }
}

/// The rotation of one batch: a table, and which rows stand at which position.
#[derive(Debug, Clone)]
pub struct Rope {
    table: Arc<RopeTable>,
    packing: Arc<Packing>,
    /// `[rows, 1, dim / 2]` on the device, for the composed form.
    tensors: Option<(Tensor<3>, Tensor<3>)>,
}

impl Rope {
    /// Prepares the rotation of a batch whose longest sequence the table covers, for kernels that were asked
    /// whether they run ([`Kernels::on`]).
    ///
    /// A table of a single position turns every row by it.
    pub fn new(table: Arc<RopeTable>, packing: Arc<Packing>, kernels: Kernels, device: &Device) -> Self {
        // The kernel needs no tensors.
        let tensors = (kernels == Kernels::Composed).then(|| {
            let gather = |from: &[f32]| {
                let rows = packing.positions().flat_map(|p| &from[table.row(p) * table.half..][..table.half]);
                let data = TensorData::new(rows.copied().collect(), [packing.total_rows(), 1, table.half]);
                Tensor::<3>::from_data(data, device)
            };
            (gather(&table.cos), gather(&table.sin))
        });
        Self { table, packing, tensors }
    }
}

impl Kernels {
    /// Rotates every head of `x` (`[rows, heads * dim]`) to the position of its row.
    pub fn rotate(self, x: Tensor<2>, rope: &Rope) -> Tensor<2> {
        let Some((cos, sin)) = &rope.tensors else {
            let kernel = Rotate { table: rope.table.clone(), packing: rope.packing.clone(), direction: 1.0 };
            return apply(kernel, [x.into_dispatch()]);
        };
        let [rows, width] = x.dims();
        let half = rope.table.half;
        let (dtype, heads) = (x.dtype(), width / (2 * half));
        let (cos, sin) = (cos.clone().cast(dtype), sin.clone().cast(dtype));
        let x = x.reshape([rows, heads, 2 * half]);
        let (a, b) = (x.clone().narrow(2, 0, half), x.narrow(2, half, half));
        let first = a.clone() * cos.clone() - b.clone() * sin.clone();
        let second = b * cos + a * sin;
        Tensor::cat(vec![first, second], 2).reshape([rows, width])
    }
}

#[derive(Debug, Clone)]
struct Rotate {
    table: Arc<RopeTable>,
    packing: Arc<Packing>,
    /// 1 forward; -1 for the gradient, since the transpose of a rotation is its inverse.
    direction: f32,
}

impl Rotate {
    fn turn(&self, x: View<'_>) -> Vec<f32> {
        let (_, width) = x.rows();
        let mut out = vec![0.0; x.data.len()];
        let pieces = crate::cpu::split_rows(&mut out, self.packing.starts(), width);
        pieces.into_par_iter().zip(self.packing.starts()).for_each(|(out, start)| {
            vectorised(
                #[inline(always)]
                || {
                    let rows = out.chunks_exact_mut(width).zip(x.data[start * width..].chunks_exact(width));
                    for (position, (out, x)) in rows.enumerate() {
                        self.turn_row(position, x, out);
                    }
                },
            );
        });
        out
    }

    #[inline(always)]
    fn turn_row(&self, position: usize, x: &[f32], out: &mut [f32]) {
        let (half, position) = (self.table.half, self.table.row(position));
        let cos = &self.table.cos[position * half..][..half];
        let sin = &self.table.sin[position * half..][..half];
        for (out, x) in out.chunks_exact_mut(2 * half).zip(x.chunks_exact(2 * half)) {
            let ((out_a, out_b), (a, b)) = (out.split_at_mut(half), x.split_at(half));
            for i in 0..half {
                let s = sin[i] * self.direction;
                out_a[i] = a[i] * cos[i] - b[i] * s;
                out_b[i] = b[i] * cos[i] + a[i] * s;
            }
        }
    }
}

impl Kernel<1> for Rotate {
    type Saved = ();

    fn forward(&self, [x]: [View<'_>; 1], _needs: [bool; 1]) -> Output<()> {
        Output::new(self.turn(x), x.shape)
    }

    fn reads(&self, _input: usize, _needs: [bool; 1]) -> bool {
        false
    }

    fn backward(&self, _x: [View<'_>; 1], (): (), grad: View<'_>, _: [bool; 1]) -> [Option<Vec<f32>>; 1] {
        [Some(Self { direction: -self.direction, ..self.clone() }.turn(grad))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compare, random};
    use super::*;

    #[test]
    fn turning_all_rows_by_a_position_moves_them_by_it() {
        let (frequencies, packing) = ([1.0, 0.1, 0.01], Packing::packed(&[4, 2]));
        let x = random([6, 12], 2);
        let device = x.device();
        let turn = |x: Tensor<2>, table: RopeTable, rows: &[usize]| {
            let rope = Rope::new(Arc::new(table), Packing::packed(rows), Kernels::Fused, &device);
            Kernels::Fused.rotate(x, &rope)
        };
        let placed = turn(x.clone(), RopeTable::new(4, &frequencies), packing.lengths());
        let back = turn(placed.clone(), RopeTable::single(-3.0, &frequencies), packing.lengths());
        // The last row of the first sequence stands at position 3: moved back by 3 it stands at 0.
        let difference = back.narrow(0, 3, 1) - x.narrow(0, 3, 1);
        assert!(difference.abs().max().into_scalar::<f32>() < 1e-5);
        compare(&[placed], |kernels, t| {
            let table = Arc::new(RopeTable::single(-3.0, &frequencies));
            kernels.rotate(t[0].clone(), &Rope::new(table, packing.clone(), kernels, &device))
        });
    }

    #[test]
    fn fused_equals_composed() {
        let table = Arc::new(RopeTable::new(9, &[1.0, 0.1, 0.01]));
        let packing = Packing::packed(&[9, 1, 4]);
        compare(&[random([14, 4 * 6], 1)], |kernels, t| {
            let rope = Rope::new(table.clone(), packing.clone(), kernels, &t[0].device());
            kernels.rotate(t[0].clone(), &rope)
        });
    }
}
