//! What can go wrong while a store is asked.

use revela_base::checksum::Checksum;
use revela_base::embed::EmbedError;

/// A query that cannot be asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
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
    /// A condition on payloads is none.
    #[error("not a predicate on payloads: {0}")]
    Predicate(String),
    /// The store, the query or the program lacks what the mode needs.
    #[error("cannot search {store} so: {lack}")]
    Lacks {
        /// The store, as its description names it.
        store: String,
        /// What is missing.
        lack: Lack,
    },
    /// The encoder is not the one that made the store's vectors.
    #[error(
        "the collection {store} was embedded by encoder {expected}, not by {found}; \
         open it with that encoder, or build it again with this one"
    )]
    WrongEncoder {
        /// The store, as its description names it.
        store: String,
        /// The fingerprint that the store carries, or what it has instead of one.
        expected: String,
        /// The fingerprint of the encoder that was offered.
        found: Checksum,
    },
    /// An encoder was offered, and there is nothing to compare its vectors with.
    #[error("the collection {store} has no vectors; build it with an encoder")]
    NoVectors {
        /// The store, as its description names it.
        store: String,
    },
    /// A vector has the wrong length.
    #[error("query {number} has {found} dimensions where {expected} are needed")]
    Dimension {
        /// Which query of a batch, from 0.
        number: usize,
        /// The length that was needed.
        expected: usize,
        /// The length that was given.
        found: usize,
    },
    /// A vector cannot be compared with others.
    #[error("the vector of query {number} {problem}")]
    Vector {
        /// Which query of a batch, from 0.
        number: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// What a mode needs and is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// Neither vectors in the store nor words in the query.
    #[error("it has no vectors, and the query has no words")]
    VectorsAndWords,
    /// Vectors in the store.
    #[error("it has no vectors; use BM25, or build it with an encoder")]
    Vectors,
    /// An encoder to embed the query's text.
    #[error("a text needs the encoder that made the vectors; give it, or use BM25")]
    Encoder,
    /// The encoder that made the vectors; there is another one.
    #[error("a text needs the encoder that made the vectors; give it, or use BM25")]
    OtherEncoder,
    /// Texts in the store, or words in the query.
    #[error("BM25 needs a collection with texts and a query with words")]
    Words,
    /// The query's vector: whoever prepared it has not embedded its text.
    #[error("the query's text was not embedded before the search")]
    Embedding,
}

/// Why a store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The query cannot be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The query's text could not be embedded.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The store failed; the message is its own.
    #[error("{source}")]
    Failed {
        /// What that means for whoever asked.
        kind: Failure,
        /// The store's reason, with what to do.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// A failure of this kind.
    pub fn failed(kind: Failure, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed { kind, source: source.into() }
    }

    /// What it means for whoever asked.
    pub fn kind(&self) -> Failure {
        match self {
            Self::Query(
                QueryError::Lacks { .. } | QueryError::WrongEncoder { .. } | QueryError::NoVectors { .. },
            ) => Failure::Unsupported,
            Self::Query(_) => Failure::Invalid,
            Self::Embed(_) => Failure::Internal,
            Self::Failed { kind, .. } => *kind,
        }
    }
}

/// Kinds of failures, by what whoever asked can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Ask otherwise: a vector, an option or a predicate cannot work.
    Invalid,
    /// Ask otherwise: the store cannot do this at all.
    Unsupported,
    /// An id is there already.
    Conflict,
    /// Ask later: somebody else is changing the store.
    Busy,
    /// Ask later, or have it repaired: the store, or a part of it, does not answer.
    Unreachable,
    /// It was stopped on request.
    Interrupted,
    /// Have it repaired.
    Internal,
}
