//! Bodies of JSON: bounded in bytes, in time and in depth.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, Code};
use crate::state::App;

/// Bodies of more bytes than this are parsed off the threads that serve connections.
const LARGE: usize = 64 << 10;

/// A body of JSON, in or out.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<Arc<App>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        check_type(request.headers())?;
        let limits = &app.config.limits;
        let time = Duration::from_millis(limits.body_ms);
        let late = |_| {
            let message = "the body did not arrive in time; send it faster, or in smaller requests";
            ApiError::timeout(message)
        };
        let read = read(request, limits.body_bytes);
        let bytes = tokio::time::timeout(time, read).await.map_err(late)??;
        if bytes.len() <= LARGE {
            return parse(&bytes).map(Self);
        }
        tokio::task::spawn_blocking(move || parse(&bytes).map(Self)).await.map_err(ApiError::internal)?
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "send JSON, with Content-Type: application/json";
    Err(ApiError::new(Code::UnsupportedMediaType, message))
}

async fn read(request: Request, limit: usize) -> Result<axum::body::Bytes, ApiError> {
    let too_large = || {
        let message = format!("the body has more than {limit} bytes; send less at once");
        ApiError::new(Code::TooLarge, message)
    };
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.is_some_and(|length| length.parse::<usize>().map_or(true, |length| length > limit)) {
        return Err(too_large());
    }
    let collected = Limited::new(request.into_body(), limit).collect().await;
    match collected {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(ApiError::invalid("the body ended before it was whole")),
    }
}

/// Parses JSON; nesting of more than 128 levels is an error of the parser's.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::invalid(format!("the body cannot be used: {error}")))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}
