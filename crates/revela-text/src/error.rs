//! The crate's one error type.

use std::path::PathBuf;

use revela_base::file::FileError;
use revela_base::interrupt::Interrupted;

use crate::source::Bad;

/// What can go wrong between raw text and training groups.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A file could not be read or written, or a line of one cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of a folder cannot be a document.
    #[error("{}: {detail}; mend or remove it, or let bad input be skipped (--skip-bad)", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// The kind of trouble, as it is counted when bad input is skipped.
        reason: Bad,
        /// The trouble in words.
        detail: String,
    },
    /// The work was asked to stop.
    #[error("interrupted")]
    Interrupted(#[from] Interrupted),
    /// Nothing in the corpus is a document.
    #[error("{} holds no document: {detail}", path.display())]
    NoDocuments {
        /// The corpus.
        path: PathBuf,
        /// What was found instead.
        detail: String,
    },
    /// A setting has a value that cannot work.
    #[error("{what}: {detail}")]
    Setting {
        /// The setting, as the user knows it.
        what: &'static str,
        /// Why the value cannot work and what would.
        detail: String,
    },
    /// A text is not a chunk id.
    #[error("{text:?} is not a chunk id; one looks like DOCUMENT#0")]
    ChunkId {
        /// The text.
        text: String,
    },
    /// A training group does not fit the file it is written to.
    #[error("a training group of {found} chunks where the file's groups have {expected}")]
    GroupSize {
        /// Chunks in the group.
        found: usize,
        /// Chunks that every group of the file has.
        expected: usize,
    },
    /// A training group was asked for that the file does not have.
    #[error("there is no training group {index}: the file holds {groups}")]
    NoGroup {
        /// The index that was asked for, from 0.
        index: usize,
        /// Groups in the file.
        groups: usize,
    },
    /// Source code gave no query for a code-search test.
    #[error("none of {functions} functions has a doc comment that makes a query; use documented sources")]
    NoQueries {
        /// Functions that could have been found.
        functions: usize,
    },
    /// Names cannot be divided into two sides.
    #[error("{found} families of names cannot be divided; two sides need 2 or more")]
    Families {
        /// Families there are.
        found: usize,
    },
}

impl TextError {
    pub(crate) fn setting(what: &'static str, detail: impl Into<String>) -> Self {
        Self::Setting { what, detail: detail.into() }
    }
}
