//! How text becomes terms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tantivy::tokenizer::{
    Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter, TextAnalyzer,
    TextAnalyzerBuilder, Tokenizer,
};

use super::code::{CodeTokenizer, Cut};
use super::pieces::PieceTokenizer;

/// Terms longer than this (encoded data, mostly) are not indexed; in bytes.
const LONGEST_TERM: usize = 128;

/// How text is split into terms, for passages and queries alike.
///
/// Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese and other scripts without spaces between words become
/// overlapping pairs of characters, as Lucene's CJK analyser makes them; a character that stands alone between
/// others (a query of one character, say) is a term by itself, and is found where it stands alone. Emoji are terms.
/// Full and half width, ligatures, and composed and decomposed letters are the same (NFKC). All other text is cut
/// at what is neither letter nor digit.
///
/// A collection keeps the analyser that it was built with; those of the first version are for collections that
/// have them already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Analyser {
    /// Words, lowercased, without Lucene's 33 English stop words, with Snowball's English stemming.
    #[serde(rename = "prose-2")]
    Prose,
    /// Identifiers and numbers, lowercased: the whole (without underscores) and its parts, split at
    /// underscores, at camelCase humps, and between letters and digits.
    #[serde(rename = "code-2")]
    Code,
    /// As [`Prose`](Self::Prose) was at first: a run of a script without spaces is one word, emoji are none, and no
    /// form of a letter becomes another.
    #[serde(rename = "prose")]
    FirstProse,
    /// As [`Code`](Self::Code) was at first, with the same differences.
    #[serde(rename = "code")]
    FirstCode,
}

impl Analyser {
    /// The name by which files and people know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prose => "prose-2",
            Self::Code => "code-2",
            Self::FirstProse => "prose",
            Self::FirstCode => "code",
        }
    }

    /// The name under which an index stores its analyser. It changes when the terms would, so that an
    /// old index is never searched with new terms.
    pub(super) fn stored_name(self) -> &'static str {
        match self {
            Self::Prose => "revela-prose-2",
            Self::Code => "revela-code-2",
            Self::FirstProse => "revela-prose-1",
            Self::FirstCode => "revela-code-1",
        }
    }

    pub(super) fn from_stored_name(name: &str) -> Option<Self> {
        [Self::Prose, Self::Code, Self::FirstProse, Self::FirstCode]
            .into_iter()
            .find(|a| a.stored_name() == name)
    }

    pub(super) fn tokenizer(self) -> TextAnalyzer {
        match self {
            Self::Prose => english(PieceTokenizer::default()),
            Self::FirstProse => english(SimpleTokenizer::default()),
            Self::Code => lowercased(CodeTokenizer::new(Cut::Pieces)).build(),
            Self::FirstCode => lowercased(CodeTokenizer::new(Cut::Runs)).build(),
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

/// Without terms that are too long, in small letters.
fn lowercased<T: Tokenizer>(tokenizer: T) -> TextAnalyzerBuilder<impl Tokenizer> {
    TextAnalyzer::builder(tokenizer).filter(RemoveLongFilter::limit(LONGEST_TERM)).filter(LowerCaser)
}

/// The same with English stop words and stemming.
fn english(tokenizer: impl Tokenizer) -> TextAnalyzer {
    let words = lowercased(tokenizer);
    match StopWordFilter::new(Language::English) {
        Some(stop) => words.filter(stop).filter(Stemmer::new(Language::English)).build(),
        None => words.filter(Stemmer::new(Language::English)).build(),
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
    fn scripts_without_spaces_become_pairs_and_emoji_terms() {
        for analyser in [Analyser::Prose, Analyser::Code] {
            assert_eq!(terms(analyser, "全文検索 🚀"), ["全文", "文検", "検索", "🚀"], "{analyser:?}");
            assert_eq!(terms(analyser, "ＡＢＣ cafe\u{301}"), ["abc", "café"], "{analyser:?}");
        }
        for analyser in [Analyser::FirstProse, Analyser::FirstCode] {
            assert_eq!(terms(analyser, "全文検索 🚀"), ["全文検索"], "{analyser:?}");
        }
    }

    #[test]
    fn the_first_version_differs_only_beyond_what_is_usual_in_english() {
        let text = "The runners' HTTPServer2Go ran at 3.5 km/h; don't read_file größer Größe.";
        assert_eq!(Analyser::Prose.terms(text), Analyser::FirstProse.terms(text));
        assert_eq!(Analyser::Code.terms(text), Analyser::FirstCode.terms(text));
    }

    #[test]
    fn stored_names_round_trip() {
        for analyser in [Analyser::Prose, Analyser::Code, Analyser::FirstProse, Analyser::FirstCode] {
            assert_eq!(Analyser::from_stored_name(analyser.stored_name()), Some(analyser));
            assert_eq!(serde_json::to_value(analyser).unwrap(), analyser.name());
        }
        assert_eq!(serde_json::from_str::<Analyser>("\"prose\"").unwrap(), Analyser::FirstProse);
        assert_eq!(serde_json::to_string(&Analyser::Code).unwrap(), "\"code-2\"");
        assert_eq!(Analyser::from_stored_name("default"), None);
    }
}
