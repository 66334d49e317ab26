//! `y = x W^T (+ b)`.

use burn::tensor::Tensor;

use super::Kernels;
use crate::cpu::{Matmul, Shape};
use crate::op::{Kernel, Output, View, apply, runs_on};

impl Kernels {
    /// `x`: `[rows, in]`, `weight`: `[out, in]` as in PyTorch. Returns `[rows, out]`.
    pub fn linear(self, x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
        match self.matmul() {
            Some(matmul) if runs_on(&x) && runs_on(&weight) => {
                apply(Linear(matmul), [x.into_dispatch(), weight.into_dispatch()])
            }
            _ => x.matmul(weight.transpose()),
        }
    }

    /// The same with `bias`, `[out]`, added to every row.
    pub fn linear_bias(self, x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
        match self.matmul() {
            Some(matmul) if runs_on(&x) && runs_on(&weight) && runs_on(&bias) => {
                let inputs = [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
                apply(LinearBias(Linear(matmul)), inputs)
            }
            _ => self.linear(x, weight) + bias.unsqueeze::<2>(),
        }
    }
}

#[derive(Debug, Clone)]
struct Linear(Matmul);

impl Linear {
    fn shape(x: View<'_>, w: View<'_>) -> Shape {
        let ((m, k), (n, _)) = (x.rows(), w.rows());
        Shape { m, n, k }
    }
}

impl Kernel<2> for Linear {
    type Saved = ();

    fn forward(&self, [x, w]: [View<'_>; 2], _needs: [bool; 2]) -> Output<()> {
        let shape = Self::shape(x, w);
        Output::new(self.0.linear(shape, x.data, w.data), [shape.m, shape.n])
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
            self.0.nn(Shape { m, n: k, k: n }, grad.data, w.data)
        });
        let dw = needs[1].then(|| {
            let (_, k) = x.rows();
            let mut dw = vec![0.0; n * k];
            self.0.tn_add(Shape { m: n, n: k, k: m }, grad.data, x.data, &mut dw);
            dw
        });
        [dx, dw]
    }
}

#[derive(Debug, Clone)]
struct LinearBias(Linear);

impl Kernel<3> for LinearBias {
    type Saved = ();

    fn forward(&self, [x, w, bias]: [View<'_>; 3], _needs: [bool; 3]) -> Output<()> {
        let shape = Linear::shape(x, w);
        let Linear(matmul) = self.0;
        Output::new(matmul.linear_bias(shape, x.data, w.data, bias.data), [shape.m, shape.n])
    }

    fn reads(&self, input: usize, needs: [bool; 3]) -> bool {
        input < 2 && self.0.reads(input, [needs[0], needs[1]])
    }

    fn backward(
        &self,
        [x, w, _]: [View<'_>; 3],
        (): (),
        grad: View<'_>,
        needs: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let [dx, dw] = self.0.backward([x, w], (), grad, [needs[0], needs[1]]);
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
    use super::super::Kernels;
    use super::super::testing::{compare, distance, gradients, random};

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

    #[test]
    fn rounded_operands_change_little() {
        for (rows, inputs, outputs) in [(1, 3, 2), (137, 64, 96)] {
            let inputs = [random([rows, inputs], 1), random([outputs, inputs], 2), random([1, outputs], 3)];
            let upstream = random([rows, outputs], 4);
            let both = [Kernels::Fused, Kernels::Mixed].map(|kernels| {
                gradients(&inputs, None, false, &upstream, |t| {
                    let biased = t[2].clone().squeeze_dim::<1>(0);
                    let y = kernels.linear_bias(t[0].clone(), t[1].clone(), biased);
                    y + kernels.linear(t[0].clone(), t[1].clone())
                })
            });
            let [exact, rounded] = both.each_ref().map(|gradients| gradients.iter().flatten());
            let distances: Vec<f32> = exact.zip(rounded).map(|(e, r)| distance(r, e)).collect();
            assert!(distances.iter().all(|d| *d < 5e-3), "{distances:?}");
            assert_eq!(distances.iter().any(|d| *d > 1e-5), revela_bf16::native(), "{distances:?}");
        }
    }
}
