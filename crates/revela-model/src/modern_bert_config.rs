//! Sizes and options of ModernBERT (Warner et al. 2024, arXiv:2412.13663).

use serde_json::Value;

use crate::config_keys;
use crate::fields::Fields;
use crate::kernels::{Activation, AttentionShape};

/// Whether a kind of part has biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// It has.
    With,
    /// It has not.
    Without,
}

impl Bias {
    /// As a question.
    pub fn is_there(self) -> bool {
        self == Self::With
    }

    fn of(flag: bool) -> Self {
        if flag { Self::With } else { Self::Without }
    }
}

/// How far the tokens of a layer read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// The whole text.
    Global,
    /// Half a window before and after.
    Local,
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ModernBertConfig {
    /// Tokens.
    pub vocab_size: usize,
    /// Features of a row of hidden state.
    pub hidden_size: usize,
    /// Features inside the feed-forward layers, after the gate.
    pub intermediate_size: usize,
    /// How far each layer reads.
    pub layers: Vec<Attention>,
    /// Heads and their size.
    pub attention: AttentionShape,
    /// Longest sequence in tokens.
    pub max_positions: usize,
    /// Epsilon of the normalisation.
    pub norm_eps: f64,
    /// Tokens that a local layer reads, itself included, is this plus one.
    pub window: usize,
    /// Base of the rotary frequencies of global layers.
    pub global_theta: f64,
    /// Base of those of local layers.
    pub local_theta: f64,
    /// Inside the feed-forward layers.
    pub activation: Activation,
    /// Biases of attention's projections.
    pub attention_bias: Bias,
    /// Biases of the feed-forward layers.
    pub mlp_bias: Bias,
    /// Biases of the norms.
    pub norm_bias: Bias,
    /// The file it was read from, with the fields that other tools need.
    pub source: Value,
}

impl ModernBertConfig {
    pub(crate) fn parse(json: &Value) -> Result<Self, String> {
        let fields = Fields(json);
        fields.check(config_keys::of_family("modernbert"))?;
        let (hidden_size, heads) = (fields.size("hidden_size")?, fields.size("num_attention_heads")?);
        let dim = hidden_size / heads;
        if dim * heads != hidden_size || !dim.is_multiple_of(2) {
            return Err(format!("hidden_size {hidden_size} does not divide into {heads} heads of even size"));
        }
        let global_theta = theta(json, "full_attention", "global_rope_theta")?.unwrap_or(160_000.0);
        Ok(Self {
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            layers: layers(json)?,
            attention: AttentionShape { heads, kv_heads: heads, dim },
            max_positions: fields.size("max_position_embeddings")?,
            norm_eps: fields.number_or("norm_eps", 1e-5)?,
            window: fields.size_or("local_attention", 128)?,
            global_theta,
            local_theta: match theta(json, "sliding_attention", "local_rope_theta")? {
                Some(theta) => theta,
                // Said to be nothing, it is the other's; not said, a number of its own.
                None if json.get("local_rope_theta").is_some_and(Value::is_null) => global_theta,
                None => 10_000.0,
            },
            activation: fields.activation("hidden_activation")?,
            attention_bias: Bias::of(fields.flag("attention_bias")?),
            mlp_bias: Bias::of(fields.flag("mlp_bias")?),
            norm_bias: Bias::of(fields.flag("norm_bias")?),
            source: json.clone(),
        })
    }

    /// Rotary frequencies of a layer, radians per position, one per pair of features.
    pub fn frequencies(&self, attention: Attention) -> Vec<f64> {
        let (dim, theta) = match attention {
            Attention::Global => (self.attention.dim, self.global_theta),
            Attention::Local => (self.attention.dim, self.local_theta),
        };
        (0..dim / 2).map(|i| theta.powf(-2.0 * i as f64 / dim as f64)).collect()
    }
}

/// The list of newer files, or the rule of older ones: every n-th layer is global.
fn layers(json: &Value) -> Result<Vec<Attention>, String> {
    let fields = Fields(json);
    let count = fields.size("num_hidden_layers")?;
    let Some(list) = json.get("layer_types").and_then(Value::as_array) else {
        let every = fields.size_or("global_attn_every_n_layers", 3)?.max(1);
        let kind =
            |layer: usize| if layer.is_multiple_of(every) { Attention::Global } else { Attention::Local };
        return Ok((0..count).map(kind).collect());
    };
    let kinds = list.iter().map(|kind| match kind.as_str() {
        Some("full_attention") => Ok(Attention::Global),
        Some("sliding_attention") => Ok(Attention::Local),
        _ => Err(format!("layer type {kind} is unknown; full_attention and sliding_attention are known")),
    });
    let kinds: Vec<Attention> = kinds.collect::<Result<_, _>>()?;
    if kinds.len() == count {
        Ok(kinds)
    } else {
        Err(format!("{count} layers, but {} layer types", kinds.len()))
    }
}

/// The base of rotary frequencies, where newer or older files put it.
fn theta(json: &Value, newer: &str, older: &str) -> Result<Option<f64>, String> {
    let rope = json.pointer(&format!("/rope_parameters/{newer}"));
    if let Some(object) = rope.and_then(Value::as_object) {
        config_keys::PLAIN_ROPE.check(object).map_err(|e| format!("rope_parameters, {newer}: {e}"))?;
    }
    let given = rope.and_then(|r| r.get("rope_theta")).or_else(|| json.get(older));
    match given.filter(|theta| !theta.is_null()) {
        None => Ok(None),
        Some(theta) => match theta.as_f64().filter(|theta| *theta > 0.0) {
            Some(theta) => Ok(Some(theta)),
            None => Err(format!("{older} is {theta}, which is no positive number")),
        },
    }
}
