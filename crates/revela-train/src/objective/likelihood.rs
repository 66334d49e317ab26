//! What a language model knows of who belongs to whom: the likelihood of a text when it reads one passage alone.
//!
//! Each text reads each passage by joint reading, with a weight of 1 for it and 0 for the others; the passages'
//! keys and values are computed once. As a score of relevance: query likelihood (Ponte and Croft 1998; as a
//! teacher of retrievers: ART, Sachan et al., arXiv:2206.10658; REPLUG's LSR, Shi et al., arXiv:2301.12652).

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use revela_model::causal_lm::CausalLm;
use revela_model::decoder::TokenBatch;
use revela_model::layers::Run;

use crate::inbatch::forward::{FirstStream, ReadChunks, first_stream, second_stream};
use crate::inbatch::reading::Reading;

/// Tokens of the readers that are computed together: enough to keep the processor busy.
const ROWS: usize = 4096;

/// Mean log-likelihood per predicted token (nats) of every reader, given every passage alone: one row per reader.
///
/// A reader of fewer than two tokens predicts nothing; its row is zero.
pub fn likelihoods(lm: &CausalLm, readers: &[Vec<u32>], passages: &TokenBatch, run: Run) -> Vec<Vec<f32>> {
    let lm = lm.valid();
    let (layers, _) = first_stream(&lm.model, passages, FirstStream::KeysAndValues, run);
    let chunks = ReadChunks { packing: passages.packing.clone(), layers: &layers };
    let count = passages.packing.sequences();
    let pairs: Vec<(usize, usize)> =
        (0..readers.len()).flat_map(|i| (0..count).map(move |j| (i, j))).collect();
    let longest = readers.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let mut scores = Vec::with_capacity(pairs.len());
    for piece in pairs.chunks((ROWS / longest).max(1)) {
        let texts: Vec<&[u32]> = piece.iter().map(|(i, _)| readers[*i].as_slice()).collect();
        let batch = batch_like(passages, &texts);
        let weights = alone(piece, count, &lm);
        let hidden = second_stream(&lm.model, &batch, &chunks, &weights, Reading::Joint.into(), run);
        scores.extend(lm.sequence_likelihoods(hidden, &batch, run));
    }
    scores.chunks(count.max(1)).map(<[f32]>::to_vec).collect()
}

/// Texts laid out as another batch is.
fn batch_like(other: &TokenBatch, texts: &[&[u32]]) -> TokenBatch {
    let lengths: usize = other.packing.lengths().iter().sum();
    if lengths == other.packing.total_rows() {
        TokenBatch::packed(texts)
    } else {
        TokenBatch::padded(texts, 0)
    }
}

/// Logarithms of weights: reader k reads the passage of pair k only.
fn alone(pairs: &[(usize, usize)], passages: usize, lm: &CausalLm) -> Tensor<2> {
    let weight = |read: usize, j: usize| if read == j { 0.0 } else { f32::NEG_INFINITY };
    let numbers: Vec<f32> =
        pairs.iter().flat_map(|(_, read)| (0..passages).map(move |j| weight(*read, j))).collect();
    let device = lm.model.device().inner();
    Tensor::from_data(TensorData::new(numbers, [pairs.len(), passages]), &device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use burn::tensor::Device;
    use revela_base::seed::Seed;
    use revela_model::init::draw;
    use revela_model::testing::tiny_config;

    #[test]
    fn equals_reading_one_passage_at_a_time() {
        let device = Device::flex().autodiff();
        let lm = draw(CausalLm::zeros(Arc::new(tiny_config()), &device), Seed(1), &device);
        // Of one length, so that readers stand equally far behind each.
        let passages = [vec![5, 6, 7, 8], vec![9, 10, 7, 3], vec![12, 13, 14, 15]];
        let readers = vec![vec![5, 6, 7], vec![12, 13], vec![3]];
        let run = Run::default();
        let got = likelihoods(&lm, &readers, &TokenBatch::packed(&passages), run);
        let plain = lm.valid();
        for (reader, got) in readers[..2].iter().zip(&got) {
            for (passage, got) in passages.iter().zip(got) {
                let read = TokenBatch::packed(&[passage]);
                let (layers, _) = first_stream(&plain.model, &read, FirstStream::Whole, run);
                let chunks = ReadChunks { packing: read.packing.clone(), layers: &layers };
                let own = TokenBatch::packed(&[reader]);
                let weights = Tensor::zeros([1, 1], &Device::flex());
                let hidden = second_stream(&plain.model, &own, &chunks, &weights, Reading::Joint.into(), run);
                let want = -plain.loss(hidden, &own, run).into_scalar::<f32>();
                assert!((got - want).abs() < 1e-5, "{reader:?} {passage:?}: {got} {want}");
            }
        }
        assert_eq!(got[2], [0.0; 3], "one token predicts nothing");
        assert_ne!(got[0][0], got[0][2]);
    }
}
