//! Both streams through all layers of the language model.

use burn::tensor::Tensor;
use revela_model::causal_lm::CausalLm;
use revela_model::decoder::{Decoder, TokenBatch};
use revela_model::layers::Run;

use super::attention::{CrossOptions, CrossShape, cross_attention};

/// What is wanted of the first stream, in which every chunk stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstStream {
    /// Its hidden states too, for the plain loss.
    Whole,
    /// Only the keys and values that the second stream reads: the last layer stops there.
    KeysAndValues,
}

/// Final hidden states of a batch.
#[derive(Debug, Clone)]
pub struct Streams {
    /// Every chunk alone, `[rows, hidden]`, where it was asked for.
    pub plain: Option<Tensor<2>>,
    /// Every chunk reading the others, `[rows, hidden]`.
    pub inbatch: Tensor<2>,
}

/// Runs the decoder over a batch with in-batch attention under the weights `w` (`[B, B]`).
///
/// The two streams walk together, layer by layer: the second one reads the first one's keys (positions
/// applied) and values. In the first layer both see the same input, so what does not depend on the other
/// chunks is computed once.
pub fn streams(
    decoder: &Decoder,
    batch: &TokenBatch,
    w: &Tensor<2>,
    first: FirstStream,
    options: CrossOptions,
    run: Run,
) -> Streams {
    let frame = decoder.frame(&batch.packing, run);
    let shape =
        CrossShape { readers: batch.packing.clone(), chunks: batch.packing.clone(), heads: frame.shape };
    let mut alone = decoder.embed_tokens.forward(&batch.ids);
    let mut reading = alone.clone();
    for (depth, layer) in decoder.layers.iter().enumerate() {
        let stops = depth + 1 == decoder.layers.len() && first == FirstStream::KeysAndValues;
        if depth == 0 {
            let qkv = layer.qkv(alone.clone(), &frame);
            let read = [qkv.q.clone(), qkv.k.clone(), qkv.v.clone()];
            let attended = layer.attend(qkv, &frame);
            let crossed = attended.clone() + cross_attention(read, w.clone(), &shape, options);
            reading = layer.finish(reading, crossed, &frame);
            if !stops {
                alone = layer.finish(alone, attended, &frame);
            }
            continue;
        }
        let own = layer.qkv(reading.clone(), &frame);
        let (k, v) = if stops {
            layer.keys_values(alone.clone(), &frame)
        } else {
            let qkv = layer.qkv(alone.clone(), &frame);
            let kv = (qkv.k.clone(), qkv.v.clone());
            alone = layer.finish(alone, layer.attend(qkv, &frame), &frame);
            kv
        };
        let crossed = cross_attention([own.q.clone(), k, v], w.clone(), &shape, options);
        let attended = layer.attend(own, &frame) + crossed;
        reading = layer.finish(reading, attended, &frame);
    }
    Streams {
        plain: (first == FirstStream::Whole).then(|| decoder.norm.forward(alone, run)),
        inbatch: decoder.norm.forward(reading, run),
    }
}

/// Losses of one batch, `[1]` each, in nats per token.
#[derive(Debug, Clone)]
pub struct Losses {
    /// Every chunk alone, where it was asked for.
    pub plain: Option<Tensor<1>>,
    /// Every chunk reading the others.
    pub inbatch: Tensor<1>,
}

/// Next-token losses of both streams.
pub fn losses(lm: &CausalLm, batch: &TokenBatch, streams: Streams, run: Run) -> Losses {
    Losses {
        plain: streams.plain.map(|hidden| lm.loss(hidden, batch, run)),
        inbatch: lm.loss(streams.inbatch, batch, run),
    }
}
