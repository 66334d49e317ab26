//! Joint reading: one layer's attention of a chunk to its own past and to the other chunks at once.
//!
//! For chunk i with queries q, keys k and values v of the second stream, and every chunk j with keys K_j and
//! values V_j of the first, per head: the scores of the own past are `q k^T / sqrt(d)`, causal; those of chunk j
//! are `q K_j^T / sqrt(d) + log W[i, j]` at all its real positions, with K_j placed before the own chunk. One
//! softmax over all of them weighs v and the V_j. With `log W[i, j]` of -inf chunk j is not read.
//!
//! Scores of relevance as a bias of attention: MARGE (Lewis et al. 2020, arXiv:2006.15020). Several texts at the
//! same positions before another: parallel context windows (Ratner et al. 2022, arXiv:2212.10947).

mod backward;
mod fused;
mod materialised;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;
use revela_model::cpu::Matmul;
use revela_model::op::runs_on;

use super::reading::{Form, ReadShape, Skip};

/// The inputs of one layer's joint attention.
#[derive(Debug, Clone)]
pub struct JointInputs {
    /// Queries, keys and values of the readers, `[reader rows, (kv_)heads * dim]`, positions applied.
    pub own: [Tensor<2>; 3],
    /// Keys and values of the chunks, `[chunk rows, kv_heads * dim]`, placed before the readers.
    pub read: [Tensor<2>; 2],
    /// Logarithms of the weights, `[readers, chunks]`, f32.
    pub log_weights: Tensor<2>,
}

/// What every row of every reader gathers, `[reader rows, heads * dim]`. All inputs receive gradients.
pub fn joint_attention(
    inputs: JointInputs,
    shape: &ReadShape,
    form: Form,
    skip: Skip,
    matmul: Matmul,
) -> Tensor<2> {
    match form {
        Form::Fast if runs_on(&inputs.own[0]) => fused::joint_attention(inputs, shape, skip, matmul),
        _ => materialised::joint_attention(inputs, shape),
    }
}
