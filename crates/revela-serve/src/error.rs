//! What goes wrong: answers to clients, and reasons why the server cannot start.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use revela_base::embed::EmbedError;
use revela_base::rerank::RerankError;
use revela_search::{Failure, QueryError, StoreError};
use serde::Serialize;

/// What kind of failure a client is told of; each has one name and one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    InvalidRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    Unsupported,
    Overloaded,
    RateLimited,
    Internal,
    Unavailable,
}

impl Code {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unsupported => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Overloaded | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A failure on its way to the client. It becomes JSON in one place, where the request id is known.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    /// What happened and what to do.
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
    /// What only the log is told.
    pub(crate) detail: Option<String>,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None, detail: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// A failure whose reason (with paths, perhaps) is for the log alone.
    pub(crate) fn internal(detail: impl std::fmt::Display) -> Self {
        let message = "the server failed at this; its log tells why, under this request id";
        Self { detail: Some(detail.to_string()), ..Self::new(Code::Internal, message) }
    }

    pub(crate) fn overloaded(what: &str, retry_after: Duration) -> Self {
        let message = format!("{what} already waits for as much as it can do in time; send this again later");
        Self { retry_after: Some(retry_after), ..Self::new(Code::Overloaded, message) }
    }

    pub(crate) fn unavailable(message: &str) -> Self {
        Self { retry_after: Some(Duration::from_secs(1)), ..Self::new(Code::Unavailable, message) }
    }

    pub(crate) fn timeout(message: &str) -> Self {
        Self::new(Code::Timeout, message)
    }

    /// Says in which of several items of a request it happened.
    pub(crate) fn within(mut self, what: &str, number: usize) -> Self {
        self.message = format!("{what} {number}: {}", self.message);
        self
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error.kind() {
            Failure::Invalid => Self::invalid(message),
            Failure::Conflict => Self::new(Code::Conflict, message),
            Failure::Unsupported => {
                // Where the store is is the operator's business.
                let detail = Some(message);
                let message = "the collection cannot be searched or changed so: its modes are listed by \
                               GET /v1/collections; a text needs the encoder that made the vectors, BM25 \
                               needs texts and a query with words";
                Self { detail, ..Self::new(Code::Unsupported, message) }
            }
            Failure::Busy => Self {
                detail: Some(message),
                ..Self::unavailable("another program is changing this collection; send this again later")
            },
            Failure::Unreachable => Self {
                detail: Some(message),
                ..Self::unavailable("the store of this collection does not answer; send this again later")
            },
            Failure::Interrupted => Self::unavailable("the server is shutting down"),
            Failure::Internal => Self::internal(message),
        }
    }
}

impl From<EmbedError> for ApiError {
    fn from(error: EmbedError) -> Self {
        Self::internal(error)
    }
}

impl From<RerankError> for ApiError {
    fn from(error: RerankError) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for ApiError {
    /// An answer without a body; `middleware` writes it.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Why a server does not start or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A configuration file cannot be read as one.
    #[error("{}: {detail}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// An option has a value that cannot work.
    #[error("{option} {rule}")]
    Option {
        /// The option as the configuration file has it.
        option: String,
        /// What is allowed.
        rule: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Certificate and key cannot be used.
    #[error("cannot use the certificate {}: {detail}", path.display())]
    Tls {
        /// The certificate or key.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The system gives no threads or no randomness.
    #[error("cannot {operation}: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// The system's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The encoder cannot be loaded.
    #[error("cannot load the encoder: {0}")]
    Encoder(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The reranker cannot be loaded.
    #[error("cannot load the reranker: {0}")]
    Reranker(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A collection cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ServeError {
    pub(crate) fn option(option: &str, rule: impl Into<String>) -> Self {
        Self::Option { option: option.to_owned(), rule: rule.into() }
    }

    pub(crate) fn system<E>(operation: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::System { operation, source: source.into() }
    }
}
