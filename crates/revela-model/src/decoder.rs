//! A Llama-like decoder: token embeddings, layers, final norm.
//!
//! A layer exposes its three steps ([`Layer::qkv`], [`Layer::attend`], [`Layer::finish`]), so that a
//! training objective can walk the layers with more than one stream without this module knowing.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::Packing;
use crate::config::{AttentionBias, DecoderConfig, Family};
use crate::kernels::{AttentionMask, AttentionShape, Rope, RopeTable};
use crate::layers::{Embedding, Linear, RmsNorm, Run};

/// Token ids of a batch, and which row belongs to which sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    /// One id per row; padding rows hold any id.
    pub ids: Vec<u32>,
    /// The sequences.
    pub packing: Arc<Packing>,
}

impl TokenBatch {
    /// Sequences one after another, without padding.
    pub fn packed(sequences: &[impl AsRef<[u32]>]) -> Self {
        let lengths: Vec<usize> = sequences.iter().map(|s| s.as_ref().len()).collect();
        let ids = sequences.iter().flat_map(|s| s.as_ref().iter().copied()).collect();
        Self { ids, packing: Packing::packed(&lengths) }
    }

    /// Sequences padded on the right to the longest.
    pub fn padded(sequences: &[impl AsRef<[u32]>], pad: u32) -> Self {
        let lengths: Vec<usize> = sequences.iter().map(|s| s.as_ref().len()).collect();
        let packing = Packing::padded(&lengths);
        let longest = packing.longest();
        let ids = sequences
            .iter()
            .flat_map(|s| s.as_ref().iter().copied().chain(std::iter::repeat(pad)).take(longest))
            .collect();
        Self { ids, packing }
    }

    /// Some of the sequences as a batch of their own.
    #[must_use]
    pub fn range(&self, sequences: std::ops::Range<usize>) -> Self {
        let starts = self.packing.starts();
        Self {
            ids: self.ids[starts[sequences.start]..starts[sequences.end]].to_vec(),
            packing: self.packing.range(sequences),
        }
    }

    /// What each row has to predict: the next token of its sequence, where there is one.
    pub fn next_tokens(&self) -> Vec<Option<u32>> {
        let packing = &self.packing;
        (0..packing.sequences())
            .flat_map(|i| {
                let (start, keys) = (packing.starts()[i], packing.keys(i));
                (0..packing.rows(i)).map(move |row| (row + 1 < keys).then_some(start + row + 1))
            })
            .map(|next| next.map(|row| self.ids[row]))
            .collect()
    }
}

/// One batch as the layers see it: positions, mask and how to run.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The sequences.
    pub packing: Arc<Packing>,
    /// How to run.
    pub run: Run,
    /// The heads.
    pub shape: AttentionShape,
    rope: Rope,
    mask: AttentionMask,
}

/// Queries, keys and values of a layer, positions applied to queries and keys.
#[derive(Debug, Clone)]
pub struct Qkv {
    /// `[rows, heads * dim]`.
    pub q: Tensor<2>,
    /// `[rows, kv_heads * dim]`.
    pub k: Tensor<2>,
    /// `[rows, kv_heads * dim]`.
    pub v: Tensor<2>,
}

/// Projections of attention.
#[derive(Module, Debug)]
pub struct Attention {
    /// Queries.
    pub q_proj: Linear,
    /// Keys.
    pub k_proj: Linear,
    /// Values.
    pub v_proj: Linear,
    /// Output.
    pub o_proj: Linear,
    /// On each head's queries (Qwen3).
    pub q_norm: Option<RmsNorm>,
    /// On each head's keys (Qwen3).
    pub k_norm: Option<RmsNorm>,
}

impl Attention {
    fn queries(&self, x: Tensor<2>, frame: &Frame) -> Tensor<2> {
        let q = self.q_proj.forward(x, frame.run);
        frame.run.kernels.rotate(norm_heads(q, self.q_norm.as_ref(), frame), &frame.rope)
    }

