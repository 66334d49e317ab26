//! The encoding contract: everything beside the weights that decides a text's vector.
//!
//! Prefixes, length, end token and pooling must travel with the weights: an encoder used under another
//! contract than it was trained with gives worse vectors without any error.

use revela_base::embed::{Metric, TextKind};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::pooling::{Pooling, Scale};
use crate::static_embedding;
use crate::tokenizer::TextTokenizer;

/// How texts become token ids and token states become a vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Put before queries.
    pub query_prompt: String,
    /// Put before passages.
    pub passage_prompt: String,
    /// Longest sequence in tokens, special ones included; longer texts are cut at the end.
    pub max_length: usize,
    /// An end token to append where the tokenizer does not do so itself; encoders have it in their tokenizer.
    pub append: Option<u32>,
    /// From token states to a vector.
    pub pooling: Pooling,
    /// How long the vector is.
    #[serde(default, skip_serializing_if = "Scale::is_unit")]
    pub scale: Scale,
    /// By which similarity vectors are compared; how long they are says nothing of it.
    #[serde(default, skip_serializing_if = "Metric::is_default")]
    pub metric: Metric,
}

impl Contract {
    /// The contract of a decoder that becomes a retriever: Revela's prefixes, and the tokenizer's end token
    /// where it does not append one itself.
    pub fn of_decoder(tokenizer: &TextTokenizer, max_length: usize, pooling: Pooling) -> Result<Self> {
        Ok(Self {
            query_prompt: "query: ".into(),
            passage_prompt: "passage: ".into(),
            max_length,
            append: tokenizer.missing_end()?,
            pooling,
            scale: Scale::Unit,
            metric: Metric::Cosine,
        })
    }

    /// The contract of a table of token vectors, which sees a text's own tokens alone.
    pub fn of_table(tokenizer: &mut TextTokenizer) -> Self {
        tokenizer.take_frame_off();
        Self {
            query_prompt: String::new(),
            passage_prompt: String::new(),
            max_length: static_embedding::LONGEST,
            append: None,
            pooling: Pooling::Mean,
            scale: Scale::Unit,
            metric: Metric::Cosine,
        }
    }

    /// Lets the tokenizer append the end token, so that whatever other tool reads its file gets the same ids.
    pub(crate) fn move_end_into(&mut self, tokenizer: &mut TextTokenizer) -> Result<()> {
        match self.append.take() {
            Some(end) if tokenizer.closing().last() != Some(&end) => tokenizer.end_with(end),
            _ => Ok(()),
        }
    }

    /// Put before texts of this kind.
    pub fn prompt(&self, kind: TextKind) -> &str {
        match kind {
            TextKind::Query => &self.query_prompt,
            TextKind::Passage => &self.passage_prompt,
        }
    }

    /// Token ids of a text. Of texts that are too long the end is cut, but the closing special tokens
    /// stay.
    pub fn encode(&self, tokenizer: &TextTokenizer, kind: TextKind, text: &str) -> Result<Vec<u32>> {
        let (mut ids, closing) = self.open_ids(tokenizer, kind, text)?;
        ids.truncate(self.max_length.saturating_sub(closing.len()));
        ids.extend(closing);
        Ok(ids)
    }

    /// Token ids of the first half of a text's tokens, prefix included, as Revela's queries are made.
    pub fn encode_first_half(&self, tokenizer: &TextTokenizer, text: &str) -> Result<Vec<u32>> {
        let (mut ids, closing) = self.open_ids(tokenizer, TextKind::Query, text)?;
        ids.truncate(self.max_length.saturating_sub(closing.len()));
        ids.truncate((ids.len() / 2).max(1));
        ids.extend(closing);
        Ok(ids)
    }

    /// All ids of a text up to its closing special tokens, and those.
    fn open_ids(
        &self,
        tokenizer: &TextTokenizer,
        kind: TextKind,
        text: &str,
    ) -> Result<(Vec<u32>, Vec<u32>)> {
        let mut ids = tokenizer.encode(&format!("{}{text}", self.prompt(kind)))?;
        let mut closing = tokenizer.closing().to_vec();
        ids.truncate(ids.len() - closing.len());
        if let Some(end) = self.append
            && closing.last() != Some(&end)
        {
            closing.push(end);
        }
        Ok((ids, closing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Cut;

    fn contract() -> (Contract, TextTokenizer) {
        let tokenizer = TextTokenizer::train(["query: passage: a b c"; 9].iter(), 300, Cut::Words).unwrap();
        let contract = Contract {
            query_prompt: "query: ".into(),
            passage_prompt: "passage: ".into(),
            max_length: 6,
            append: None,
            pooling: Pooling::Eos,
            scale: Scale::Unit,
            metric: Metric::Cosine,
        };
        (contract, tokenizer)
    }

    #[test]
    fn prompts_count_and_the_end_survives_cutting() {
        let (contract, tokenizer) = contract();
        let ids = |kind, text| contract.encode(&tokenizer, kind, text).unwrap();
        let bare = |text| tokenizer.encode_bare(text).unwrap();
        assert_eq!(ids(TextKind::Query, "a"), [bare("query: a"), vec![1]].concat());
        let long = ids(TextKind::Passage, "a b c a b c a b c");
        assert_eq!((long.len(), long[5]), (6, 1));
        assert_eq!(long[..5], bare("passage: a b c a b c")[..5]);
        let half = contract.encode_first_half(&tokenizer, "a b c a b c a b c").unwrap();
        assert_eq!(half, [bare("query: a b c")[..2].to_vec(), vec![1]].concat());
    }

    #[test]
    fn an_end_token_is_appended_once() {
        let (contract, tokenizer) = contract();
        let with = |end| Contract { append: Some(end), max_length: 50, ..contract.clone() };
        let ids = |c: Contract| c.encode(&tokenizer, TextKind::Query, "a").unwrap();
        assert_eq!(ids(with(1)), contract.encode(&tokenizer, TextKind::Query, "a").unwrap());
        assert_eq!(ids(with(0)).last(), Some(&0));
    }
}
