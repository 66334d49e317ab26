//! Root-mean-square normalisation (Zhang and Sennrich 2019, arXiv:1910.07467).

use burn::tensor::{DType, Tensor};
use rayon::prelude::*;

use super::Kernels;
use crate::cpu::{vector::dot, vectorised};
use crate::op::{Keep, Kernel, Output, View, apply, runs_on};

/// Rows per task.
const TASK: usize = 32;

impl Kernels {
    /// `x / sqrt(mean(x^2) + eps) * weight` over the last axis; `x`: `[rows, d]`, `weight`: `[d]`.
    ///
    /// The mean is taken in f32 whatever the dtype of `x`.
    pub fn rms_norm(self, x: Tensor<2>, weight: Tensor<1>, eps: f64) -> Tensor<2> {
        if self.fused() && runs_on(&x) && runs_on(&weight) {
            let kernel = RmsNorm { eps: eps as f32 };
            return apply(kernel, [x.into_dispatch(), weight.into_dispatch()]);
        }
        let dtype = x.dtype();
        let wide = x.cast(DType::F32);
        let mean = wide.clone().powf_scalar(2.0).mean_dim(1).add_scalar(eps);
        (wide * mean.sqrt().recip()).cast(dtype) * weight.unsqueeze::<2>()
    }
}

#[derive(Debug, Clone)]
struct RmsNorm {
    eps: f32,
}

impl RmsNorm {
    #[inline(always)]
    fn inverse(&self, row: &[f32]) -> f32 {
        1.0 / (dot(row, row) / row.len() as f32 + self.eps).sqrt()
    }
}

impl Kernel<2> for RmsNorm {
    type Saved = ();

    const KEEP: Keep = Keep::Inputs;

    fn forward(&self, [x, weight]: [View<'_>; 2], _needs: [bool; 2]) -> Output<()> {
        let (_, width) = x.rows();
        let mut out = vec![0.0; x.data.len()];
        out.par_chunks_mut(TASK * width).zip(x.data.par_chunks(TASK * width)).for_each(|(out, x)| {
            vectorised(
                #[inline(always)]
                || {
                    for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                        let inverse = self.inverse(x);
                        for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight.data) {
                            *out = x * inverse * w;
                        }
                    }
                },
            );
        });
        Output::new(out, x.shape)
    }

    fn backward(
        &self,
        [x, weight]: [View<'_>; 2],
        (): (),
        grad: View<'_>,
        _needs: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let (_, width) = x.rows();
        let mut dx = vec![0.0; x.data.len()];
        let tasks: Vec<Vec<f32>> = dx
            .par_chunks_mut(TASK * width)
            .zip(x.data.par_chunks(TASK * width).zip(grad.data.par_chunks(TASK * width)))
            .map(|(dx, (x, grad))| {
                let mut dw = vec![0.0; width];
                vectorised(
                    #[inline(always)]
                    || {
                        let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width));
                        for ((dx, x), dy) in rows.zip(grad.chunks_exact(width)) {
                            self.backward_row(x, weight.data, dy, dx, &mut dw);
                        }
                    },
                );
                dw
            })
            .collect();
        // Tasks are summed in order, so the result does not depend on which finished first.
        let mut dw = vec![0.0; width];
        for task in tasks {
            dw.iter_mut().zip(task).for_each(|(sum, part)| *sum += part);
        }
        [Some(dx), Some(dw)]
    }
}

impl RmsNorm {
    /// With r = 1/rms and g = dy * w: dx = r g - x r^3 mean(g x), dw += dy x r.
    #[inline(always)]
    fn backward_row(&self, x: &[f32], w: &[f32], dy: &[f32], dx: &mut [f32], dw: &mut [f32]) {
        let r = self.inverse(x);
        for (((dx, dw), (&x, &w)), &dy) in dx.iter_mut().zip(dw).zip(x.iter().zip(w)).zip(dy) {
            *dw += dy * x * r;
            *dx = dy * w;
        }
        let factor = dot(dx, x) / x.len() as f32 * r * r * r;
        for (dx, &x) in dx.iter_mut().zip(x) {
            *dx = *dx * r - x * factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compare, random};

    #[test]
    fn fused_equals_composed() {
        for (rows, width) in [(1, 4), (70, 33), (5, 384)] {
            compare(&[random([rows, width], 1), random([1, width], 2)], |kernels, t| {
                kernels.rms_norm(t[0].clone(), t[1].clone().squeeze_dim::<1>(0), 1e-5)
            });
        }
    }
}
