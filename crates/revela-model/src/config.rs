//! The sizes and options of a decoder, read from and written as Hugging Face's `config.json`.

use std::path::Path;

use revela_base::file::FileError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config_keys;
use crate::error::{ModelError, Result};
use crate::fields::Fields;
use crate::kernels::{AttentionShape, Reach};

/// A family of decoders: which architecture the names and options mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama 2 and 3 (Touvron et al. 2023, arXiv:2307.09288).
    Llama,
    /// Qwen2 and Qwen2.5 (arXiv:2407.10671): Llama with biases on queries, keys and values.
    Qwen2,
    /// Qwen3 (arXiv:2505.09388): Llama with a norm on each head's queries and keys.
    Qwen3,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Llama, Self::Qwen2, Self::Qwen3];

    /// `model_type` in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    // What transformers' configuration classes assume where a file says nothing.

    fn usual_positions(self) -> usize {
        match self {
            Self::Llama => 2048,
            Self::Qwen2 | Self::Qwen3 => 32_768,
        }
    }

    /// Nothing: as many as there are heads.
    fn usual_kv_heads(self) -> Option<usize> {
        match self {
            Self::Llama => None,
            Self::Qwen2 | Self::Qwen3 => Some(32),
        }
    }

    /// Nothing: the hidden size shared among heads.
    fn usual_head_dim(self) -> Option<usize> {
        match self {
            Self::Llama | Self::Qwen2 => None,
            Self::Qwen3 => Some(128),
        }
    }

    fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }
}

/// Which projections of attention have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionBias {
    /// None.
    None,
    /// Queries, keys and values.
    Inputs,
    /// Queries, keys, values and the output.
    All,
}

/// How rotary frequencies are stretched for long contexts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Llama 3.1's piecewise rule.
    Llama3 {
        /// Division of the low frequencies.
        factor: f64,
        /// Wavelengths above `original / low` are divided fully.
        low_freq_factor: f64,
        /// Wavelengths below `original / high` are left alone.
        high_freq_factor: f64,
        /// The context length of pretraining.
        original_max_position_embeddings: f64,
    },
}

/// A checked decoder configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// The family.
    pub family: Family,
    /// Tokens.
    pub vocab_size: usize,
    /// Features of a row of hidden state.
    pub hidden_size: usize,
    /// Features inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers.
    pub layers: usize,
    /// Heads and their size.
    pub attention: AttentionShape,
    /// Longest sequence.
    pub max_positions: usize,
    /// Epsilon of the normalisation.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Their scaling.
    pub rope_scaling: RopeScaling,
    /// Whether the output embedding is the input embedding.
    pub tied: bool,
    /// Biases of attention.
    pub bias: AttentionBias,
    /// What tokens read: what is before them, or, in decoders made into encoders, all of the text.
    pub reach: Reach,
}

