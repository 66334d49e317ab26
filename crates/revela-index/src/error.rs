//! The crate's error type.

use std::path::PathBuf;

use revela_base::checksum::Checksum;
use revela_base::embed::EmbedError;
use revela_base::file::FileError;
use revela_base::interrupt::Interrupted;
use revela_search::{Failure, QueryError, StoreError};

/// What can go wrong while building, opening or searching.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written, or is not what it should be.
    #[error(transparent)]
    File(#[from] FileError),
    /// The BM25 engine refused.
    #[error("cannot {operation} the text index {}: {source}", place.display())]
    Text {
        /// What was tried.
        operation: &'static str,
        /// The index's folder, or `in memory`.
        place: PathBuf,
        /// The engine's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A vector has the wrong length.
    #[error("{what} has {found} dimensions where {expected} are needed")]
    Dimension {
        /// Which vector or file.
        what: String,
        /// The length that was needed.
        expected: usize,
        /// The length that was given.
        found: usize,
    },
    /// A row of numbers cannot be used.
    #[error("row {row} of {what} {problem}")]
    Row {
        /// Where the row came from.
        what: String,
        /// The row, counted from 0.
        row: u64,
        /// What is wrong with it.
        problem: RowProblem,
    },
    /// A matrix has an impossible or unsupported shape or type.
    #[error("{what}: {detail}")]
    Shape {
        /// Which matrix or file.
        what: String,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// Two passages carry one id.
    #[error("the id {id:?} occurs twice; make ids unique, or ask for the last one to win")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// The embedder is not the one that made the collection's vectors.
    #[error(
        "the collection {} was embedded by encoder {expected}, not by {found}; \
         open it with that encoder, or build it again with this one", path.display()
    )]
    WrongEncoder {
        /// The collection.
        path: PathBuf,
        /// The fingerprint that the collection carries, or what it has instead of one.
        expected: String,
        /// The fingerprint of the embedder that was offered.
        found: Checksum,
    },
    /// A condition on payloads is none.
    #[error("not a predicate on payloads: {0}")]
    Predicate(String),
    /// The collection lacks what the query needs.
    #[error("{0}")]
    Unsupported(String),
    /// An option has a value that cannot work.
    #[error("{option} is {value}, but {rule}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The value given.
        value: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// A graph could not be built.
    #[error("cannot build the graph: {0}; build it again, or ask for flat shards")]
    Graph(String),
    /// The embedder failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// A source of passages failed; the message is the source's own.
    #[error("cannot read the passages: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Stopped on request; what was finished is kept.
    #[error("interrupted")]
    Interrupted(#[from] Interrupted),
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Option { option, value, rule } => Self::Option { option, value, rule },
            QueryError::Predicate(detail) => Self::Predicate(detail),
            other => Self::Unsupported(other.to_string()),
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Option { .. } | Error::Predicate(_) => Failure::Invalid,
            Error::Dimension { .. } | Error::Row { .. } | Error::Shape { .. } => Failure::Invalid,
            Error::DuplicateId { .. } => Failure::Conflict,
            Error::Unsupported(_) | Error::WrongEncoder { .. } => Failure::Unsupported,
            Error::File(FileError::Locked { .. }) => Failure::Busy,
            Error::Interrupted(_) => Failure::Interrupted,
            Error::File(_) | Error::Text { .. } | Error::Graph(_) | Error::Embed(_) | Error::Source(_) => {
                Failure::Internal
            }
        };
        Self::failed(kind, error)
    }
}

/// What is wrong with a row of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowProblem {
    /// A number is NaN or infinite.
    #[error("holds NaN or an infinite number at position {0}")]
    NotFinite(usize),
    /// All numbers are zero (or so small that the length is), so it has no direction.
    #[error("is zero, so it has no direction; cosine similarity needs one")]
    Zero,
    /// A number is larger than 16-bit floating point can hold.
    #[error("holds a number at position {0} that is too large for f16; store f32 instead")]
    TooLargeForHalf(usize),
    /// Its numbers are all smaller than 16-bit floating point can hold.
    #[error("holds numbers so small that f16 makes all of them zero; store f32 instead")]
    TooSmallForHalf,
    /// The squared length is not a finite number.
    #[error("is too long: its squared length overflows")]
    TooLong,
}