    fn keys(&self, x: Tensor<2>, frame: &Frame) -> Tensor<2> {
        let k = self.k_proj.forward(x, frame.run);
        frame.run.kernels.rotate(norm_heads(k, self.k_norm.as_ref(), frame), &frame.rope)
    }
}

/// Each head's features brought to one size, where the family does so. `x`: `[rows, heads * dim]`.
fn norm_heads(x: Tensor<2>, norm: Option<&RmsNorm>, frame: &Frame) -> Tensor<2> {
    let Some(norm) = norm else { return x };
    let ([rows, width], dim) = (x.dims(), frame.shape.dim);
    norm.forward(x.reshape([rows * width / dim, dim]), frame.run).reshape([rows, width])
}

/// The SwiGLU feed-forward layer.
#[derive(Module, Debug)]
pub struct Mlp {
    /// Gate.
    pub gate_proj: Linear,
    /// What is gated.
    pub up_proj: Linear,
    /// Back to the hidden size.
    pub down_proj: Linear,
}

/// One layer: attention and feed-forward, each after a norm and around a residual.
#[derive(Module, Debug)]
pub struct Layer {
    /// Attention.
    pub self_attn: Attention,
    /// Feed-forward.
    pub mlp: Mlp,
    /// Before attention.
    pub input_layernorm: RmsNorm,
    /// Before the feed-forward layer.
    pub post_attention_layernorm: RmsNorm,
}

impl Layer {
    fn zeros(config: &DecoderConfig, device: &Device) -> Self {
        let (d, a, eps) = (config.hidden_size, config.attention, config.rms_norm_eps);
        let inputs = config.bias != AttentionBias::None;
        let linear = |inputs, outputs, bias| Linear::zeros(inputs, outputs, bias, device);
        let head_norm = || (config.family == Family::Qwen3).then(|| RmsNorm::ones(a.dim, eps, device));
        Self {
            self_attn: Attention {
                q_proj: linear(d, a.width(), inputs),
                k_proj: linear(d, a.kv_width(), inputs),
                v_proj: linear(d, a.kv_width(), inputs),
                o_proj: linear(a.width(), d, config.bias == AttentionBias::All),
                q_norm: head_norm(),
                k_norm: head_norm(),
            },
            mlp: Mlp {
                gate_proj: linear(d, config.intermediate_size, false),
                up_proj: linear(d, config.intermediate_size, false),
                down_proj: linear(config.intermediate_size, d, false),
            },
            input_layernorm: RmsNorm::ones(d, eps, device),
            post_attention_layernorm: RmsNorm::ones(d, eps, device),
        }
    }

