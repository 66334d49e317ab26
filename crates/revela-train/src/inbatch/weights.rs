//! From embeddings to in-batch weights.

use burn::tensor::{Bool, DType, Tensor, TensorData, activation};

/// What the retriever says about a batch.
#[derive(Debug, Clone)]
pub struct InBatchWeights {
    /// `<query_i, passage_j>`, `[B, B]`, f32.
    pub similarity: Tensor<2>,
    /// Softmax of `similarity / tau` over j, without i itself: `[B, B]`, f32, rows sum to 1.
    pub weights: Tensor<2>,
}

/// Weighs the passages of a batch for each query of it.
///
/// `query`, `passage`: `[B, d]`, normalised; row i of both comes from chunk i. `tau` is the temperature.
/// Computed in f32, since at small tau a bf16 similarity could not tell passages apart.
pub fn inbatch_weights(query: Tensor<2>, passage: Tensor<2>, tau: f64) -> InBatchWeights {
    let [batch, _] = query.dims();
    let similarity = query.cast(DType::F32).matmul(passage.cast(DType::F32).transpose());
    let scores = similarity.clone().div_scalar(tau).mask_fill(diagonal(batch, &similarity), f32::MIN);
    InBatchWeights { similarity, weights: activation::softmax(scores, 1) }
}

/// Uniform weights over the other chunks: what the language model is warmed up with.
pub fn uniform_weights(batch: usize, like: &Tensor<2>) -> Tensor<2> {
    let others = batch.saturating_sub(1).max(1) as f32;
    let numbers = (0..batch * batch).map(|at| if at / batch == at % batch { 0.0 } else { 1.0 / others });
    Tensor::from_data(TensorData::new(numbers.collect::<Vec<f32>>(), [batch, batch]), &like.device().inner())
}

fn diagonal(batch: usize, like: &Tensor<2>) -> Tensor<2, Bool> {
    let own = (0..batch * batch).map(|at| at / batch == at % batch).collect::<Vec<bool>>();
    Tensor::from_data(TensorData::new(own, [batch, batch]), &like.device())
}

/// Mean entropy of the rows, in nats: `ln(B - 1)` when the retriever does not tell passages apart, 0 when
/// it always names one. At either end it learns nothing.
pub fn entropy(weights: &Tensor<2>) -> f64 {
    let data = weights.clone().into_data().convert::<f32>();
    let rows = weights.dims()[0].max(1) as f64;
    let terms = data.as_slice::<f32>().unwrap_or_default().iter().map(|&w| f64::from(w));
    -terms.filter(|w| *w > 0.0).map(|w| w * w.ln()).sum::<f64>() / rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn own_passage_gets_nothing_and_rows_sum_to_one() {
        let device = Device::flex();
        let e = Tensor::<2>::from_floats([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], &device);
        let w = inbatch_weights(e.clone(), e.clone(), 0.1).weights;
        let rows = w.clone().into_data().try_into_vec::<f32>().unwrap();
        assert_eq!([rows[0], rows[4], rows[8]], [0.0; 3]);
        for row in rows.chunks(3) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        assert!(rows[1] > rows[2], "the nearer passage weighs more");
        assert!(entropy(&w) < 2.0_f64.ln());
        assert!((entropy(&uniform_weights(3, &e)) - 2.0_f64.ln()).abs() < 1e-6);
    }
}
