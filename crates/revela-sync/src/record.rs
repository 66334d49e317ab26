//! What is known of a file.

use std::fmt;

use revela_base::checksum::Checksum;
use revela_index::Collection;
use revela_text::{Bad, Ignored};
use serde::{Deserialize, Serialize};

use crate::error::SyncError;
use crate::stat::Stat;

/// Why something in the folder is not in the collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// It should be a document and cannot be used.
    Bad(Bad),
    /// It is simply none.
    Ignored(Ignored),
    /// It was being written whenever it was read; the collection has what it had before.
    Changing,
    /// The system could not say what it is; the collection has what it had before.
    Unsure,
}

impl Reason {
    /// Whether people should hear of it by name.
    pub fn is_trouble(self) -> bool {
        !matches!(self, Self::Ignored(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(bad) => bad.fmt(f),
            Self::Ignored(ignored) => ignored.fmt(f),
            Self::Changing => f.write_str("changing"),
            Self::Unsure => f.write_str("not sure"),
        }
    }
}

/// What is known of a file, and of its passages in the collection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// What it looked like when it was read; nothing when it has to be read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stat: Option<Stat>,
    /// The checksum of its bytes; nothing when it has to be cut again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<Checksum>,
    /// How many passages of it the collection holds; nothing when the collection has to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chunks: Option<u32>,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left_out: Option<Reason>,
}

impl Record {
    /// How many passages of this file the collection holds. Where that is not known, they are counted.
    pub(crate) fn chunks_in(&self, collection: &Collection, path: &str) -> Result<u32, SyncError> {
        if let Some(chunks) = self.chunks {
            return Ok(chunks);
        }
        let mut count = 0;
        while collection.contains(&id(path, count))? {
            count += 1;
        }
        Ok(count)
    }
}

/// A record with the path that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) path: String,
    #[serde(flatten)]
    pub(crate) record: Record,
}

/// The id of a file's passage.
pub(crate) fn id(path: &str, ordinal: u32) -> String {
    format!("{path}#{ordinal}")
}