    fn linears(&mut self) -> [(&'static str, &mut Linear); 7] {
        let (a, m) = (&mut self.self_attn, &mut self.mlp);
        [
            ("self_attn.q_proj", &mut a.q_proj),
            ("self_attn.k_proj", &mut a.k_proj),
            ("self_attn.v_proj", &mut a.v_proj),
            ("self_attn.o_proj", &mut a.o_proj),
            ("mlp.gate_proj", &mut m.gate_proj),
            ("mlp.up_proj", &mut m.up_proj),
            ("mlp.down_proj", &mut m.down_proj),
        ]
    }

    /// First step: norm, projections, positions. `x`: `[rows, hidden]`.
    pub fn qkv(&self, x: Tensor<2>, frame: &Frame) -> Qkv {
        let (run, a) = (frame.run, &self.self_attn);
        let x = self.input_layernorm.forward(x, run);
        Qkv { q: a.queries(x.clone(), frame), k: a.keys(x.clone(), frame), v: a.v_proj.forward(x, run) }
    }

    /// Only keys and values, for a stream that nobody continues.
    pub fn keys_values(&self, x: Tensor<2>, frame: &Frame) -> (Tensor<2>, Tensor<2>) {
        let (run, a) = (frame.run, &self.self_attn);
        let x = self.input_layernorm.forward(x, run);
        (a.keys(x.clone(), frame), a.v_proj.forward(x, run))
    }

    /// Second step: attention inside each sequence, before the output projection.
    pub fn attend(&self, qkv: Qkv, frame: &Frame) -> Tensor<2> {
        frame.run.kernels.attention(qkv.q, qkv.k, qkv.v, &frame.mask, frame.shape)
    }

    /// Third step: output projection, residual, feed-forward. `x` is the layer's input.
    pub fn finish(&self, x: Tensor<2>, attended: Tensor<2>, frame: &Frame) -> Tensor<2> {
        let run = frame.run;
        let x = x + self.self_attn.o_proj.forward(attended, run);
        let h = self.post_attention_layernorm.forward(x.clone(), run);
        let gate = self.mlp.gate_proj.forward(h.clone(), run);
        let gated = run.kernels.swiglu(gate, self.mlp.up_proj.forward(h, run));
        x + self.mlp.down_proj.forward(gated, run)
    }

    /// The whole layer.
    pub fn forward(&self, x: Tensor<2>, frame: &Frame) -> Tensor<2> {
        let attended = self.attend(self.qkv(x.clone(), frame), frame);
        self.finish(x, attended, frame)
    }
}

/// The decoder.
#[derive(Module, Debug)]
pub struct Decoder {
    /// Token embeddings.
    pub embed_tokens: Embedding,
    /// Layers.
    pub layers: Vec<Layer>,
    /// Final norm.
    pub norm: RmsNorm,
    #[module(skip)]
    config: Arc<DecoderConfig>,
}

impl Decoder {
    /// A decoder of zeros and ones, to be filled by name ([`crate::weights`], [`crate::init`]).
    pub fn zeros(config: Arc<DecoderConfig>, device: &Device) -> Self {
        Self {
            embed_tokens: Embedding::zeros(config.vocab_size, config.hidden_size, device),
            layers: (0..config.layers).map(|_| Layer::zeros(&config, device)).collect(),
            norm: RmsNorm::ones(config.hidden_size, config.rms_norm_eps, device),
            config,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<DecoderConfig> {
        &self.config
    }

    /// The linear layers by the names of their parameters.
    pub(crate) fn linears(&mut self) -> Vec<(String, &mut Linear)> {
        let layers = self.layers.iter_mut().enumerate();
        let named = |(index, layer): (usize, _)| {
            Layer::linears(layer).map(|(name, linear)| (format!("layers.{index}.{name}"), linear))
        };
        layers.flat_map(named).collect()
    }

    /// The device of the weights, with its autodiff context.
    pub fn device(&self) -> Device {
        self.norm.weight.val().device()
    }

    /// Prepares a batch.
    pub fn frame(&self, packing: &Arc<Packing>, run: Run) -> Frame {
        let device = self.device().inner();
        let run = run.beginning_at(packing.first_row());
        let kernels = run.kernels.on(&self.norm.weight.val());
        let table = Arc::new(RopeTable::new(packing.longest(), &self.config.rope_frequencies()));
        Frame {
            packing: packing.clone(),
            run,
            shape: self.config.attention,
            rope: Rope::new(table, packing.clone(), kernels, &device),
            mask: AttentionMask::new(packing.clone(), self.config.reach, kernels, &device),
        }
    }

    /// Keys with positions applied, moved as if their sequences began `positions` positions earlier:
    /// `[rows, kv_heads * dim]`.
    pub fn moved_back(&self, k: Tensor<2>, packing: &Arc<Packing>, positions: usize, run: Run) -> Tensor<2> {
        let kernels = run.kernels.on(&k);
        let table = RopeTable::single(-(positions as f32), &self.config.rope_frequencies());
        let rope = Rope::new(Arc::new(table), packing.clone(), kernels, &k.device().inner());
        kernels.rotate(k, &rope)
    }

    /// Hidden states after the final norm, `[rows, hidden]`.
    pub fn forward(&self, batch: &TokenBatch, run: Run) -> Tensor<2> {
        let frame = self.frame(&batch.packing, run);
        let mut x = self.embed_tokens.forward(&batch.ids);
        for layer in &self.layers {
            x = layer.forward(x, &frame);
        }
        self.norm.forward(x, frame.run)
    }
}
