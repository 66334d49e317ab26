//! The crate's error type.

use revela_base::embed::EmbedError;
use revela_base::interrupt::Interrupted;
use revela_search::{Failure, QueryError, StoreError};

/// What can go wrong with a store in PostgreSQL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgError {
    /// An address cannot be read.
    #[error("{address:?} is no address of a store: {detail}")]
    Address {
        /// The address, without its password where that could be told apart.
        address: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A shard does not answer.
    #[error(
        "cannot reach the shard {shard}: {}; see that it runs, or leave it out with --allow-partial",
        reason(source)
    )]
    Unreachable {
        /// The shard.
        shard: String,
        /// The client's reason.
        source: postgres::Error,
    },
    /// A shard refused.
    #[error("cannot {operation} on the shard {shard}: {}", reason(source))]
    Refused {
        /// The shard.
        shard: String,
        /// What was tried.
        operation: &'static str,
        /// The server's reason.
        source: postgres::Error,
    },
    /// A shard holds no store, or another one than it should.
    #[error("the shard {shard} does not hold what it should: {detail}")]
    Shard {
        /// The shard.
        shard: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// The store cannot do this.
    #[error("PostgreSQL cannot do this: {0}")]
    Unsupported(String),
    /// An id is there already.
    #[error("the id {0:?} is there already; make ids unique, or ask for the last one to win")]
    DuplicateId(String),
    /// A query cannot be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Embedding failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The collection that is pushed or pulled failed.
    #[error(transparent)]
    Collection(#[from] revela_index::Error),
    /// Stopped on request; what was written stays, and the same command goes on from there.
    #[error("interrupted")]
    Interrupted(#[from] Interrupted),
}

/// What the server said, which the client's own text leaves out.
fn reason(error: &postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(said), _) => said.message().to_owned(),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

impl PgError {
    /// Whether a shard did not answer, so that an answer without it can be given.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl From<PgError> for StoreError {
    fn from(error: PgError) -> Self {
        let kind = match &error {
            PgError::Query(_) | PgError::Address { .. } => Failure::Invalid,
            PgError::Unreachable { .. } => Failure::Unreachable,
            PgError::Unsupported(_) => Failure::Unsupported,
            PgError::DuplicateId(_) => Failure::Conflict,
            PgError::Interrupted(_) => Failure::Interrupted,
            PgError::Refused { .. } | PgError::Shard { .. } | PgError::Embed(_) | PgError::Collection(_) => {
                Failure::Internal
            }
        };
        match error {
            PgError::Query(error) => Self::Query(error),
            PgError::Embed(error) => Self::Embed(error),
            error => Self::failed(kind, error),
        }
    }
}
