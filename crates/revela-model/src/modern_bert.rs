//! ModernBERT (Warner et al. 2024, arXiv:2412.13663): rotary positions, local and global layers, GeGLU.
//!
//! Fields are named as Hugging Face names them.
#![allow(non_snake_case)]

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::decoder::TokenBatch;
use crate::kernels::{AttentionMask, Kernels, Reach, Rope, RopeTable};
use crate::layers::{Embedding, LayerNorm, Linear, Run};
use crate::modern_bert_config::{Attention, ModernBertConfig};

/// Token embeddings and their norm.
#[derive(Module, Debug)]
pub struct ModernEmbeddings {
    /// Token embeddings.
    pub tok_embeddings: Embedding,
    /// After them.
    pub norm: LayerNorm,
}

/// Projections of attention.
#[derive(Module, Debug)]
pub struct ModernAttention {
    /// Queries, keys and values, one after the other.
    pub Wqkv: Linear,
    /// Output.
    pub Wo: Linear,
}

/// The gated feed-forward layer.
#[derive(Module, Debug)]
pub struct ModernMlp {
    /// What is activated, then the gate.
    pub Wi: Linear,
    /// Back to the hidden size.
    pub Wo: Linear,
}

/// One layer: attention and feed-forward, each after a norm and around a residual.
#[derive(Module, Debug)]
pub struct ModernLayer {
    /// Before attention; the first layer has none, since the embeddings were just normalised.
    pub attn_norm: Option<LayerNorm>,
    /// Attention.
    pub attn: ModernAttention,
    /// Before the feed-forward layer.
    pub mlp_norm: LayerNorm,
    /// Feed-forward.
    pub mlp: ModernMlp,
}

/// What the layers of one kind know of a batch.
struct Frame {
    rope: Rope,
    mask: AttentionMask,
}

impl ModernLayer {
    fn zeros(config: &ModernBertConfig, index: usize, device: &Device) -> Self {
        let (d, inner) = (config.hidden_size, config.intermediate_size);
        let norm = || LayerNorm::ones(d, config.norm_bias.is_there(), config.norm_eps, device);
        let attention = |outputs| Linear::zeros(d, outputs, config.attention_bias.is_there(), device);
        let mlp = |inputs, outputs| Linear::zeros(inputs, outputs, config.mlp_bias.is_there(), device);
        Self {
            attn_norm: (index > 0).then(norm),
            attn: ModernAttention { Wqkv: attention(3 * d), Wo: attention(d) },
            mlp_norm: norm(),
            mlp: ModernMlp { Wi: mlp(d, 2 * inner), Wo: mlp(inner, d) },
        }
    }

    fn linears(&mut self) -> [(&'static str, &mut Linear); 4] {
        [
            ("attn.Wqkv", &mut self.attn.Wqkv),
            ("attn.Wo", &mut self.attn.Wo),
            ("mlp.Wi", &mut self.mlp.Wi),
            ("mlp.Wo", &mut self.mlp.Wo),
        ]
    }

    fn forward(&self, x: Tensor<2>, frame: &Frame, config: &ModernBertConfig, run: Run) -> Tensor<2> {
        let kernels = run.kernels;
        let normed = match &self.attn_norm {
            Some(norm) => norm.forward(x.clone(), run),
            None => x.clone(),
        };
        let d = config.hidden_size;
        let qkv = self.attn.Wqkv.forward(normed, run);
        let part = |n: usize| qkv.clone().narrow(1, n * d, d);
        let (q, k) = (kernels.rotate(part(0), &frame.rope), kernels.rotate(part(1), &frame.rope));
        let attended = kernels.attention(q, k, part(2), &frame.mask, config.attention);
        let x = x + self.attn.Wo.forward(attended, run);
        let inner = self.mlp.Wi.forward(self.mlp_norm.forward(x.clone(), run), run);
        let half = |n: usize| inner.clone().narrow(1, n * config.intermediate_size, config.intermediate_size);
        let gated = kernels.activation(half(0), config.activation) * half(1);
        x + self.mlp.Wo.forward(gated, run)
    }
}

/// The encoder.
#[derive(Module, Debug)]
pub struct ModernBert {
    /// Token embeddings.
    pub embeddings: ModernEmbeddings,
    /// Layers.
    pub layers: Vec<ModernLayer>,
    /// After them.
    pub final_norm: LayerNorm,
    #[module(skip)]
    config: Arc<ModernBertConfig>,
}

impl ModernBert {
    /// An encoder of zeros and ones, to be filled by name.
    pub fn zeros(config: Arc<ModernBertConfig>, device: &Device) -> Self {
        let d = config.hidden_size;
        let norm = || LayerNorm::ones(d, config.norm_bias.is_there(), config.norm_eps, device);
        Self {
            embeddings: ModernEmbeddings {
                tok_embeddings: Embedding::zeros(config.vocab_size, d, device),
                norm: norm(),
            },
            layers: (0..config.layers.len()).map(|i| ModernLayer::zeros(&config, i, device)).collect(),
            final_norm: norm(),
            config,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<ModernBertConfig> {
        &self.config
    }

    /// The linear layers by the names of their parameters.
    pub(crate) fn linears(&mut self) -> Vec<(String, &mut Linear)> {
        let layers = self.layers.iter_mut().enumerate();
        let named = |(index, layer): (usize, _)| {
            ModernLayer::linears(layer).map(|(name, linear)| (format!("layers.{index}.{name}"), linear))
        };
        layers.flat_map(named).collect()
    }

    fn frame(&self, batch: &TokenBatch, attention: Attention, kernels: Kernels) -> Frame {
        let device = self.final_norm.weight.val().device().inner();
        let reach = match attention {
            Attention::Global => Reach::Both,
            Attention::Local => Reach::Window(self.config.window / 2),
        };
        let packing = &batch.packing;
        let table = Arc::new(RopeTable::new(packing.longest(), &self.config.frequencies(attention)));
        Frame {
            rope: Rope::new(table, packing.clone(), kernels, &device),
            mask: AttentionMask::new(packing.clone(), reach, kernels, &device),
        }
    }

    /// Hidden states after the final norm, `[rows, hidden]`.
    pub fn forward(&self, batch: &TokenBatch, run: Run) -> Tensor<2> {
        let run = run.beginning_at(batch.packing.first_row());
        let kernels = run.kernels.on(&self.final_norm.weight.val());
        let [global, local] = [Attention::Global, Attention::Local].map(|a| self.frame(batch, a, kernels));
        let mut x = self.embeddings.norm.forward(self.embeddings.tok_embeddings.forward(&batch.ids), run);
        for (layer, attention) in self.layers.iter().zip(&self.config.layers) {
            let frame = if *attention == Attention::Global { &global } else { &local };
            x = layer.forward(x, frame, &self.config, run);
        }
        self.final_norm.forward(x, run)
    }
}
