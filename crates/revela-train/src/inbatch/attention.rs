//! One layer's cross path.
//!
//! For chunk i with queries q, and every other chunk j with keys K_j and values V_j from the first pass,
//! per head: `A_ij = softmax(q K_j^T / sqrt(d))` over the real positions of chunk j (no causal mask
//! across chunks), `O_ij = A_ij V_j`, with V-normalisation divided by
//! `sum_l A_ij[., l] * |V_j[l]| + 1e-6`; the result is `sum_j W[i, j] O_ij`.

use std::sync::Arc;

use burn::tensor::Tensor;
use revela_model::Packing;
use revela_model::cpu::Matmul;
use revela_model::kernels::AttentionShape;
use revela_model::op::runs_on;
use serde::{Deserialize, Serialize};

use super::{fused, materialised};

/// Whether the values of a chunk are brought to about unit length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueNorm {
    /// Divide by the mean length of the values read, so that no long value vector dominates.
    #[default]
    Mean,
    /// Take values as they are.
    Off,
}

/// Added to the mean length before dividing.
pub(super) const EPSILON: f32 = 1e-6;

/// Which computation gives the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrossPath {
    /// The CPU kernel where the tensors are f32 on the CPU backend, the definition elsewhere.
    #[default]
    Fast,
    /// All attention weights at once, `[B, B, heads, L, L]`: the definition, for tests.
    Materialised,
}

/// Pairs whose weight is too small to matter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Skip {
    /// Compute all pairs.
    Nothing,
    /// Leave out pairs with a weight below this, and the gradient of their weight.
    Below(f32),
}

/// How the cross path is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossOptions {
    /// V-normalisation.
    pub value_norm: ValueNorm,
    /// Which computation.
    pub path: CrossPath,
    /// Which pairs.
    pub skip: Skip,
}

impl Default for CrossOptions {
    fn default() -> Self {
        // Rows of W sum to 1, so what is left out changes a row's output by less than B * 1e-6 of a
        // unit vector, and its gradient by as little, since softmax multiplies it by the weight.
        Self { value_norm: ValueNorm::Mean, path: CrossPath::Fast, skip: Skip::Below(1e-6) }
    }
}

/// The readers and the read: which rows belong to which chunk.
#[derive(Debug, Clone)]
pub struct CrossShape {
    /// Chunks whose queries read.
    pub readers: Arc<Packing>,
    /// Chunks that are read.
    pub chunks: Arc<Packing>,
    /// Heads.
    pub heads: AttentionShape,
}

