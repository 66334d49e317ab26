//! Next-token cross entropy without ever holding all logits.

use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation};
use rayon::prelude::*;

use super::Kernels;
use crate::cpu::{Matmul, Shape, vector, vectorised};
use crate::op::{Kernel, Output, View, apply, read, runs_on};

/// Logits held at a time.
const BUDGET: usize = 1 << 22;

impl Kernels {
    /// Mean cross entropy (nats) of predicting `targets` from `hidden` through the output embedding.
    ///
    /// `hidden`: `[rows, d]`, `output`: `[vocabulary, d]`, `targets`: one per row, `None` where the row
    /// predicts nothing. Returns `[1]`; 0 where no row has a target. Computed in f32.
    pub fn cross_entropy(self, hidden: Tensor<2>, output: Tensor<2>, targets: &[Option<u32>]) -> Tensor<1> {
        if let Some(matmul) = self.matmul()
            && runs_on(&hidden)
            && runs_on(&output)
        {
            let kernel = CrossEntropy { targets: targets.into(), matmul };
            return apply(kernel, [hidden.into_dispatch(), output.into_dispatch()]);
        }
        let device = hidden.device();
        let (rows, picks) = selection(targets, &device);
        let count = rows.dims()[0];
        if count == 0 {
            return hidden.sum().mul_scalar(0.0);
        }
        let logits = hidden.select(0, rows).matmul(output.transpose()).cast(DType::F32);
        let logits = activation::log_softmax(logits, 1);
        logits.gather(1, picks.unsqueeze_dim::<2>(1)).sum().mul_scalar(-1.0 / count as f64)
    }
}

impl Kernels {
    /// The cross entropy (nats) of each row that has a target, in their order; without a gradient. Inputs as for
    /// [`cross_entropy`](Self::cross_entropy).
    pub fn token_losses(self, hidden: Tensor<2>, output: Tensor<2>, targets: &[Option<u32>]) -> Vec<f32> {
        let (rows, picks) = selection(targets, &hidden.device());
        let (hidden, output) = (hidden.select(0, rows).inner(), output.inner());
        let [count, width] = hidden.dims();
        if count == 0 {
            return Vec::new();
        }
        let vocabulary = output.dims()[0];
        if let Some(matmul) = self.matmul()
            && runs_on(&hidden)
            && runs_on(&output)
        {
            let targets: std::sync::Arc<[_]> = targets.iter().copied().flatten().map(Some).collect();
            let kernel = CrossEntropy { targets, matmul };
            let losses = |x: &[f32]| read(&output, |output| kernel.losses(x, output, [width, vocabulary]));
            return read(&hidden, losses).flatten().unwrap_or_default();
        }
        let logits = activation::log_softmax(hidden.matmul(output.transpose()).cast(DType::F32), 1);
        let losses = logits.gather(1, picks.unsqueeze_dim::<2>(1)).neg();
        losses.into_data().convert::<f32>().try_into_vec::<f32>().unwrap_or_default()
    }
}

/// The rows with a target, and their targets.
fn selection(targets: &[Option<u32>], device: &Device) -> (Tensor<1, Int>, Tensor<1, Int>) {
    let with: Vec<(i32, i32)> =
        targets.iter().enumerate().filter_map(|(i, t)| t.map(|t| (i as i32, t.cast_signed()))).collect();
    let tensor = |values: Vec<i32>| {
        let n = values.len();
        Tensor::<1, Int>::from_data(TensorData::new(values, [n]), device)
    };
    (tensor(with.iter().map(|w| w.0).collect()), tensor(with.iter().map(|w| w.1).collect()))
}

#[derive(Debug, Clone)]
struct CrossEntropy {
    targets: std::sync::Arc<[Option<u32>]>,
    matmul: Matmul,
}

/// Gradients at an upstream gradient of 1, computed while the logits were there.
#[derive(Debug, Clone, Default)]
struct Saved {
    hidden: Vec<f32>,
    output: Vec<f32>,
}

impl CrossEntropy {
    /// How many rows' logits are held at a time.
    fn chunk(&self, vocabulary: usize) -> usize {
        (BUDGET / vocabulary.max(1)).clamp(1, self.targets.len().max(1))
    }

    /// The losses of rows that all have a target.
    fn losses(&self, hidden: &[f32], output: &[f32], [width, vocabulary]: [usize; 2]) -> Vec<f32> {
        let chunk = self.chunk(vocabulary);
        let pieces = hidden.chunks(chunk * width).zip(self.targets.chunks(chunk));
        let losses = |(x, targets): (&[f32], &[Option<u32>])| {
            let shape = Shape { m: targets.len(), n: vocabulary, k: width };
            self.rows(&mut self.matmul.linear(shape, x, output), vocabulary, targets, 1.0)
        };
        pieces.flat_map(losses).collect()
    }

