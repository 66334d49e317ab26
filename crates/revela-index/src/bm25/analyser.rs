//! How text becomes terms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tantivy::tokenizer::{
    Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer,
};

use super::code::CodeTokenizer;

/// Terms longer than this (encoded data, mostly) are not indexed; in bytes.
const LONGEST_TERM: usize = 128;

/// How text is split into terms, for passages and queries alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Analyser {
    /// Words, lowercased, without Lucene's 33 English stop words, with Snowball's English stemming.
    Prose,
    /// Identifiers and numbers, lowercased: the whole (without underscores) and its parts, split at
    /// underscores, at camelCase humps, and between letters and digits.
    Code,
}

impl Analyser {
    /// The name under which an index stores its analyser. It changes when the terms would, so that an
    /// old index is never searched with new terms.
    pub(super) fn stored_name(self) -> &'static str {
        match self {
            Self::Prose => "revela-prose-1",
            Self::Code => "revela-code-1",
        }
    }

    pub(super) fn from_stored_name(name: &str) -> Option<Self> {
        [Self::Prose, Self::Code].into_iter().find(|a| a.stored_name() == name)
    }

    pub(super) fn tokenizer(self) -> TextAnalyzer {
        match self {
            Self::Prose => {
                let words = TextAnalyzer::builder(SimpleTokenizer::default())
                    .filter(RemoveLongFilter::limit(LONGEST_TERM))
                    .filter(LowerCaser);
                match StopWordFilter::new(Language::English) {
                    Some(stop) => words.filter(stop).filter(Stemmer::new(Language::English)).build(),
                    None => words.filter(Stemmer::new(Language::English)).build(),
                }
            }
            Self::Code => TextAnalyzer::builder(CodeTokenizer::default())
                .filter(RemoveLongFilter::limit(LONGEST_TERM))
                .filter(LowerCaser)
                .build(),
        }
    }

    /// The terms of a text and how often each occurs, in the terms' order.
    pub fn terms(self, text: &str) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        let mut tokenizer = self.tokenizer();
        let mut stream = tokenizer.token_stream(text);
        while stream.advance() {
            let term = &stream.token().text;
            match counts.get_mut(term.as_str()) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(term.clone(), 1);
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(analyser: Analyser, text: &str) -> Vec<String> {
        analyser.terms(text).into_keys().collect()
    }

    #[test]
    fn prose_is_lowercased_stemmed_and_freed_of_stop_words() {
        assert_eq!(terms(Analyser::Prose, "The Runner was RUNNING in cafés"), ["café", "run", "runner"]);
        assert_eq!(terms(Analyser::Prose, "  the of -- ! "), [""; 0]);
        assert_eq!(terms(Analyser::Prose, &"x".repeat(500)), [""; 0]);
    }

    #[test]
    fn code_keeps_wholes_and_parts() {
        assert_eq!(terms(Analyser::Code, "readFile read_file"), ["file", "read", "readfile"]);
        assert_eq!(Analyser::Code.terms("readFile read_file")["readfile"], 2);
        assert_eq!(
            terms(Analyser::Code, "self.HTTPServer2Go(b)"),
            ["2", "b", "go", "http", "httpserver2go", "self", "server"]
        );
    }

    #[test]
    fn stored_names_round_trip() {
        for analyser in [Analyser::Prose, Analyser::Code] {
            assert_eq!(Analyser::from_stored_name(analyser.stored_name()), Some(analyser));
        }
        assert_eq!(Analyser::from_stored_name("default"), None);
    }
}
