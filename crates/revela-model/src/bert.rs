//! Encoders with learned positions, where every token reads the whole text: BERT and what was made of it.
//!
//! Fields have names of their own, since the families' files name the same parts differently;
//! `names` translates.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::bert_config::BertConfig;
use crate::decoder::TokenBatch;
use crate::kernels::{AttentionMask, Reach};
use crate::layers::{Embedding, LayerNorm, Linear, Run};

/// One layer: attention and feed-forward, each around a residual and before a norm.
#[derive(Module, Debug)]
pub struct BertLayer {
    /// Queries.
    pub query: Linear,
    /// Keys.
    pub key: Linear,
    /// Values.
    pub value: Linear,
    /// Attention's output.
    pub output: Linear,
    /// After attention.
    pub attention_norm: LayerNorm,
    /// Into the feed-forward layer.
    pub up: Linear,
    /// Out of it.
    pub down: Linear,
    /// After it.
    pub output_norm: LayerNorm,
}

impl BertLayer {
    fn zeros(config: &BertConfig, device: &Device) -> Self {
        let (d, inner) = (config.hidden_size, config.intermediate_size);
        let linear = |inputs, outputs| Linear::zeros(inputs, outputs, true, device);
        let norm = || LayerNorm::ones(d, true, config.layer_norm_eps, device);
        Self {
            query: linear(d, d),
            key: linear(d, d),
            value: linear(d, d),
            output: linear(d, d),
            attention_norm: norm(),
            up: linear(d, inner),
            down: linear(inner, d),
            output_norm: norm(),
        }
    }

    fn linears(&mut self) -> [(&'static str, &mut Linear); 6] {
        [
            ("query", &mut self.query),
            ("key", &mut self.key),
            ("value", &mut self.value),
            ("output", &mut self.output),
            ("up", &mut self.up),
            ("down", &mut self.down),
        ]
    }

    fn forward(&self, x: Tensor<2>, mask: &AttentionMask, config: &BertConfig, run: Run) -> Tensor<2> {
        let part = |linear: &Linear| linear.forward(x.clone(), run);
        let (q, k, v) = (part(&self.query), part(&self.key), part(&self.value));
        let attended = run.kernels.attention(q, k, v, mask, config.attention);
        let x = self.attention_norm.forward(self.output.forward(attended, run) + x, run);
        let inner = run.kernels.activation(self.up.forward(x.clone(), run), config.activation);
        self.output_norm.forward(self.down.forward(inner, run) + x, run)
    }
}

/// The encoder.
#[derive(Module, Debug)]
pub struct Bert {
    /// Token embeddings.
    pub words: Embedding,
    /// Position embeddings.
    pub positions: Embedding,
    /// Token types, where the family has them.
    pub types: Option<Embedding>,
    /// After the embeddings.
    pub norm: LayerNorm,
    /// Layers.
    pub layers: Vec<BertLayer>,
    #[module(skip)]
    config: Arc<BertConfig>,
}

impl Bert {
    /// An encoder of zeros and ones, to be filled by name.
    pub fn zeros(config: Arc<BertConfig>, device: &Device) -> Self {
        let d = config.hidden_size;
        Self {
            words: Embedding::zeros(config.vocab_size, d, device),
            positions: Embedding::zeros(config.position_rows, d, device),
            types: (config.token_types > 0).then(|| Embedding::zeros(config.token_types, d, device)),
            norm: LayerNorm::ones(d, true, config.layer_norm_eps, device),
            layers: (0..config.layers).map(|_| BertLayer::zeros(&config, device)).collect(),
            config,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<BertConfig> {
        &self.config
    }

    /// The linear layers by the names of their parameters.
    pub(crate) fn linears(&mut self) -> Vec<(String, &mut Linear)> {
        let layers = self.layers.iter_mut().enumerate();
        let named = |(index, layer): (usize, _)| {
            BertLayer::linears(layer).map(|(name, linear)| (format!("layers.{index}.{name}"), linear))
        };
        layers.flat_map(named).collect()
    }

    /// Hidden states of the last layer, `[rows, hidden]`, of texts alone.
    pub fn forward(&self, batch: &TokenBatch, run: Run) -> Tensor<2> {
        self.forward_typed(batch, None, run)
    }

    /// The same of rows of these types, each below [`BertConfig::token_types`]; all of the first where none are given.
    pub fn forward_typed(&self, batch: &TokenBatch, types: Option<&[u32]>, run: Run) -> Tensor<2> {
        let run = run.beginning_at(batch.packing.first_row());
        let kernels = run.kernels.on(&self.norm.weight.val());
        let device = self.norm.weight.val().device().inner();
        let mask = AttentionMask::new(batch.packing.clone(), Reach::Both, kernels, &device);
        let mut x = self.norm.forward(self.embed(batch, types), run);
        for layer in &self.layers {
            x = layer.forward(x, &mask, &self.config, run);
        }
        x
    }

    fn embed(&self, batch: &TokenBatch, types: Option<&[u32]>) -> Tensor<2> {
        let first = self.config.first_position;
        let positions: Vec<u32> = batch.packing.positions().map(|p| (first + p) as u32).collect();
        let x = self.words.forward(&batch.ids) + self.positions.forward(&positions);
        match (&self.types, types) {
            (Some(table), Some(types)) => x + table.forward(types),
            // A text alone is all of the first type.
            (Some(table), None) => x + table.weight.val().narrow(0, 0, 1),
            (None, _) => x,
        }
    }
}
