//! What turns token ids into vectors: a model of any family, and layers after its pooling.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::bert::Bert;
use crate::decoder::{Decoder, TokenBatch};
use crate::layers::{Linear, Run};
use crate::model_config::ModelConfig;
use crate::modern_bert::ModernBert;
use crate::pooling::{Pooling, Scale};
use crate::static_embedding::StaticEmbedding;

/// A model of any family.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Backbone {
    /// Llama, Qwen2, Qwen3.
    Decoder(Decoder),
    /// BERT, RoBERTa, XLM-RoBERTa, DistilBERT.
    Bert(Bert),
    /// ModernBERT.
    ModernBert(ModernBert),
    /// A vector per token.
    Static(StaticEmbedding),
}

impl Backbone {
    /// A model of zeros and ones, to be filled by name.
    pub fn zeros(config: &ModelConfig, device: &Device) -> Self {
        match config {
            ModelConfig::Decoder(config) => Self::Decoder(Decoder::zeros(config.clone(), device)),
            ModelConfig::Bert(config) => Self::Bert(Bert::zeros(config.clone(), device)),
            ModelConfig::ModernBert(config) => Self::ModernBert(ModernBert::zeros(config.clone(), device)),
            ModelConfig::Static(config) => Self::Static(StaticEmbedding::zeros(config.clone(), device)),
        }
    }

    /// The configuration.
    pub fn config(&self) -> ModelConfig {
        match self {
            Self::Decoder(model) => ModelConfig::Decoder(Arc::clone(model.config())),
            Self::Bert(model) => ModelConfig::Bert(Arc::clone(model.config())),
            Self::ModernBert(model) => ModelConfig::ModernBert(Arc::clone(model.config())),
            Self::Static(model) => ModelConfig::Static(Arc::clone(model.config())),
        }
    }

    /// Hidden states of the last layer, or the tokens' own vectors, `[rows, hidden]`.
    pub fn forward(&self, batch: &TokenBatch, run: Run) -> Tensor<2> {
        self.forward_typed(batch, None, run)
    }

    /// The same of rows of these types, where the family tells the two texts of a pair apart so.
    pub fn forward_typed(&self, batch: &TokenBatch, types: Option<&[u32]>, run: Run) -> Tensor<2> {
        match self {
            Self::Decoder(model) => model.forward(batch, run),
            Self::Bert(model) => model.forward_typed(batch, types, run),
            Self::ModernBert(model) => model.forward(batch, run),
            Self::Static(model) => model.forward(batch),
        }
    }

    /// Some weights, whose device and dtype are those of all.
    pub(crate) fn sample(&self) -> Tensor<1> {
        match self {
            Self::Decoder(model) => model.norm.weight.val(),
            Self::Bert(model) => model.norm.weight.val(),
            Self::ModernBert(model) => model.final_norm.weight.val(),
            Self::Static(model) => model.embedding.weight.val().narrow(0, 0, 1).squeeze_dim(0),
        }
    }

    /// The linear layers by the names of their parameters.
    pub(crate) fn linears(&mut self) -> Vec<(String, &mut Linear)> {
        match self {
            Self::Decoder(model) => model.linears(),
            Self::Bert(model) => model.linears(),
            Self::ModernBert(model) => model.linears(),
            Self::Static(_) => Vec::new(),
        }
    }
}

/// What follows a linear layer after pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DenseActivation {
    /// Nothing.
    Identity,
    /// tanh.
    Tanh,
    /// max(x, 0).
    Relu,
    /// x * Phi(x).
    Gelu,
}

/// A linear layer after pooling.
#[derive(Module, Debug)]
pub struct Dense {
    /// The layer.
    pub linear: Linear,
    #[module(skip)]
    activation: DenseActivation,
    #[module(skip)]
    input: Scale,
}

impl Dense {
    /// Zero weights, to be filled by name.
    pub(crate) fn zeros(
        [inputs, outputs]: [usize; 2],
        bias: bool,
        activation: DenseActivation,
        device: &Device,
    ) -> Self {
        Self { linear: Linear::zeros(inputs, outputs, bias, device), activation, input: Scale::Raw }
    }

    /// The same layer for inputs that are brought to this length first.
    pub(crate) fn with_input(self, input: Scale) -> Self {
        Self { input, ..self }
    }

    /// How long its inputs are made before they enter it.
    pub fn input(&self) -> Scale {
        self.input
    }

    /// What follows it.
    pub fn activation(&self) -> DenseActivation {
        self.activation
    }

    /// Features that go in and that come out.
    pub fn width(&self) -> [usize; 2] {
        self.linear.width()
    }

    /// `x`: `[rows, in]`, f32. Returns `[rows, out]`, f32.
    fn forward(&self, x: Tensor<2>, run: Run) -> Tensor<2> {
        let dtype = self.linear.weight.val().dtype();
        let x = self.input.apply(x).cast(dtype);
        let y = self.linear.forward(x, run);
        let y = match self.activation {
            DenseActivation::Identity => y,
            DenseActivation::Tanh => activation::tanh(y),
            DenseActivation::Relu => activation::relu(y),
            DenseActivation::Gelu => activation::gelu(y),
        };
        y.cast(burn::tensor::DType::F32)
    }
}

/// From token ids to vectors.
#[derive(Module, Debug)]
pub struct EmbeddingModel {
    /// The transformer.
    pub backbone: Backbone,
    /// After its pooling.
    pub dense: Vec<Dense>,
}

impl From<Decoder> for EmbeddingModel {
    fn from(decoder: Decoder) -> Self {
        Self { backbone: Backbone::Decoder(decoder), dense: Vec::new() }
    }
}

impl From<StaticEmbedding> for EmbeddingModel {
    fn from(table: StaticEmbedding) -> Self {
        Self { backbone: Backbone::Static(table), dense: Vec::new() }
    }
}

impl EmbeddingModel {
    /// Length of a vector.
    pub fn dimension(&self) -> usize {
        self.dense.last().map_or_else(|| self.backbone.config().hidden_size(), |dense| dense.width()[1])
    }

    /// Some weights, whose device and dtype are those of all.
    pub fn sample(&self) -> Tensor<1> {
        self.backbone.sample()
    }

    /// Vectors of a batch of texts, `[texts, dimension]`, f32, of whatever length they come out.
    pub fn embed(&self, texts: &TokenBatch, pooling: Pooling, run: Run) -> Tensor<2> {
        let hidden = self.backbone.forward(texts, run);
        let pooled = pooling.pool(hidden, &texts.packing, run);
        self.dense.iter().fold(pooled, |x, dense| dense.forward(x, run))
    }
}
