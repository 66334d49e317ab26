//! What somebody would ask for a chunk, cut out of the chunk itself: readers without labels.
//!
//! Raw text holds many short texts that stand for longer ones: a doc comment for its function, a heading or a
//! title for what is below it, a first sentence for its paragraph (the inverse cloze task, Lee et al. 2019,
//! arXiv:1906.00300), a function's name for its body. [`reader`] finds the best of them in a chunk and gives
//! it apart from the rest, so that a model can be trained to predict the one from the other.

use serde::{Deserialize, Serialize};

use crate::block;
use crate::document::Chunk;
use crate::error::TextError;
use crate::group::GroupChunk;
use crate::language::Format;
use crate::sizer::{Sizer, Words};

mod code;
mod keywords;
mod name;
mod prose;
#[cfg(test)]
mod tests;

pub use keywords::keywords;

/// A chunk, as far as readers look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkText<'t> {
    /// Its text.
    pub text: &'t str,
    /// A title that stands for the text; empty where there is none.
    pub title: &'t str,
    /// What kind of text it is.
    pub format: Format,
}

/// A document's title stands for its first chunk alone.
fn title_of(title: &str, ordinal: u32) -> &str {
    if ordinal == 0 { title } else { "" }
}

impl<'t> From<&'t Chunk> for ChunkText<'t> {
    fn from(chunk: &'t Chunk) -> Self {
        let title = title_of(&chunk.title, chunk.id.ordinal);
        Self { text: &chunk.text, title, format: chunk.format }
    }
}

impl<'t> From<&'t GroupChunk> for ChunkText<'t> {
    fn from(chunk: &'t GroupChunk) -> Self {
        let title = title_of(&chunk.title, chunk.id.ordinal);
        Self { text: &chunk.text, title, format: chunk.format.unwrap_or_else(|| chunk.id.named_format()) }
    }
}

/// Where a reader was found. The first that a chunk has counts, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReaderKind {
    /// The first sentence of a function's doc comment or docstring.
    DocComment,
    /// The first sentence of the doc comment of a type, a module, a constant or the like.
    ItemComment,
    /// A function's own name as words, where it has no doc comment.
    Name,
    /// A heading over what is below it.
    Heading,
    /// A title field.
    Title,
    /// The first sentence of a paragraph.
    FirstSentence,
}

/// What somebody would ask, and where they would find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Where it was found.
    pub kind: ReaderKind,
    /// The question, on one line.
    pub query: String,
    /// The chunk without it. Nowhere in it do the query's words stand in the query's order.
    pub rest: String,
}

/// Whether functions without a doc comment are asked for by their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Names {
    /// Such functions have no reader.
    Never,
    /// The words of the name ask (`parse_http_header`: "parse http header"), and `_` stands for the name
    /// wherever it was in the rest.
    #[default]
    WhereUndocumented,
}

/// Which readers are worth asking. Words are counted as in [`Words`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReaderConfig {
    /// The fewest words of a sentence.
    pub min_sentence_words: usize,
    /// The fewest words of a heading, a title or a name.
    pub min_label_words: usize,
    /// The most words of any query.
    pub max_words: usize,
    /// The fewest words of what remains of the chunk.
    pub min_rest_words: usize,
    /// Whether names ask.
    pub names: Names,
}

impl Default for ReaderConfig {
    fn default() -> Self {
        Self {
            min_sentence_words: 4,
            min_label_words: 2,
            max_words: 40,
            min_rest_words: 15,
            names: Names::default(),
        }
    }
}

impl ReaderConfig {
    /// Checks that the sizes leave room for readers.
    ///
    /// # Errors
    /// [`TextError::Setting`] when a query or a rest may be empty, or no query can be short enough.
    pub fn check(&self) -> Result<(), TextError> {
        let least = self.min_sentence_words.min(self.min_label_words);
        let most = self.min_sentence_words.max(self.min_label_words);
        if least == 0 || most > self.max_words {
            let detail = format!(
                "sentences from {} and labels from {} to at most {} words; give 1 or more to start with and no \
                 less to end with",
                self.min_sentence_words, self.min_label_words, self.max_words
            );
            return Err(TextError::setting("words of a reader", detail));
        }
        if self.min_rest_words == 0 {
            let detail = "0 words leave nothing to be found; give 1 or more";
            return Err(TextError::setting("words of the rest", detail));
        }
        Ok(())
    }

    fn fits(&self, kind: ReaderKind, query: &str) -> bool {
        let least = match kind {
            ReaderKind::DocComment | ReaderKind::ItemComment | ReaderKind::FirstSentence => {
                self.min_sentence_words
            }
            ReaderKind::Name | ReaderKind::Heading | ReaderKind::Title => self.min_label_words,
        };
        (least..=self.max_words).contains(&Words.size(query))
    }

    /// The reader, if its query fits, enough remains, and the rest does not say the query.
    fn accept(&self, kind: ReaderKind, query: String, rest: String) -> Option<Reader> {
        let is_fit =
            self.fits(kind, &query) && Words.size(&rest) >= self.min_rest_words && !says(&rest, &query);
        is_fit.then_some(Reader { kind, query, rest })
    }
}

/// The best reader that a chunk has; it depends on the chunk and the settings alone.
pub fn reader(chunk: &ChunkText<'_>, config: &ReaderConfig) -> Option<Reader> {
    match chunk.format {
        Format::Code(language) => code::reader(chunk.text, language, config).or_else(|| title(chunk, config)),
        Format::Markdown | Format::Text => {
            let blocks = block::blocks(chunk.text, chunk.format);
            prose::heading(chunk.text, &blocks, config)
                .or_else(|| title(chunk, config))
                .or_else(|| prose::first_sentence(chunk.text, &blocks, config))
        }
    }
}

fn title(chunk: &ChunkText<'_>, config: &ReaderConfig) -> Option<Reader> {
    let query = one_line(chunk.title);
    config.accept(ReaderKind::Title, query, chunk.text.trim().to_owned())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a text says all words of a query one after the other, whatever stands between them but words.
fn says(text: &str, query: &str) -> bool {
    let words = words(query);
    text.contains(query) || (!words.trim().is_empty() && self::words(text).contains(&words))
}

/// The words of a text in lower case, with a space before, between and after them.
fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(' ');
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        out.push_str(&word.to_lowercase());
        out.push(' ');
    }
    out
}
