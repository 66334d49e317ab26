//! The sizes and options of a decoder, read from and written as Hugging Face's `config.json`.

use std::path::Path;

use revela_base::file::FileError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::kernels::AttentionShape;

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
}

/// The fields of config.json that are read; Hugging Face writes many more.
#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    /// The newer place of theta and scaling.
    rope_parameters: Option<Value>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    #[serde(default)]
    use_sliding_window: bool,
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
        let raw: Raw = serde_json::from_slice(text).map_err(|e| wrong(e.to_string()))?;
        let config = Self::from_raw(raw).map_err(wrong)?;
        config.check().map_err(|detail| ModelError::Config { path: path.to_owned(), detail })?;
        Ok(config)
    }

    fn from_raw(raw: Raw) -> std::result::Result<Self, String> {
        let known = || Family::ALL.map(Family::name).join(", ");
        let name = raw.model_type.as_deref().unwrap_or("missing");
        let family = Family::ALL
            .into_iter()
            .find(|f| f.name() == name)
            .ok_or_else(|| format!("model_type is {name}; the decoders known here are {}", known()))?;
        if raw.hidden_act.as_deref().is_some_and(|act| act != "silu") {
            return Err(format!("hidden_act is {:?}; only silu is known", raw.hidden_act));
        }
        if raw.mlp_bias || raw.use_sliding_window {
            return Err("mlp_bias and use_sliding_window are not supported".into());
        }
        let heads = raw.num_attention_heads;
        let bias = match (family, raw.attention_bias) {
            (Family::Qwen2, _) => AttentionBias::Inputs,
            (Family::Llama | Family::Qwen3, true) => AttentionBias::All,
            (Family::Llama | Family::Qwen3, false) => AttentionBias::None,
        };
        let rope = raw.rope_parameters.or(raw.rope_scaling).unwrap_or(Value::Null);
        let theta = rope.get("rope_theta").and_then(Value::as_f64).or(raw.rope_theta).unwrap_or(10_000.0);
        Ok(Self {
            family,
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            layers: raw.num_hidden_layers,
            attention: AttentionShape {
                heads,
                kv_heads: raw.num_key_value_heads.unwrap_or(heads),
                dim: raw.head_dim.unwrap_or(match family {
                    // What transformers assumes for Qwen3 whatever its hidden size.
                    Family::Qwen3 => 128,
                    Family::Llama | Family::Qwen2 => raw.hidden_size / heads.max(1),
                }),
            },
            max_positions: raw.max_position_embeddings.unwrap_or(2048),
            rms_norm_eps: raw.rms_norm_eps.unwrap_or(1e-6),
            rope_theta: theta,
            rope_scaling: rope_scaling(&rope)?,
            tied: raw.tie_word_embeddings,
            bias,
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
