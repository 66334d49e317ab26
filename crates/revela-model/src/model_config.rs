//! The configuration of a model of any family.

use std::path::Path;
use std::sync::Arc;

use revela_base::file::FileError;
use serde_json::{Value, json};

use crate::bert_config::{BertConfig, BertFamily};
use crate::config::{DecoderConfig, Family};
use crate::error::{ModelError, Result};
use crate::kernels::Reach;
use crate::modern_bert_config::ModernBertConfig;
use crate::names;
use crate::pooling::Pooling;
use crate::static_embedding::{self, StaticConfig};
use crate::weights::Weights;

/// The file's name in a model folder.
pub(crate) const FILE: &str = "config.json";

/// What stands for `model_type` of a table of token vectors, whose folders have no config.json.
const STATIC: &str = "static-embedding";

/// `model_type` of ModernBERT.
const MODERN_BERT: &str = "modernbert";

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelConfig {
    /// A decoder: tokens read what is before them.
    Decoder(Arc<DecoderConfig>),
    /// An encoder with learned positions.
    Bert(Arc<BertConfig>),
    /// ModernBERT.
    ModernBert(Arc<ModernBertConfig>),
    /// A vector per token.
    Static(Arc<StaticConfig>),
}

impl ModelConfig {
    /// Reads `config.json` in a folder.
    ///
    /// # Errors
    /// When it is missing, no JSON, of an unknown family (the error lists the known ones) or impossible.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text = std::fs::read(&path).map_err(FileError::io("read", &path))?;
        Self::parse(&text, &path)
    }

    /// Of a table of token vectors, whose sizes its weights tell; `dir` is for messages.
    pub(crate) fn of_table(weights: &Weights, dir: &Path) -> Result<Self> {
        let config = StaticConfig::of_weights(weights)
            .map_err(|detail| ModelError::Weights { path: dir.to_owned(), detail })?;
        Ok(Self::Static(Arc::new(config)))
    }

    /// Parses the text of a config.json; `path` is for messages.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let wrong = |detail: String| ModelError::Config { path: path.to_owned(), detail };
        let json: Value = serde_json::from_slice(text).map_err(|e| wrong(e.to_string()))?;
        let name = json.get("model_type").and_then(Value::as_str).unwrap_or("missing");
        if Family::ALL.iter().any(|family| family.name() == name) {
            return Ok(Self::Decoder(Arc::new(DecoderConfig::parse(text, path)?)));
        }
        if let Some(family) = BertFamily::ALL.into_iter().find(|family| family.name() == name) {
            let config = BertConfig::parse(family, &json).map_err(wrong)?;
            return Ok(Self::Bert(Arc::new(config)));
        }
        if name == MODERN_BERT {
            let config = ModernBertConfig::parse(&json).map_err(wrong)?;
            return Ok(Self::ModernBert(Arc::new(config)));
        }
        Err(wrong(format!("model_type is {name}; the families known here are {}", families().join(", "))))
    }

    /// `model_type`.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Decoder(config) => config.family.name(),
            Self::Bert(config) => config.family.name(),
            Self::ModernBert(_) => MODERN_BERT,
            Self::Static(_) => STATIC,
        }
    }

    /// The tokenizer's class in transformers, where the file names one; of decoders it says nothing that counts.
    pub(crate) fn tokenizer_class(&self) -> Option<&str> {
        match self {
            Self::Decoder(_) | Self::Static(_) => None,
            Self::Bert(config) => config.source.get("tokenizer_class")?.as_str(),
            Self::ModernBert(config) => config.source.get("tokenizer_class")?.as_str(),
        }
    }

    /// Features of a row of hidden state.
    pub fn hidden_size(&self) -> usize {
        match self {
            Self::Decoder(config) => config.hidden_size,
            Self::Bert(config) => config.hidden_size,
            Self::ModernBert(config) => config.hidden_size,
            Self::Static(config) => config.hidden_size,
        }
    }

    /// Tokens.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Decoder(config) => config.vocab_size,
            Self::Bert(config) => config.vocab_size,
            Self::ModernBert(config) => config.vocab_size,
            Self::Static(config) => config.vocab_size,
        }
    }

    /// Layers.
    pub fn layers(&self) -> usize {
        match self {
            Self::Decoder(config) => config.layers,
            Self::Bert(config) => config.layers,
            Self::ModernBert(config) => config.layers.len(),
            Self::Static(_) => 0,
        }
    }

    /// Longest sequence in tokens.
    pub fn max_length(&self) -> usize {
        match self {
            Self::Decoder(config) => config.max_positions,
            Self::Bert(config) => config.max_length(),
            Self::ModernBert(config) => config.max_positions,
            Self::Static(_) => static_embedding::LONGEST,
        }
    }

    /// The usual pooling: of the only state that has read the whole text, or of all that have.
    pub fn usual_pooling(&self) -> Pooling {
        match self {
            Self::Decoder(config) if config.reach == Reach::Causal => Pooling::Eos,
            Self::Decoder(_) | Self::Bert(_) | Self::ModernBert(_) | Self::Static(_) => Pooling::Mean,
        }
    }

    /// Put before queries and before passages where nothing is said.
    pub fn usual_prompts(&self) -> [&'static str; 2] {
        match self {
            Self::Decoder(_) => ["query: ", "passage: "],
            Self::Bert(_) | Self::ModernBert(_) | Self::Static(_) => ["", ""],
        }
    }

    /// Numbers of a model without a head, or a little less; of impossible sizes too.
    pub(crate) fn least_parameters(&self) -> u128 {
        let layers = self.layers() as u128;
        let (vocabulary, d) = (self.vocab_size() as u128, self.hidden_size() as u128);
        let (rows, layer) = match self {
            Self::Decoder(config) => {
                let a = config.attention;
                let heads = a.dim as u128 * (2 * a.heads as u128 + 2 * a.kv_heads as u128);
                (vocabulary, d * heads + 3 * d * config.intermediate_size as u128)
            }
            Self::Bert(config) => {
                let rows = vocabulary + config.position_rows as u128 + config.token_types as u128;
                (rows, 4 * d * d + 2 * d * config.intermediate_size as u128)
            }
            Self::ModernBert(config) => (vocabulary, 4 * d * d + 3 * d * config.intermediate_size as u128),
            Self::Static(_) => (vocabulary, 0),
        };
        rows * d + layers * layer
    }

    /// # Errors
    /// When vectors of this pooling would not depend on the text.
    pub fn check_pooling(&self, pooling: Pooling) -> std::result::Result<(), String> {
        match (self, pooling) {
            (Self::Decoder(config), Pooling::Cls) if config.reach == Reach::Causal => Err(format!(
                "cls pooling is impossible for {}: its first token reads nothing but itself; choose mean or eos",
                config.family.name()
            )),
            (Self::Static(_), Pooling::Cls | Pooling::Eos) => {
                Err("a static encoder knows no token that has read the others; choose mean".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// As a config.json for a model without a head.
    pub fn to_json(&self, torch_dtype: &str) -> Value {
        let (architecture, source) = match self {
            Self::Decoder(config) => return config.to_json(torch_dtype),
            Self::Bert(config) => (config.family.architecture(), &config.source),
            Self::ModernBert(config) => ("ModernBertModel", &config.source),
            Self::Static(config) => {
                return json!({"model_type": STATIC, "vocab_size": config.vocab_size,
                    "hidden_size": config.hidden_size, "torch_dtype": torch_dtype});
            }
        };
        let mut json = source.clone();
        if let Some(object) = json.as_object_mut() {
            object.remove("dtype");
            object.insert("torch_dtype".into(), torch_dtype.into());
            object.insert("architectures".into(), json!([architecture]));
        }
        json
    }

    fn named_differently(&self) -> Option<BertFamily> {
        match self {
            Self::Bert(config) => Some(config.family),
            Self::Decoder(_) | Self::ModernBert(_) | Self::Static(_) => None,
        }
    }

    /// The name in a file of what is called so here.
    pub(crate) fn name_in_file(&self, here: &str) -> String {
        names::to_file(self.named_differently(), here)
    }
}

/// The names of all families.
pub fn families() -> Vec<&'static str> {
    let decoders = Family::ALL.iter().map(|family| family.name());
    BertFamily::ALL.iter().map(|family| family.name()).chain([MODERN_BERT]).chain(decoders).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: Value) -> String {
        ModelConfig::parse(json.to_string().as_bytes(), Path::new("config.json")).unwrap_err().to_string()
    }

    #[test]
    fn unknown_families_and_impossible_values_are_named() {
        let error = message(json!({"model_type": "t5"}));
        assert!(error.contains("t5") && error.contains("modernbert") && error.contains("qwen3"), "{error}");
        let bert = |change: fn(&mut Value)| {
            let mut json = json!({"model_type": "bert", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
                "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 4});
            change(&mut json);
            message(json)
        };
        assert!(bert(|j| j["num_attention_heads"] = 3.into()).contains("multiple"));
        assert!(bert(|j| j["hidden_act"] = "mish".into()).contains("gelu"));
        assert!(bert(|j| j["position_embedding_type"] = "relative_key".into()).contains("absolute"));
        assert!(bert(|j| j["layer_norm_eps"] = 0.into()).contains("layer_norm_eps"));
        assert!(bert(|j| j["vocab_size"] = Value::Null).contains("vocab_size"));
        assert!(
            bert(|j| {
                j["model_type"] = "roberta".into();
                j["pad_token_id"] = 3.into()
            })
            .contains("no position")
        );
    }
}
