//! The mean of each sequence's real rows.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::Kernels;
use crate::Packing;
use crate::op::{Kernel, Output, View, apply, runs_on};

impl Kernels {
    /// `x`: `[rows, d]`. Returns `[sequences, d]`; zeros for a sequence without real rows.
    pub fn sequence_mean(self, x: Tensor<2>, packing: &Arc<Packing>) -> Tensor<2> {
        if self.fused() && runs_on(&x) {
            return apply(SequenceMean(packing.clone()), [x.into_dispatch()]);
        }
        let (sequences, rows) = (packing.sequences(), packing.total_rows());
        let mut shares = vec![0.0_f32; sequences * rows];
        for i in 0..sequences {
            let keys = packing.keys(i);
            shares[i * rows + packing.starts()[i]..][..keys].fill(1.0 / keys.max(1) as f32);
        }
        let device = x.device().inner();
        Tensor::<2>::from_data(TensorData::new(shares, [sequences, rows]), &device).cast(x.dtype()).matmul(x)
    }
}

#[derive(Debug, Clone)]
struct SequenceMean(Arc<Packing>);

impl Kernel<1> for SequenceMean {
    type Saved = ();

    fn forward(&self, [x]: [View<'_>; 1], _needs: [bool; 1]) -> Output<()> {
        let (_, width) = x.rows();
        let packing = &self.0;
        let mut out = vec![0.0; packing.sequences() * width];
        out.par_chunks_mut(width).enumerate().for_each(|(i, out)| {
            let rows = &x.data[packing.starts()[i] * width..][..packing.keys(i) * width];
            for row in rows.chunks_exact(width) {
                out.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            let share = 1.0 / packing.keys(i).max(1) as f32;
            out.iter_mut().for_each(|sum| *sum *= share);
        });
        Output::new(out, [packing.sequences(), width])
    }

    fn reads(&self, _input: usize, _needs: [bool; 1]) -> bool {
        false
    }

    fn backward(&self, _x: [View<'_>; 1], (): (), grad: View<'_>, _: [bool; 1]) -> [Option<Vec<f32>>; 1] {
        let (_, width) = grad.rows();
        let packing = &self.0;
        let mut dx = vec![0.0; packing.total_rows() * width];
        crate::cpu::split_rows(&mut dx, packing.starts(), width)
            .into_par_iter()
            .zip(grad.data.par_chunks(width))
            .enumerate()
            .for_each(|(i, (dx, grad))| {
                let share = 1.0 / packing.keys(i).max(1) as f32;
                for row in dx.chunks_exact_mut(width).take(packing.keys(i)) {
                    row.iter_mut().zip(grad).for_each(|(dx, g)| *dx = g * share);
                }
            });
        [Some(dx)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compare, random};
    use super::*;

    #[test]
    fn fused_equals_composed() {
        for packing in [Packing::packed(&[3, 1, 5]), Packing::padded(&[3, 1, 5])] {
            compare(&[random([packing.total_rows(), 7], 1)], |kernels, t| {
                kernels.sequence_mean(t[0].clone(), &packing)
            });
        }
    }
}
