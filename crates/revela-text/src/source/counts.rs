//! What a source met: documents, and what was left out and why.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::error::TextError;
use crate::language::Format;

/// Why input cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Bad {
    /// It holds NUL bytes, so it is not text.
    Binary,
    /// A symbolic link leads back to a folder that holds it.
    LinkLoop,
    /// A line is not a JSON object with `_id` and `text`, or a file not the notebook that its name says.
    Malformed,
    /// A file name is not UTF-8, so it cannot be an id.
    Name,
    /// The bytes are not UTF-8.
    NotUtf8,
    /// It is longer than allowed.
    TooLong,
    /// The system does not let it be read.
    Unreadable,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Binary => "binary",
            Self::LinkLoop => "link loop",
            Self::Malformed => "malformed",
            Self::Name => "name not UTF-8",
            Self::NotUtf8 => "not UTF-8",
            Self::TooLong => "too long",
            Self::Unreadable => "unreadable",
        })
    }
}

/// Why something is simply not a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ignored {
    /// A file with the extension of a source file that holds NUL bytes.
    BinarySource,
    /// A line or a file without visible text.
    Blank,
    /// A symbolic link, where links are not followed.
    Link,
    /// A file of another type.
    OtherType,
    /// A packed file (`.gz`, `.zst`) in a folder, where only lines of JSON are unpacked.
    Packed,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BinarySource => "binary",
            Self::Blank => "blank",
            Self::Link => "link",
            Self::OtherType => "other type",
            Self::Packed => "packed",
        })
    }
}

/// Bad input of one kind that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// How often.
    pub count: u64,
    /// The first one, as its error would have read.
    pub first: String,
}

/// What a source met so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Documents.
    pub documents: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// Documents by format.
    pub formats: BTreeMap<Format, u64>,
    /// Bad input that was left out, by reason.
    pub skipped: BTreeMap<Bad, Skipped>,
    /// What is simply not a document, by reason.
    pub ignored: BTreeMap<Ignored, u64>,
}

impl Counts {
    pub(super) fn document(&mut self, document: &Document) {
        self.documents += 1;
        self.bytes += document.text.len() as u64;
        *self.formats.entry(document.format).or_default() += 1;
    }

    pub(super) fn ignored(&mut self, reason: Ignored) {
        *self.ignored.entry(reason).or_default() += 1;
    }

    pub(super) fn skipped(&mut self, reason: Bad, error: &TextError) {
        self.skipped.entry(reason).or_insert_with(|| Skipped { count: 0, first: error.to_string() }).count +=
            1;
    }

    /// Bad inputs that were left out.
    pub fn bad(&self) -> u64 {
        self.skipped.values().map(|s| s.count).sum()
    }

    /// What was left out, in one line for people; empty when nothing was.
    pub fn left_out(&self) -> String {
        let skipped = self.skipped.iter().map(|(reason, s)| format!("skipped {} {reason}", s.count));
        let ignored = self.ignored.iter().map(|(reason, n)| format!("ignored {n} {reason}"));
        skipped.chain(ignored).collect::<Vec<_>>().join(", ")
    }
}
