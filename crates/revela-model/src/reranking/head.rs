//! What makes a score of an encoder's states: the classification heads of transformers.

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation};
use serde_json::Value;

use crate::bert_config::BertFamily;
use crate::decoder::TokenBatch;
use crate::fields::Fields;
use crate::kernels::Activation;
use crate::layers::{LayerNorm, Linear, Run};
use crate::model_config::ModelConfig;
use crate::names;
use crate::pooling::Pooling;

/// Between the two linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Tanh,
    Other(Activation),
}

/// Pooling, a linear layer, an activation, a norm where the family has one, and a linear layer of one output.
#[derive(Module, Debug)]
pub(super) struct ClassificationHead {
    /// From states to states.
    dense: Linear,
    /// After the activation (ModernBERT).
    norm: Option<LayerNorm>,
    /// To the score.
    out: Linear,
    #[module(skip)]
    pooling: Pooling,
    #[module(skip)]
    between: Between,
}

const OF_DECODER: &str = "a decoder with a classification head is not supported; encoders with one are, and decoders \
                          that answer yes or no";

const OF_TABLE: &str = "a static encoder reads no pair of texts; name a cross-encoder";

impl ClassificationHead {
    /// A head of zeros for a family, to be filled by name; `json` is that of config.json.
    ///
    /// # Errors
    /// What the configuration asks for and no head here has.
    pub(super) fn zeros(config: &ModelConfig, json: &Value, device: &Device) -> Result<Self, String> {
        if !matches!(config, ModelConfig::Decoder(_) | ModelConfig::Static(_)) {
            one_label(json)?;
        }
        let d = config.hidden_size();
        let linear = |outputs, bias| Linear::zeros(d, outputs, bias, device);
        let (pooling, between, bias, norm) = match config {
            ModelConfig::Bert(bert) if bert.family == BertFamily::DistilBert => {
                (Pooling::Cls, Between::Other(Activation::Relu), true, None)
            }
            ModelConfig::Bert(_) => (Pooling::Cls, Between::Tanh, true, None),
            ModelConfig::ModernBert(modern) => {
                let fields = Fields(json);
                let norm = LayerNorm::ones(d, modern.norm_bias.is_there(), modern.norm_eps, device);
                let between = Between::Other(fields.activation("classifier_activation")?);
                (modern_pooling(json)?, between, fields.flag("classifier_bias")?, Some(norm))
            }
            ModelConfig::Decoder(_) => return Err(OF_DECODER.into()),
            ModelConfig::Static(_) => return Err(OF_TABLE.into()),
        };
        Ok(Self { dense: linear(d, bias), norm, out: linear(1, true), pooling, between })
    }

    /// What decides scores beside the weights.
    pub(super) fn rules(&self) -> impl std::fmt::Debug + use<> {
        (self.pooling, self.between)
    }

    /// Scores of the sequences of a batch, given its final hidden states: `[sequences, 1]`, f32.
    pub(super) fn forward(&self, hidden: Tensor<2>, batch: &TokenBatch, run: Run) -> Tensor<2> {
        let pooled = self.pooling.pool(hidden, &batch.packing, run).cast(self.dense.weight.val().dtype());
        let x = self.dense.forward(pooled, run);
        let x = match self.between {
            Between::Tanh => activation::tanh(x),
            Between::Other(function) => run.kernels.activation(x, function),
        };
        let x = match &self.norm {
            Some(norm) => norm.forward(x, run),
            None => x,
        };
        self.out.forward(x, run).cast(burn::tensor::DType::F32)
    }
}

/// What a family's files call the head's parts: here, there.
fn parts(config: &ModelConfig) -> &'static [(&'static str, &'static str)] {
    match config {
        ModelConfig::Bert(bert) => match bert.family {
            BertFamily::Bert => &[("dense", "pooler.dense"), ("out", "classifier")],
            BertFamily::Roberta | BertFamily::XlmRoberta => {
                &[("dense", "classifier.dense"), ("out", "classifier.out_proj")]
            }
            BertFamily::DistilBert => &[("dense", "pre_classifier"), ("out", "classifier")],
        },
        ModelConfig::ModernBert(_) | ModelConfig::Decoder(_) | ModelConfig::Static(_) => {
            &[("dense", "head.dense"), ("norm", "head.norm"), ("out", "classifier")]
        }
    }
}

/// A parameter's name in a file, given its name here.
pub(super) fn name_in_file(config: &ModelConfig, here: &str) -> String {
    let found =
        parts(config).iter().find_map(|(part, there)| Some(format!("{there}{}", here.strip_prefix(part)?)));
    found.unwrap_or_else(|| here.to_owned())
}

/// Whether a tensor of a file belongs to the family's head: all that stand where the head's parts do, so that one
/// which the configuration does not know is named.
pub(super) fn is_of_head(config: &ModelConfig, name: &str) -> bool {
    let name = names::without_model(name);
    let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    parts(config).iter().any(|(_, there)| first(there) == first(name))
}

/// Checks that there is one label, whose logit is the score.
fn one_label(json: &Value) -> Result<(), String> {
    let named = json.get("id2label").and_then(Value::as_object).map(|labels| labels.len() as u64);
    let counted = |key: &str| json.get(key).and_then(Value::as_u64);
    let said =
        [("id2label", named), ("num_labels", counted("num_labels")), ("_num_labels", counted("_num_labels"))];
    let mut said = said.into_iter().filter_map(|(key, count)| Some((key, count?))).peekable();
    if said.peek().is_none() {
        return Err(
            "neither id2label nor num_labels is said, which means two labels; a reranker has one".into()
        );
    }
    match said.find(|(_, count)| *count != 1) {
        Some((key, count)) => Err(format!("{key} says that there are {count} labels; a reranker has one")),
        None => Ok(()),
    }
}

fn modern_pooling(json: &Value) -> Result<Pooling, String> {
    match json.get("classifier_pooling").filter(|name| !name.is_null()) {
        None => Ok(Pooling::Cls),
        Some(name) if name == "cls" => Ok(Pooling::Cls),
        Some(name) if name == "mean" => Ok(Pooling::Mean),
        Some(other) => Err(format!("classifier_pooling is {other}; cls and mean are known")),
    }
}
