//! Two texts as one sequence, as models read them that were trained on pairs.

use serde_json::Value;
use tokenizers::utils::truncation::{
    TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings,
};
use tokenizers::{Encoding, PostProcessor};

use super::{SETTINGS, TextTokenizer};
use crate::error::Result;

/// The tokens of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairTokens {
    /// Ids, special ones included.
    pub ids: Vec<u32>,
    /// Which text each belongs to, as the tokenizer's file says it.
    pub types: Vec<u32>,
}

impl TextTokenizer {
    /// Special tokens that are put around and between two texts.
    pub fn added_to_pairs(&self) -> usize {
        self.inner.get_post_processor().map_or(0, |step| step.added_tokens(true))
    }

    /// Ids of two texts with special tokens, at most `max_length`: the longer text is cut first, at its end, as
    /// transformers' `longest_first` does.
    ///
    /// # Errors
    /// When the tokenizer cannot encode a text.
    pub fn encode_pair(&self, first: &str, second: &str, max_length: usize) -> Result<PairTokens> {
        let encode = |text: &str| -> Result<Encoding> {
            self.inner.encode_fast(text, false).map_err(|e| self.wrong(e.to_string()))
        };
        let (first, second) = (encode(first)?, encode(second)?);
        let params = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: max_length.saturating_sub(self.added_to_pairs()),
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        let (first, second) =
            truncate_encodings(first, Some(second), &params).map_err(|e| self.wrong(e.to_string()))?;
        let whole = self.inner.post_process(first, second, true).map_err(|e| self.wrong(e.to_string()))?;
        Ok(PairTokens { ids: whole.get_ids().to_vec(), types: whole.get_type_ids().to_vec() })
    }

    /// Whether transformers hands the types of tokens to a model of BERT's family.
    ///
    /// # Errors
    /// When its versions differ in that; the message says what to write.
    pub(crate) fn hands_on_types(&self) -> Result<bool> {
        let settings = self.companion(SETTINGS).unwrap_or(&Value::Null);
        if let Some(names) = settings.get("model_input_names").and_then(Value::as_array) {
            return Ok(names.iter().any(|name| name == "token_type_ids"));
        }
        let class = settings.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
        match class {
            "" | "BertTokenizer" | "BertTokenizerFast" => Ok(true),
            name if name.starts_with("PreTrained") || name == "TokenizersBackend" => {
                Err(self.wrong_settings(format!(
                    "tokenizer_class is {class}, and versions of transformers differ in whether it gives the types of \
                     tokens; say so in model_input_names"
                )))
            }
            _ => Ok(false),
        }
    }
}
