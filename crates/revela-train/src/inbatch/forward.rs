//! The two streams of the language model.
//!
//! In the first, every chunk stands alone and leaves its keys and values; in the second, every chunk also
//! reads those of the others. Both are made of the decoder's own steps.

use std::sync::Arc;

use burn::tensor::Tensor;
use revela_model::Packing;
use revela_model::decoder::{Decoder, TokenBatch};
use revela_model::layers::Run;

use super::joint::{JointInputs, joint_attention};
use super::published::{CrossOptions, cross_attention};
use super::reading::{ReadOptions, ReadShape, Reading};

/// The streams' dropout.
const FIRST: u64 = 101;
const SECOND: u64 = 102;

/// What is wanted of the first stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstStream {
    /// Its hidden states too, for the plain loss.
    Whole,
    /// Only the keys and values: the last layer stops there.
    KeysAndValues,
}

/// Keys (positions applied) and values of one layer, `[rows, kv_heads * dim]` each.
#[derive(Debug, Clone)]
pub struct KeysValues {
    /// Keys.
    pub k: Tensor<2>,
    /// Values.
    pub v: Tensor<2>,
}

/// Runs every chunk alone. Returns the keys and values of each layer and, where they are wanted, the
/// final hidden states, `[rows, hidden]`.
pub fn first_stream(
    decoder: &Decoder,
    batch: &TokenBatch,
    wanted: FirstStream,
    run: Run,
) -> (Vec<KeysValues>, Option<Tensor<2>>) {
    let frame = decoder.frame(&batch.packing, run.tagged(FIRST));
    let mut x = decoder.embed_tokens.forward(&batch.ids);
    let mut kept = Vec::with_capacity(decoder.layers.len());
    for (depth, layer) in decoder.layers.iter().enumerate() {
        if depth + 1 == decoder.layers.len() && wanted == FirstStream::KeysAndValues {
            let (k, v) = layer.keys_values(x, &frame);
            kept.push(KeysValues { k, v });
            return (kept, None);
        }
        let qkv = layer.qkv(x.clone(), &frame);
        kept.push(KeysValues { k: qkv.k.clone(), v: qkv.v.clone() });
        let attended = layer.attend(qkv, &frame);
        x = layer.finish(x, attended, &frame);
    }
    (kept, Some(decoder.norm.forward(x, run)))
}

/// The chunks that are read: their keys and values per layer, and which rows are whose.
#[derive(Debug, Clone)]
pub struct ReadChunks<'a> {
    /// The chunks.
    pub packing: Arc<Packing>,
    /// One per layer.
    pub layers: &'a [KeysValues],
}

/// Runs chunks that read others under weights as the reading takes them (`[readers, chunks]`, see
/// [`InBatchWeights::taken_by`](super::weights::InBatchWeights::taken_by)). Returns the final hidden states,
/// `[rows, hidden]`.
pub fn second_stream(
    decoder: &Decoder,
    readers: &TokenBatch,
    chunks: &ReadChunks<'_>,
    weights: &Tensor<2>,
    options: ReadOptions,
    run: Run,
) -> Tensor<2> {
    let frame = decoder.frame(&readers.packing, run.tagged(SECOND));
    let shape =
        ReadShape { readers: readers.packing.clone(), chunks: chunks.packing.clone(), heads: frame.shape };
    let matmul = run.kernels.matmul().unwrap_or_default();
    let ReadOptions { reading, form, skip } = options;
    // Padding does not count: positions begin where the longest chunk ends.
    let longest = chunks.packing.lengths().iter().copied().max().unwrap_or(0);
    let mut x = decoder.embed_tokens.forward(&readers.ids);
    for (layer, read) in decoder.layers.iter().zip(chunks.layers) {
        let qkv = layer.qkv(x.clone(), &frame);
        let attended = match reading {
            Reading::Joint => {
                let k = decoder.moved_back(read.k.clone(), &chunks.packing, longest, run);
                let (own, read) = ([qkv.q, qkv.k, qkv.v], [k, read.v.clone()]);
                let inputs = JointInputs { own, read, log_weights: weights.clone() };
                joint_attention(inputs, &shape, form, skip, matmul)
            }
            Reading::Published(value_norm) => {
                let inputs = [qkv.q.clone(), read.k.clone(), read.v.clone()];
                let options = CrossOptions { value_norm, form, skip };
                let crossed = cross_attention(inputs, weights.clone(), &shape, options, matmul);
                layer.attend(qkv, &frame) + crossed
            }
        };
        x = layer.finish(x, attended, &frame);
    }
    decoder.norm.forward(x, run)
}