impl DecoderConfig {
    /// Reads `config.json` in a folder.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text = std::fs::read(&path).map_err(FileError::io("read", &path))?;
        Self::parse(&text, &path)
    }

    /// Parses the text of a config.json; `path` is for messages.
    pub fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let wrong = |detail: String| ModelError::Config { path: path.to_owned(), detail };
        let json: Value = serde_json::from_slice(text).map_err(|e| wrong(e.to_string()))?;
        let config = Self::from_json(&json).map_err(wrong)?;
        config.check().map_err(|detail| ModelError::Config { path: path.to_owned(), detail })?;
        Ok(config)
    }

    fn from_json(json: &Value) -> std::result::Result<Self, String> {
        let fields = Fields(json);
        let known = || Family::ALL.map(Family::name).join(", ");
        let name = json.get("model_type").and_then(Value::as_str).unwrap_or("missing");
        let family = Family::ALL
            .into_iter()
            .find(|f| f.name() == name)
            .ok_or_else(|| format!("model_type is {name}; the decoders known here are {}", known()))?;
        fields.check(config_keys::of_family(name))?;
        let heads = fields.size("num_attention_heads")?;
        let layers = fields.size("num_hidden_layers")?;
        check_layer_types(json, layers)?;
        let bias = match (family, fields.flag("attention_bias")?) {
            (Family::Qwen2, _) => AttentionBias::Inputs,
            (Family::Llama | Family::Qwen3, true) => AttentionBias::All,
            (Family::Llama | Family::Qwen3, false) => AttentionBias::None,
        };
        let rope = rope_parameters(json)?;
        let theta = Fields(&rope).number_or("rope_theta", fields.number_or("rope_theta", 10_000.0)?)?;
        let hidden_size = fields.size("hidden_size")?;
        Ok(Self {
            family,
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            layers,
            attention: AttentionShape {
                heads,
                kv_heads: match json.get("num_key_value_heads") {
                    None => family.usual_kv_heads().unwrap_or(heads),
                    Some(_) => fields.size_or("num_key_value_heads", heads)?,
                },
                dim: fields.size_or("head_dim", family.usual_head_dim().unwrap_or(hidden_size / heads))?,
            },
            max_positions: fields.length_or("max_position_embeddings", family.usual_positions())?,
            rms_norm_eps: fields.number_or("rms_norm_eps", 1e-6)?,
            rope_theta: theta,
            rope_scaling: rope_scaling(&rope)?,
            tied: fields.flag("tie_word_embeddings")?,
            bias,
            reach: if fields.flag_or("is_causal", true)? { Reach::Causal } else { Reach::Both },
        })
    }

    /// Whether a model can have these values.
    ///
    /// # Errors
    /// The value that is impossible, and why.
    pub fn check(&self) -> std::result::Result<(), String> {
        let positive = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.attention.heads),
            ("num_key_value_heads", self.attention.kv_heads),
            ("head_dim", self.attention.dim),
            ("max_position_embeddings", self.max_positions),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} is 0"));
        }
        let AttentionShape { heads, kv_heads, dim } = self.attention;
        if !heads.is_multiple_of(kv_heads) {
            return Err(format!(
                "num_attention_heads ({heads}) is no multiple of num_key_value_heads ({kv_heads})"
            ));
        }
        if !dim.is_multiple_of(2) {
            return Err(format!("head_dim is {dim}; rotary positions pair features, so it must be even"));
        }
        if !(self.rms_norm_eps > 0.0 && self.rope_theta > 0.0) {
            return Err("rms_norm_eps and rope_theta must be positive".into());
        }
        Ok(())
    }

    /// Rotary frequencies, radians per position, one per pair of features.
    pub fn rope_frequencies(&self) -> Vec<f64> {
        let dim = self.attention.dim;
        let plain = (0..dim / 2).map(|i| self.rope_theta.powf(-2.0 * i as f64 / dim as f64));
        plain.map(|f| self.rope_scaling.apply(f)).collect()
    }

    /// This configuration as Hugging Face's config.json.
    pub fn to_json(&self, torch_dtype: &str) -> Value {
        let mut json = serde_json::json!({
            "architectures": [self.family.architecture()],
            "model_type": self.family.name(),
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.attention.heads,
            "num_key_value_heads": self.attention.kv_heads,
            "head_dim": self.attention.dim,
            "max_position_embeddings": self.max_positions,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tied,
            "attention_bias": self.bias == AttentionBias::All,
            "hidden_act": "silu",
            "torch_dtype": torch_dtype,
        });
        if self.reach == Reach::Both {
            json["is_causal"] = false.into();
        }
        if let RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } = self.rope_scaling
        {
            json["rope_scaling"] = serde_json::json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                // transformers insists on a whole number.
                "original_max_position_embeddings": original_max_position_embeddings as u64,
            });
        }
        json
    }

    /// Number of parameters of the decoder without an output embedding of its own.
    pub fn parameters(&self) -> usize {
        let (d, a) = (self.hidden_size, self.attention);
        let attention = d * (2 * a.width() + 2 * a.kv_width());
        let bias = match self.bias {
            AttentionBias::None => 0,
            AttentionBias::Inputs => a.width() + 2 * a.kv_width(),
            AttentionBias::All => a.width() + 2 * a.kv_width() + d,
        };
        let head_norms = if self.family == Family::Qwen3 { 2 * a.dim } else { 0 };
        let layer = attention + bias + head_norms + 3 * d * self.intermediate_size + 2 * d;
        self.vocab_size * d + self.layers * layer + d
    }
}

