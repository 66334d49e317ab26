//! One layer's cross path.
//!
//! For chunk i with queries q, and every other chunk j with keys K_j and values V_j from the first pass,
//! per head: `A_ij = softmax(q K_j^T / sqrt(d))` over the real positions of chunk j (no causal mask
//! across chunks), `O_ij = A_ij V_j`, with V-normalisation divided by
//! `sum_l A_ij[., l] * |V_j[l]| + 1e-6`; the result is `sum_j W[i, j] O_ij`.

mod fused;
mod materialised;

use burn::tensor::Tensor;
use revela_model::cpu::Matmul;
use revela_model::op::runs_on;

use super::reading::{Form, ReadShape, Skip, ValueNorm};

/// Added to the mean length before dividing.
const EPSILON: f32 = 1e-6;

/// How the cross path is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossOptions {
    /// V-normalisation.
    pub value_norm: ValueNorm,
    /// Which computation.
    pub form: Form,
    /// Which pairs.
    pub skip: Skip,
}

/// `sum_j W[i, j] O_ij` for every row of every reading chunk i.
///
/// `q`: `[reader rows, heads * dim]`, `k`, `v`: `[chunk rows, kv_heads * dim]`, `w`: `[readers, chunks]`,
/// f32. Returns `[reader rows, heads * dim]`. All four inputs receive gradients.
pub fn cross_attention(
    [q, k, v]: [Tensor<2>; 3],
    w: Tensor<2>,
    shape: &ReadShape,
    options: CrossOptions,
    matmul: Matmul,
) -> Tensor<2> {
    match options.form {
        Form::Fast if runs_on(&q) => fused::cross_attention([q, k, v], w, shape, options, matmul),
        _ => materialised::cross_attention([q, k, v], w, shape, options.value_norm),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::tensor::Device;
    use revela_model::Packing;
    use revela_model::kernels::AttentionShape;

    use super::super::testing::{distance, random};
    use super::*;

    const DEFAULT: CrossOptions =
        CrossOptions { value_norm: ValueNorm::Mean, form: Form::Fast, skip: Skip::Below(1e-6) };

    /// Result and gradients of q, k, v, w.
    fn run(inputs: &[Tensor<2>; 4], shape: &ReadShape, options: CrossOptions) -> Vec<Tensor<2>> {
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
    ) -> ([Tensor<2>; 4], ReadShape) {
        let q = random([readers.total_rows(), heads.width()], 1);
        let kv = |seed| random([chunks.total_rows(), heads.kv_width()], seed);
        let w = random([readers.sequences(), chunks.sequences()], 4).abs().div_scalar(4.0);
        let shape = ReadShape { readers: readers.clone(), chunks: chunks.clone(), heads };
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
                    let options = |form| CrossOptions { value_norm, form, skip: Skip::Nothing };
                    let got = run(&inputs, &shape, options(Form::Fast));
                    let want = run(&inputs, &shape, options(Form::Materialised));
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
        let narrow = ReadShape { readers: packed.clone(), chunks: packed, heads };
        let full =
            cross_attention([q.clone(), k.clone(), v.clone()], w.clone(), &shape, DEFAULT, Matmul::F32);
        let tight = cross_attention([real(q), real(k), real(v)], w, &narrow, DEFAULT, Matmul::F32);
        assert_eq!(real(full).into_data(), tight.into_data());
    }

    #[test]
    fn small_weights_can_be_skipped() {
        let heads = AttentionShape { heads: 2, kv_heads: 2, dim: 8 };
        let chunks = Packing::packed(&[5, 6, 7]);
        let ([q, k, v, _], shape) = case(heads, &chunks, &chunks);
        let w = Tensor::from_floats([[0.0, 1.0, 1e-7], [0.5, 0.0, 0.5], [1e-7, 1.0, 0.0]], &Device::flex());
        let inputs = [q, k, v, w];
        let all = run(&inputs, &shape, CrossOptions { skip: Skip::Nothing, ..DEFAULT });
        let some = run(&inputs, &shape, DEFAULT);
        for (got, want) in some.iter().zip(&all).take(4) {
            assert!(distance(got, want) < 1e-5);
        }
    }
}