/// `sum_j W[i, j] O_ij` for every row of every reading chunk i.
///
/// `q`: `[reader rows, heads * dim]`, `k`, `v`: `[chunk rows, kv_heads * dim]`, `w`: `[readers, chunks]`,
/// f32. Returns `[reader rows, heads * dim]`. All four inputs receive gradients.
pub fn cross_attention(
    [q, k, v]: [Tensor<2>; 3],
    w: Tensor<2>,
    shape: &CrossShape,
    options: CrossOptions,
    matmul: Matmul,
) -> Tensor<2> {
    match options.path {
        CrossPath::Fast if runs_on(&q) => fused::cross_attention([q, k, v], w, shape, options, matmul),
        _ => materialised::cross_attention([q, k, v], w, shape, options.value_norm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    fn random(shape: [usize; 2], seed: u64) -> Tensor<2> {
        let device = Device::flex();
        device.seed(seed);
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device)
    }

    fn distance(got: &Tensor<2>, want: &Tensor<2>) -> f32 {
        let norm = |t: Tensor<2>| t.powf_scalar(2.0).sum().into_scalar::<f32>().sqrt();
        norm(got.clone() - want.clone()) / norm(want.clone()).max(1e-6)
    }

    /// Result and gradients of q, k, v, w.
    fn run(inputs: &[Tensor<2>; 4], shape: &CrossShape, options: CrossOptions) -> Vec<Tensor<2>> {
        let leaves = inputs.clone().map(|t| t.autodiff().require_grad());
        let [q, k, v, w] = leaves.clone();
        let out = cross_attention([q, k, v], w, shape, options, Matmul::F32);
        let grads = (out.clone() * random(out.dims(), 77).autodiff()).sum().backward();
        std::iter::once(out.inner()).chain(leaves.iter().map(|t| t.grad(&grads).unwrap())).collect()
    }

    fn case(
        heads: AttentionShape,
        readers: &Arc<Packing>,
        chunks: &Arc<Packing>,
    ) -> ([Tensor<2>; 4], CrossShape) {
        let q = random([readers.total_rows(), heads.width()], 1);
        let kv = |seed| random([chunks.total_rows(), heads.kv_width()], seed);
        let w = random([readers.sequences(), chunks.sequences()], 4).abs().div_scalar(4.0);
        let shape = CrossShape { readers: readers.clone(), chunks: chunks.clone(), heads };
        ([q, kv(2), kv(3), w], shape)
    }

    #[test]
    fn fast_equals_materialised() {
        let chunks = Packing::padded(&[40, 7, 23, 40, 1]);
        let readers = Packing::padded(&[40, 7, 12]);
        for (heads, kv_heads, dim) in [(2, 2, 8), (6, 2, 16), (1, 1, 64)] {
            let heads = AttentionShape { heads, kv_heads, dim };
            for readers in [&chunks, &readers] {
                let (inputs, shape) = case(heads, readers, &chunks);
                for value_norm in [ValueNorm::Mean, ValueNorm::Off] {
                    let options = |path| CrossOptions { value_norm, path, skip: Skip::Nothing };
                    let got = run(&inputs, &shape, options(CrossPath::Fast));
                    let want = run(&inputs, &shape, options(CrossPath::Materialised));
                    for (what, (got, want)) in
                        ["out", "dq", "dk", "dv", "dw"].iter().zip(got.iter().zip(&want))
                    {
                        let d = distance(got, want);
                        assert!(d < 2e-5, "{what} differs by {d} ({heads:?}, {value_norm:?})");
                    }
                }
            }
        }
    }

    #[test]
    fn packed_equals_padded() {
        let heads = AttentionShape { heads: 2, kv_heads: 1, dim: 8 };
        let (padded, packed) = (Packing::padded(&[9, 4]), Packing::packed(&[9, 4]));
        let ([q, k, v, w], shape) = case(heads, &padded, &padded);
        let real = |t: Tensor<2>| t.narrow(0, 0, 13);
        let narrow = CrossShape { readers: packed.clone(), chunks: packed, heads };
        let full = cross_attention(
            [q.clone(), k.clone(), v.clone()],
            w.clone(),
            &shape,
            CrossOptions::default(),
            Matmul::F32,
        );
        let tight =
            cross_attention([real(q), real(k), real(v)], w, &narrow, CrossOptions::default(), Matmul::F32);
        assert_eq!(real(full).into_data(), tight.into_data());
    }

    #[test]
    fn small_weights_can_be_skipped() {
        let heads = AttentionShape { heads: 2, kv_heads: 2, dim: 8 };
        let chunks = Packing::packed(&[5, 6, 7]);
        let ([q, k, v, _], shape) = case(heads, &chunks, &chunks);
        let w = Tensor::from_floats([[0.0, 1.0, 1e-7], [0.5, 0.0, 0.5], [1e-7, 1.0, 0.0]], &Device::flex());
        let inputs = [q, k, v, w];
        let all = run(&inputs, &shape, CrossOptions { skip: Skip::Nothing, ..Default::default() });
        let some = run(&inputs, &shape, CrossOptions::default());
        for (got, want) in some.iter().zip(&all).take(4) {
            assert!(distance(got, want) < 1e-5);
        }
    }
}
