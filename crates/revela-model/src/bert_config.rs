//! Sizes and options of encoders with learned positions: BERT and what was made of it.

use serde_json::Value;

use crate::config_keys;
use crate::fields::Fields;
use crate::kernels::{Activation, AttentionShape};

/// A family of such encoders: which names and options its files have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BertFamily {
    /// BERT and MiniLM (Devlin et al. 2019, arXiv:1810.04805).
    Bert,
    /// RoBERTa (Liu et al. 2019, arXiv:1907.11692): positions begin after the padding id.
    Roberta,
    /// XLM-RoBERTa (Conneau et al. 2020, arXiv:1911.02116): RoBERTa for a hundred languages.
    XlmRoberta,
    /// DistilBERT (Sanh et al. 2019, arXiv:1910.01108): no token types, names of its own.
    DistilBert,
}

impl BertFamily {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bert, Self::Roberta, Self::XlmRoberta, Self::DistilBert];

    /// `model_type` in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::XlmRoberta => "xlm-roberta",
            Self::DistilBert => "distilbert",
        }
    }

    /// The class of transformers that is such an encoder without a head.
    pub(crate) fn architecture(self) -> &'static str {
        match self {
            Self::Bert => "BertModel",
            Self::Roberta => "RobertaModel",
            Self::XlmRoberta => "XLMRobertaModel",
            Self::DistilBert => "DistilBertModel",
        }
    }
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfig {
    /// The family.
    pub family: BertFamily,
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
    /// Rows of the position table.
    pub position_rows: usize,
    /// The row of the first token's position.
    pub first_position: usize,
    /// Kinds of tokens; 0 where the family has none. A text alone is of the first, a pair of the first two.
    pub token_types: usize,
    /// Epsilon of the normalisation.
    pub layer_norm_eps: f64,
    /// Between the feed-forward layers.
    pub activation: Activation,
    /// The file it was read from, with the fields that other tools need.
    pub source: Value,
}

impl BertConfig {
    pub(crate) fn parse(family: BertFamily, json: &Value) -> Result<Self, String> {
        let fields = Fields(json);
        fields.check(config_keys::of_family(family.name()))?;
        let config = match family {
            BertFamily::DistilBert => Self::distil_bert(&fields)?,
            _ => Self::bert(family, &fields)?,
        };
        config.check().map(|()| config)
    }

    fn bert(family: BertFamily, fields: &Fields<'_>) -> Result<Self, String> {
        let first_position = match family {
            BertFamily::Roberta | BertFamily::XlmRoberta => fields.size_or("pad_token_id", 1)? + 1,
            BertFamily::Bert | BertFamily::DistilBert => 0,
        };
        let (hidden_size, heads) = (fields.size("hidden_size")?, fields.size("num_attention_heads")?);
        Ok(Self {
            family,
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            layers: fields.size("num_hidden_layers")?,
            attention: AttentionShape { heads, kv_heads: heads, dim: hidden_size / heads },
            position_rows: fields.size("max_position_embeddings")?,
            first_position,
            token_types: fields.size_or("type_vocab_size", 2)?,
            layer_norm_eps: fields.number_or("layer_norm_eps", 1e-12)?,
            activation: fields.activation("hidden_act")?,
            source: fields.0.clone(),
        })
    }

    fn distil_bert(fields: &Fields<'_>) -> Result<Self, String> {
        let (hidden_size, heads) = (fields.size("dim")?, fields.size("n_heads")?);
        Ok(Self {
            family: BertFamily::DistilBert,
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("hidden_dim")?,
            layers: fields.size("n_layers")?,
            attention: AttentionShape { heads, kv_heads: heads, dim: hidden_size / heads },
            position_rows: fields.size("max_position_embeddings")?,
            first_position: 0,
            token_types: 0,
            layer_norm_eps: 1e-12,
            activation: fields.activation("activation")?,
            source: fields.0.clone(),
        })
    }

    fn check(&self) -> Result<(), String> {
        let heads = self.attention.heads;
        if self.hidden_size != self.attention.width() {
            return Err(format!("hidden size {} is no multiple of {heads} heads", self.hidden_size));
        }
        if self.max_length() == 0 {
            return Err("max_position_embeddings leaves no position for a token".into());
        }
        Ok(())
    }

    /// Longest sequence in tokens.
    pub fn max_length(&self) -> usize {
        self.position_rows.saturating_sub(self.first_position)
    }
}
