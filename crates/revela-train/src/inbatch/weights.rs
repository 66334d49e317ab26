//! From embeddings to in-batch weights.

use burn::tensor::{Bool, DType, Tensor, TensorData, activation};

use super::reading::Reading;

/// What the retriever says about a batch.
#[derive(Debug, Clone)]
pub struct InBatchWeights {
    /// `<query_i, passage_j>`, `[Q, P]`, f32.
    pub similarity: Tensor<2>,
    /// `similarity / tau`, very small where j is i itself.
    scores: Tensor<2>,
}

impl InBatchWeights {
    /// `similarity / tau`.
    pub fn scores(&self) -> Tensor<2> {
        self.scores.clone()
    }

    /// Softmax of `similarity / tau` over j, without i itself: `[B, B]`, f32, rows sum to 1.
    pub fn weights(&self) -> Tensor<2> {
        activation::softmax(self.scores.clone(), 1)
    }

    /// What a reading takes: the weights as published; their logarithms for joint reading, where small weights
    /// would be rounded to zero.
    pub fn taken_by(&self, reading: Reading) -> Tensor<2> {
        match reading {
            Reading::Joint => activation::log_softmax(self.scores.clone(), 1),
            Reading::Published(_) => self.weights(),
        }
    }
}

/// Whether passage i is weighed for query i.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// It is not: both are of the same chunk, which would only copy itself.
    Hidden,
    /// It is, like all others.
    Seen,
}

/// Weighs the passages of a batch for each query of it.
///
/// `query`: `[Q, d]`, `passage`: `[P, d]`, normalised. `tau` is the temperature.
/// Computed in f32, since at small tau a bf16 similarity could not tell passages apart.
pub fn inbatch_weights(query: Tensor<2>, passage: Tensor<2>, tau: f64, own: Own) -> InBatchWeights {
    let similarity = query.cast(DType::F32).matmul(passage.cast(DType::F32).transpose());
    let scores = similarity.clone().div_scalar(tau);
    let scores = match own {
        Own::Hidden => scores.mask_fill(diagonal(&similarity), f32::MIN),
        Own::Seen => scores,
    };
    InBatchWeights { similarity, scores }
}

fn diagonal(like: &Tensor<2>) -> Tensor<2, Bool> {
    let [rows, columns] = like.dims();
    let own = (0..rows * columns).map(|at| at / columns == at % columns).collect::<Vec<bool>>();
    Tensor::from_data(TensorData::new(own, [rows, columns]), &like.device())
}

/// Mean entropy of the rows, in nats: `ln(B - 1)` when the retriever does not tell passages apart, 0 when
/// it always names one. At either end it learns nothing.
pub fn entropy(weights: &Tensor<2>) -> f64 {
    let data = weights.clone().into_data().convert::<f32>();
    let rows = weights.dims()[0].max(1) as f64;
    let terms = data.as_slice::<f32>().unwrap_or_default().iter().map(|&w| f64::from(w));
    -terms.filter(|w| *w > 0.0).map(|w| w * w.ln()).sum::<f64>() / rows
}

/// Mean share of a row's weight that stays in its group, where the batch holds groups of this size one
/// after another. NaN where the batch is one group.
pub fn related_share(weights: &Tensor<2>, group_size: usize) -> f64 {
    let chunks = weights.dims()[0];
    if group_size >= chunks || group_size == 0 {
        return f64::NAN;
    }
    let data = weights.clone().into_data().convert::<f32>();
    let rows = data.as_slice::<f32>().unwrap_or_default().chunks(chunks).enumerate();
    let own = rows.map(|(i, row)| {
        let first = i / group_size * group_size;
        row[first..(first + group_size).min(chunks)].iter().map(|&w| f64::from(w)).sum::<f64>()
    });
    own.sum::<f64>() / chunks as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn own_passage_gets_nothing_and_rows_sum_to_one() {
        let device = Device::flex();
        let e = Tensor::<2>::from_floats([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], &device);
        let w = inbatch_weights(e.clone(), e.clone(), 0.1, Own::Hidden).weights();
        let rows = w.clone().into_data().try_into_vec::<f32>().unwrap();
        assert_eq!([rows[0], rows[4], rows[8]], [0.0; 3]);
        for row in rows.chunks(3) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        assert!(rows[1] > rows[2], "the nearer passage weighs more");
        assert!(entropy(&w) < 2.0_f64.ln());
        let uniform = Tensor::<2>::from_floats([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]], &device);
        assert!((entropy(&uniform) - 2.0_f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn share_of_the_own_group() {
        let w = [[0.0, 0.75, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.0]];
        let w = Tensor::<2>::from_floats(w, &Device::flex());
        assert!((related_share(&w, 2) - (0.75 + 1.0 + 0.5 + 0.0) / 4.0).abs() < 1e-6);
        assert!(related_share(&w, 4).is_nan());
    }
}
