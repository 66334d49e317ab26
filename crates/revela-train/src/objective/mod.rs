//! What is minimised. Each objective is one file and gives a [`StepResult`].

pub mod revela;

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

/// Whether activations are kept for the backward pass or computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activations {
    /// One graph, one backward pass.
    Keep,
    /// The batch is cut into pieces of this many chunks; each piece's activations exist only while its
    /// own backward pass runs. Same gradients, a quarter more work, memory of one piece.
    Recompute {
        /// Chunks per piece.
        chunks: usize,
    },
}