/// Layers that read a window only are not supported.
fn check_layer_types(json: &Value, layers: usize) -> std::result::Result<(), String> {
    let Some(list) = json.get("layer_types").filter(|list| !list.is_null()) else { return Ok(()) };
    let list = list.as_array().ok_or("layer_types is no list")?;
    if let Some(other) = list.iter().find(|kind| *kind != "full_attention") {
        return Err(format!("layer_types has {other}, which is not supported; full_attention is"));
    }
    if list.len() == layers {
        Ok(())
    } else {
        Err(format!("layer_types lists {} layers, but num_hidden_layers is {layers}", list.len()))
    }
}

/// Base and scaling of rotary frequencies, from the older key where that is filled, as transformers has it.
fn rope_parameters(json: &Value) -> std::result::Result<Value, String> {
    let filled = |name: &str| json.get(name).filter(|v| v.as_object().is_some_and(|o| !o.is_empty()));
    let empty = |v: &Value| v.is_null() || v.as_object().is_some_and(serde_json::Map::is_empty);
    for name in ["rope_scaling", "rope_parameters"] {
        if let Some(object) = filled(name).and_then(Value::as_object) {
            config_keys::ROPE.check(object).map_err(|e| format!("{name}: {e}"))?;
            return Ok(Value::Object(object.clone()));
        }
        if json.get(name).is_some_and(|v| !empty(v)) {
            return Err(format!("{name} is no object"));
        }
    }
    Ok(Value::Null)
}

fn rope_scaling(value: &Value) -> std::result::Result<RopeScaling, String> {
    let kind = value.get("rope_type").or_else(|| value.get("type")).and_then(Value::as_str);
    match kind {
        None | Some("default") => Ok(RopeScaling::None),
        Some("llama3") => {
            let number = |name: &str| {
                value
                    .get(name)
                    .and_then(Value::as_f64)
                    .ok_or_else(|| format!("rope_scaling has no number {name}"))
            };
            Ok(RopeScaling::Llama3 {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_max_position_embeddings: number("original_max_position_embeddings")?,
            })
        }
        Some(other) => Err(format!("rope_scaling of type {other} is not supported; llama3 and default are")),
    }
}

impl RopeScaling {
    fn apply(self, frequency: f64) -> f64 {
        let Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } =
            self
        else {
            return frequency;
        };
        let turns = original_max_position_embeddings * frequency / (2.0 * std::f64::consts::PI);
        if turns > high_freq_factor {
            frequency
        } else if turns < low_freq_factor {
            frequency / factor
        } else {
            let smooth = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
            (1.0 - smooth) * frequency / factor + smooth * frequency
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(change: impl FnOnce(&mut Value)) -> Result<DecoderConfig> {
        let mut json = crate::testing::tiny_config().to_json("float32");
        change(&mut json);
        DecoderConfig::parse(json.to_string().as_bytes(), Path::new("config.json"))
    }

    #[test]
    fn json_round_trip() {
        let mut config = crate::testing::tiny_config();
        assert_eq!(parse(|_| {}).unwrap(), config);
        config.rope_scaling = RopeScaling::Llama3 {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192.0,
        };
        let text = config.to_json("bfloat16").to_string();
        assert_eq!(DecoderConfig::parse(text.as_bytes(), Path::new("c")).unwrap(), config);
    }

    #[test]
    fn impossible_values_are_named() {
        let message = |change: fn(&mut Value)| parse(change).unwrap_err().to_string();
        assert!(message(|j| j["model_type"] = "gpt2".into()).contains("llama, qwen2"));
        assert!(message(|j| j["num_hidden_layers"] = 0.into()).contains("num_hidden_layers is 0"));
        assert!(message(|j| j["num_key_value_heads"] = 3.into()).contains("multiple"));
        assert!(message(|j| j["hidden_act"] = "gelu".into()).contains("silu"));
        assert!(message(|j| j["head_dim"] = 7.into()).contains("even"));
        assert!(message(|j| j["rope_scaling"] = serde_json::json!({"type": "yarn"})).contains("yarn"));
    }

    #[test]
    fn llama3_scaling_leaves_high_and_divides_low_frequencies() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192.0,
        };
        assert_eq!(scaling.apply(1.0), 1.0);
        assert_eq!(scaling.apply(1e-5), 1e-5 / 8.0);
        let middle = scaling.apply(2e-3);
        assert!(middle < 2e-3 && middle > 2e-3 / 8.0);
    }
}
