//! `y = x W^T (+ b)`.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::Kernels;
use crate::cpu::{Shape, linear_forward, product_nn, product_tn_add};
use crate::op::{Kernel, Output, View, apply, runs_on};

impl Kernels {
    /// `x`: `[rows, in]`, `weight`: `[out, in]` as in PyTorch. Returns `[rows, out]`.
    pub fn linear(self, x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
        if self == Self::Fused && runs_on(&x) && runs_on(&weight) {
            return apply(Linear, [x.into_dispatch(), weight.into_dispatch()]);
        }
        x.matmul(weight.transpose())
    }

    /// The same with `bias`, `[out]`, added to every row.
    pub fn linear_bias(self, x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
        if self == Self::Fused && runs_on(&x) && runs_on(&weight) && runs_on(&bias) {
            let inputs = [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
            return apply(LinearBias, inputs);
        }
        self.linear(x, weight) + bias.unsqueeze::<2>()
    }
}

#[derive(Debug, Clone)]
struct Linear;

impl Kernel<2> for Linear {
    type Saved = ();

    fn forward(&self, [x, w]: [View<'_>; 2], _needs: [bool; 2]) -> Output<()> {
        let ((m, k), (n, _)) = (x.rows(), w.rows());
        Output::new(linear_forward(Shape { m, n, k }, x.data, w.data), [m, n])
    }

    fn reads(&self, input: usize, needs: [bool; 2]) -> bool {
        // Each operand is read for the other's gradient.
        needs[1 - input]
    }

    fn backward(
        &self,
        [x, w]: [View<'_>; 2],
        (): (),
        grad: View<'_>,
        needs: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let (m, n) = grad.rows();
        let dx = needs[0].then(|| {
            let (_, k) = w.rows();
            product_nn(Shape { m, n: k, k: n }, grad.data, w.data)
        });
        let dw = needs[1].then(|| {
            let (_, k) = x.rows();
            let mut dw = vec![0.0; n * k];
            product_tn_add(Shape { m: n, n: k, k: m }, grad.data, x.data, &mut dw);
            dw
        });
        [dx, dw]
    }
}

#[derive(Debug, Clone)]
struct LinearBias;

/// Numbers per task.
const TASK: usize = 1 << 14;

impl Kernel<3> for LinearBias {
    type Saved = ();

    fn forward(&self, [x, w, bias]: [View<'_>; 3], needs: [bool; 3]) -> Output<()> {
        let mut output = Linear.forward([x, w], [needs[0], needs[1]]);
        let n = bias.data.len().max(1);
        output.data.par_chunks_mut((TASK / n).max(1) * n).for_each(|task| {
            for row in task.chunks_exact_mut(n) {
                row.iter_mut().zip(bias.data).for_each(|(y, b)| *y += b);
            }
        });
        output
    }

    fn reads(&self, input: usize, needs: [bool; 3]) -> bool {
        input < 2 && Linear.reads(input, [needs[0], needs[1]])
    }

    fn backward(
        &self,
        [x, w, _]: [View<'_>; 3],
        (): (),
        grad: View<'_>,
        needs: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let [dx, dw] = Linear.backward([x, w], (), grad, [needs[0], needs[1]]);
        let db = needs[2].then(|| {
            let (_, n) = grad.rows();
            let mut db = vec![0.0; n];
            for row in grad.data.chunks_exact(n) {
                db.iter_mut().zip(row).for_each(|(sum, dy)| *sum += dy);
            }
            db
        });
        [dx, dw, db]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compare, random};

    #[test]
    fn fused_equals_composed() {
        for (rows, inputs, outputs) in [(1, 3, 2), (37, 16, 40), (300, 64, 96)] {
            compare(&[random([rows, inputs], 1), random([outputs, inputs], 2)], |kernels, t| {
                kernels.linear(t[0].clone(), t[1].clone())
            });
            let inputs = [random([rows, inputs], 1), random([outputs, inputs], 2), random([1, outputs], 3)];
            compare(&inputs, |kernels, t| {
                let bias = t[2].clone().squeeze_dim::<1>(0);
                kernels.linear_bias(t[0].clone(), t[1].clone(), bias)
            });
        }
    }
}