    /// Turns each row of logits into its gradient (times `factor`) and returns the rows' losses.
    fn rows(&self, logits: &mut [f32], vocabulary: usize, targets: &[Option<u32>], factor: f32) -> Vec<f32> {
        logits
            .par_chunks_mut(vocabulary)
            .zip(targets)
            .map(|(row, target)| {
                vectorised(
                    #[inline(always)]
                    || {
                        let Some(target) = target.map(|t| t as usize) else {
                            row.fill(0.0);
                            return 0.0;
                        };
                        let (top, own) = (vector::max(row), row[target]);
                        let sum = vector::exp_scores(row, 1.0);
                        vector::scale(row, factor / sum);
                        row[target] -= factor;
                        sum.ln() + top - own
                    },
                )
            })
            .collect()
    }
}

impl Kernel<2> for CrossEntropy {
    type Saved = Saved;

    fn forward(&self, [hidden, output]: [View<'_>; 2], needs: [bool; 2]) -> Output<Saved> {
        let ((_, width), (vocabulary, _)) = (hidden.rows(), output.rows());
        let count = self.targets.iter().flatten().count().max(1);
        let factor = 1.0 / count as f32;
        let chunk = self.chunk(vocabulary);
        let mut saved = Saved::default();
        if needs[1] {
            saved.output = vec![0.0; output.data.len()];
        }
        let mut loss = 0.0_f64;
        for (x, targets) in hidden.data.chunks(chunk * width).zip(self.targets.chunks(chunk)) {
            let shape = Shape { m: targets.len(), n: vocabulary, k: width };
            let mut logits = self.matmul.linear(shape, x, output.data);
            let losses = self.rows(&mut logits, vocabulary, targets, factor);
            loss += losses.iter().map(|l| f64::from(*l)).sum::<f64>();
            if needs[0] {
                let shape = Shape { m: targets.len(), n: width, k: vocabulary };
                saved.hidden.extend(self.matmul.nn(shape, &logits, output.data));
            }
            if needs[1] {
                let shape = Shape { m: vocabulary, n: width, k: targets.len() };
                self.matmul.tn_add(shape, &logits, x, &mut saved.output);
            }
        }
        Output { data: vec![(loss / count as f64) as f32], shape: vec![1], saved }
    }

    fn reads(&self, _input: usize, _needs: [bool; 2]) -> bool {
        false
    }

    fn backward(
        &self,
        _inputs: [View<'_>; 2],
        saved: Saved,
        grad: View<'_>,
        needs: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let factor = grad.data.first().copied().unwrap_or(0.0);
        let scaled = |mut gradient: Vec<f32>| {
            if factor != 1.0 {
                vector::scale(&mut gradient, factor);
            }
            gradient
        };
        [needs[0].then(|| scaled(saved.hidden)), needs[1].then(|| scaled(saved.output))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compare, random};
    use super::*;

    #[test]
    fn fused_equals_composed() {
        for (rows, width, vocabulary) in [(1, 4, 3), (50, 16, 97)] {
            let mut targets: Vec<_> = (0..rows).map(|i| Some((i * 31 % vocabulary) as u32)).collect();
            if rows > 1 {
                targets[7] = None;
                targets[rows - 1] = None;
            }
            compare(&[random([rows, width], 1), random([vocabulary, width], 2)], |kernels, t| {
                kernels.cross_entropy(t[0].clone(), t[1].clone(), &targets).unsqueeze()
            });
        }
    }

    #[test]
    fn more_rows_than_fit_the_budget() {
        let (rows, vocabulary) = (300, BUDGET / 100);
        let targets: Vec<_> = (0..rows).map(|i| Some(i as u32)).collect();
        let (hidden, output) = (random([rows, 2], 1), random([vocabulary, 2], 2));
        let loss =
            |k: Kernels| k.cross_entropy(hidden.clone(), output.clone(), &targets).into_scalar::<f32>();
        assert!((loss(Kernels::Fused) - loss(Kernels::Composed)).abs() < 1e-4);
    }

    #[test]
    fn losses_of_tokens_have_the_mean_loss() {
        let targets = [Some(3), None, Some(0), Some(90), None];
        let (hidden, output) = (random([5, 8], 1), random([97, 8], 2));
        for kernels in [Kernels::Fused, Kernels::Composed] {
            let losses = kernels.token_losses(hidden.clone(), output.clone(), &targets);
            assert_eq!(losses.len(), 3);
            let mean = kernels.cross_entropy(hidden.clone(), output.clone(), &targets).into_scalar::<f32>();
            assert!((losses.iter().sum::<f32>() / 3.0 - mean).abs() < 1e-5, "{losses:?} {mean}");
        }
    }

    #[test]
    fn no_target_is_no_loss() {
        for kernels in [Kernels::Fused, Kernels::Composed] {
            let loss = kernels.cross_entropy(random([2, 3], 1), random([4, 3], 2), &[None, None]);
            assert_eq!(loss.into_scalar::<f32>(), 0.0);
        }
    }
}
