//! The gate of a SwiGLU feed-forward layer (Shazeer 2020, arXiv:2002.05202).

use burn::tensor::{Tensor, activation};
use rayon::prelude::*;

use super::Kernels;
use crate::cpu::{vector::sigmoid, vectorised};
use crate::op::{Keep, Kernel, Output, View, apply, runs_on};

/// Numbers per task.
const TASK: usize = 1 << 14;

impl Kernels {
    /// `silu(gate) * up`, all of one shape.
    pub fn swiglu(self, gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
        if self.fused() && runs_on(&gate) && runs_on(&up) {
            return apply(SwiGlu, [gate.into_dispatch(), up.into_dispatch()]);
        }
        activation::silu(gate) * up
    }
}

#[derive(Debug, Clone)]
struct SwiGlu;

impl Kernel<2> for SwiGlu {
    type Saved = ();

    const KEEP: Keep = Keep::Inputs;

    fn forward(&self, [gate, up]: [View<'_>; 2], _needs: [bool; 2]) -> Output<()> {
        let mut out = vec![0.0; gate.data.len()];
        out.par_chunks_mut(TASK).zip(gate.data.par_chunks(TASK).zip(up.data.par_chunks(TASK))).for_each(
            |(out, (gate, up))| {
                vectorised(
                    #[inline(always)]
                    || {
                        for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                            *out = g * sigmoid(g) * u;
                        }
                    },
                );
            },
        );
        Output::new(out, gate.shape)
    }

    fn backward(
        &self,
        [gate, up]: [View<'_>; 2],
        (): (),
        grad: View<'_>,
        _needs: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let (mut d_gate, mut d_up) = (vec![0.0; gate.data.len()], vec![0.0; gate.data.len()]);
        d_gate
            .par_chunks_mut(TASK)
            .zip(d_up.par_chunks_mut(TASK))
            .zip(gate.data.par_chunks(TASK).zip(up.data.par_chunks(TASK)))
            .zip(grad.data.par_chunks(TASK))
            .for_each(|(((d_gate, d_up), (gate, up)), grad)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for ((((d_gate, d_up), &g), &u), &dy) in
                            d_gate.iter_mut().zip(d_up.iter_mut()).zip(gate).zip(up).zip(grad)
                        {
                            let s = sigmoid(g);
                            *d_up = dy * g * s;
                            *d_gate = dy * u * s * (1.0 + g * (1.0 - s));
                        }
                    },
                );
            });
        [Some(d_gate), Some(d_up)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compare, random};

    #[test]
    fn fused_equals_composed() {
        for shape in [[1, 5], [40, 700]] {
            compare(&[random(shape, 1), random(shape, 2)], |kernels, t| {
                kernels.swiglu(t[0].clone(), t[1].clone())
            });
        }
    }
}
