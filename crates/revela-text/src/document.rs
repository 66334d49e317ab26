//! Documents and the chunks they are cut into.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::TextError;
use crate::language::Format;

/// One text of a corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Unique in its corpus: the `_id` of a JSON line, or the path below the corpus folder with `/`.
    pub id: String,
    /// The `title` of a JSON line, or a Markdown file's first heading; may be empty.
    pub title: String,
    /// The text itself.
    pub text: String,
    /// What kind of text it is, which decides where it may be cut.
    pub format: Format,
}

impl Document {
    /// A document of plain prose.
    pub fn prose(id: impl Into<String>, title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { id: id.into(), title: title.into(), text: text.into(), format: Format::Text }
    }
}

/// A chunk's name: its document's id and its place there, written `DOCUMENT#N`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChunkId {
    /// The document's id.
    pub document: String,
    /// Which of the document's chunks, from 0.
    pub ordinal: u32,
}

impl ChunkId {
    /// The format that the document's name tells, where it ends like a file's name; prose where it does not.
    pub fn named_format(&self) -> Format {
        Format::of_path(std::path::Path::new(&self.document)).unwrap_or_default()
    }

    /// A format that the document's name does not tell: what a file of chunks has to say.
    pub(crate) fn unnamed_format(&self, format: Format) -> Option<Format> {
        (format != self.named_format()).then_some(format)
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.document, self.ordinal)
    }
}

impl FromStr for ChunkId {
    type Err = TextError;

    /// The last `#` divides, so that document ids may hold `#` themselves.
    fn from_str(text: &str) -> Result<Self, TextError> {
        let wrong = || TextError::ChunkId { text: text.to_owned() };
        let (document, number) = text.rsplit_once('#').ok_or_else(wrong)?;
        let ordinal: u32 = number.parse().map_err(|_| wrong())?;
        // One id has one spelling: neither `+1` nor `01`.
        if document.is_empty() || ordinal.to_string() != number {
            return Err(wrong());
        }
        Ok(Self { document: document.to_owned(), ordinal })
    }
}

impl TryFrom<String> for ChunkId {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl From<ChunkId> for String {
    fn from(id: ChunkId) -> Self {
        id.to_string()
    }
}

/// A piece of a document; `document.text[range] == text` always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its name.
    pub id: ChunkId,
    /// Where it stands in its document's text, in bytes.
    pub range: Range<usize>,
    /// Its document's title.
    pub title: String,
    /// Its text.
    pub text: String,
    /// What kind of text it is.
    pub format: Format,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunk_ids_round_trip(document in ".+", ordinal: u32) {
            let id = ChunkId { document, ordinal };
            prop_assert_eq!(id.to_string().parse::<ChunkId>().unwrap(), id);
        }
    }

    #[test]
    fn what_is_no_chunk_id_is_refused() {
        for text in ["", "a", "#1", "a#", "a#x", "a#-1", "a#+1", "a#01", "a#4294967296"] {
            assert!(text.parse::<ChunkId>().unwrap_err().to_string().contains(text), "{text}");
        }
    }
}
