//! Layer normalisation (Ba et al. 2016, arXiv:1607.06450).

use burn::tensor::{DType, Tensor};
use rayon::prelude::*;

use super::Kernels;
use crate::cpu::vector::{dot, sum};
use crate::cpu::vectorised;
use crate::op::{Kernel, Output, View, apply, runs_on};

/// Rows per task.
const TASK: usize = 32;

impl Kernels {
    /// `(x - mean) / sqrt(variance + eps) * weight + bias` over the last axis; `x`: `[rows, d]`, `weight` and
    /// `bias`: `[d]`. Without a bias it is zero.
    ///
    /// Mean and variance are taken in f32 whatever the dtype of `x`.
    pub fn layer_norm(self, x: Tensor<2>, weight: Tensor<1>, bias: Option<Tensor<1>>, eps: f64) -> Tensor<2> {
        if self.fused() && runs_on(&x) && runs_on(&weight) {
            let bias = bias.unwrap_or_else(|| weight.clone().inner().zeros_like());
            let kernel = LayerNorm { eps: eps as f32 };
            return apply(kernel, [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()]);
        }
        let dtype = x.dtype();
        let wide = x.cast(DType::F32);
        let centred = wide.clone() - wide.mean_dim(1);
        let variance = centred.clone().powf_scalar(2.0).mean_dim(1).add_scalar(eps);
        let scaled = (centred * variance.sqrt().recip()).cast(dtype) * weight.unsqueeze::<2>();
        match bias {
            Some(bias) => scaled + bias.unsqueeze::<2>(),
            None => scaled,
        }
    }
}

#[derive(Debug, Clone)]
struct LayerNorm {
    eps: f32,
}

impl LayerNorm {
    /// Writes the row with mean 0 and variance 1; returns what it was divided by, inverted.
    #[inline(always)]
    fn standardise(&self, x: &[f32], out: &mut [f32]) -> f32 {
        let n = x.len() as f32;
        let mean = sum(x) / n;
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x - mean;
        }
        let inverse = 1.0 / (dot(out, out) / n + self.eps).sqrt();
        for out in out {
            *out *= inverse;
        }
        inverse
    }

    /// With y the standardised row and g = dy * w: dx = (g - mean(g) - y mean(g y)) * inverse.
    #[inline(always)]
    fn backward_row(
        &self,
        x: &[f32],
        w: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        sums: &mut [f32],
        y: &mut [f32],
    ) {
        let n = x.len() as f32;
        let inverse = self.standardise(x, y);
        let (dw, db) = sums.split_at_mut(x.len());
        for ((((dx, dw), db), (&w, &y)), &dy) in dx.iter_mut().zip(dw).zip(db).zip(w.iter().zip(&*y)).zip(dy)
        {
            *dw += dy * y;
            *db += dy;
            *dx = dy * w;
        }
        let (mean, slope) = (sum(dx) / n, dot(dx, y) / n);
        for (dx, &y) in dx.iter_mut().zip(&*y) {
            *dx = (*dx - mean - y * slope) * inverse;
        }
    }
}

impl Kernel<3> for LayerNorm {
    type Saved = ();

    fn forward(&self, [x, weight, bias]: [View<'_>; 3], _needs: [bool; 3]) -> Output<()> {
        let (_, width) = x.rows();
        let mut out = vec![0.0; x.data.len()];
        out.par_chunks_mut(TASK * width).zip(x.data.par_chunks(TASK * width)).for_each(|(out, x)| {
            vectorised(
                #[inline(always)]
                || {
                    for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                        self.standardise(x, out);
                        for ((out, w), b) in out.iter_mut().zip(weight.data).zip(bias.data) {
                            *out = *out * w + b;
                        }
                    }
                },
            );
        });
        Output::new(out, x.shape)
    }

    fn reads(&self, input: usize, _needs: [bool; 3]) -> bool {
        input < 2
    }

    fn backward(
        &self,
        [x, weight, _]: [View<'_>; 3],
        (): (),
        grad: View<'_>,
        _needs: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let (_, width) = x.rows();
        let mut dx = vec![0.0; x.data.len()];
        let inputs = x.data.par_chunks(TASK * width).zip(grad.data.par_chunks(TASK * width));
        let tasks: Vec<Vec<f32>> = dx
            .par_chunks_mut(TASK * width)
            .zip(inputs)
            .map(|(dx, (x, grad))| {
                let (mut sums, mut y) = (vec![0.0; 2 * width], vec![0.0; width]);
                vectorised(
                    #[inline(always)]
                    || {
                        let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width));
                        for ((dx, x), dy) in rows.zip(grad.chunks_exact(width)) {
                            self.backward_row(x, weight.data, dy, dx, &mut sums, &mut y);
                        }
                    },
                );
                sums
            })
            .collect();
        // Tasks are summed in order, so the result does not depend on which finished first.
        let mut sums = vec![0.0; 2 * width];
        for task in tasks {
            sums.iter_mut().zip(task).for_each(|(sum, part)| *sum += part);
        }
        let db = sums.split_off(width);
        [Some(dx), Some(sums), Some(db)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compare, random};

    #[test]
    fn fused_equals_composed() {
        for (rows, width) in [(1, 4), (70, 33), (5, 384)] {
            let inputs =
                [random([rows, width], 1).add_scalar(3.0), random([1, width], 2), random([1, width], 3)];
            let vector = |t: &burn::tensor::Tensor<2>| t.clone().squeeze_dim::<1>(0);
            compare(&inputs, |kernels, t| {
                kernels.layer_norm(t[0].clone(), vector(&t[1]), Some(vector(&t[2])), 1e-5)
            });
            compare(&inputs[..2], |kernels, t| kernels.layer_norm(t[0].clone(), vector(&t[1]), None, 1e-5));
        }
    }
}
