//! What is minimised. Each objective is one file and gives a [`StepResult`].

pub mod contrastive;
pub mod distil;
pub mod embedding;
pub mod language;
pub mod likelihood;
pub mod lm;
pub mod revela;

use std::ops::Range;

use burn::tensor::{Gradients, Tensor};
use revela_model::device::lift;

use crate::gradients::GradientSet;

/// What one batch gives: gradients of the mean loss, and numbers to log.
#[derive(Debug, Default)]
pub struct StepResult {
    /// The loss that was minimised, nats per token or per example.
    pub loss: f64,
    /// Of the language model.
    pub lm: GradientSet,
    /// Of the retriever.
    pub retriever: GradientSet,
    /// Further numbers by name, in the order they are logged.
    pub numbers: Vec<(&'static str, f64)>,
}

impl StepResult {
    /// Adds another batch's; the caller divides.
    pub fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.lm.add(other.lm);
        self.retriever.add(other.retriever);
        for ((_, sum), (_, value)) in self.numbers.iter_mut().zip(other.numbers) {
            *sum += value;
        }
    }
}

/// Whether activations are kept for the backward pass or computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activations {
    /// One graph, one backward pass.
    Keep,
    /// The batch is cut into pieces of this many chunks; each piece's activations exist only while its
    /// own backward pass runs. Same gradients, more work, memory of one piece.
    Recompute {
        /// Chunks per piece.
        chunks: usize,
    },
}

/// Ranges of at most `size` that cover `0..n`.
fn pieces(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    let size = size.max(1);
    (0..n).step_by(size).map(move |from| from..(from + size).min(n))
}

/// A constant as a new leaf of the same autodiff context as `like`.
fn leaf(tensor: Tensor<2>, like: &Tensor<2>) -> Tensor<2> {
    lift(tensor, &like.device()).require_grad()
}

/// A number whose gradient with respect to `tensor` is `gradient`.
fn surrogate(tensor: Tensor<2>, gradient: &Tensor<2>) -> Tensor<1> {
    let gradient = lift(gradient.clone(), &tensor.device());
    (tensor * gradient).sum()
}

fn gradient_or_zeros(leaf: &Tensor<2>, grads: &mut Gradients) -> Tensor<2> {
    leaf.grad_remove(grads).unwrap_or_else(|| leaf.clone().inner().zeros_like())
}

fn scalar(tensor: Tensor<1>) -> f64 {
    f64::from(tensor.into_scalar::<f32>())
}
