//! `y = x W^T`.

use burn::tensor::Tensor;

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

#[cfg(test)]
mod tests {
    use super::super::testing::{compare, random};

    #[test]
    fn fused_equals_composed() {
        for (rows, inputs, outputs) in [(1, 3, 2), (37, 16, 40), (300, 64, 96)] {
            compare(&[random([rows, inputs], 1), random([outputs, inputs], 2)], |kernels, t| {
                kernels.linear(t[0].clone(), t[1].clone())
            });
        }
    }
}
