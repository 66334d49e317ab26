//! Bodies of JSON: bounded in bytes, in time and in depth.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{ApiError, Code};
use crate::metrics::Event;
use crate::state::App;

/// Bodies of more bytes than this are parsed off the threads that serve connections.
const LARGE: usize = 64 << 10;

/// A body of JSON, in or out.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// What is only read and parsed where there is room for it.
pub(crate) trait Guarded: DeserializeOwned + Send + 'static {
    /// Holds the room until it is dropped.
    type Ticket: Send;

    /// Refuses by the request's head alone.
    fn look(app: &App) -> Result<(), ApiError>;

    /// Takes the room once the body is there, before it is parsed.
    fn enter(app: &App) -> Result<Self::Ticket, ApiError>;
}

/// A body of JSON that was let in.
pub(crate) struct Admitted<T: Guarded>(pub(crate) T, pub(crate) T::Ticket);

impl<T: DeserializeOwned + Send + 'static> FromRequest<Arc<App>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        check_type(request.headers())?;
        receive(request, app).await?.parse().await.map(Self)
    }
}

impl<T: Guarded> FromRequest<Arc<App>> for Admitted<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        T::look(app)?;
        check_type(request.headers())?;
        let received = receive(request, app).await?;
        let ticket = T::enter(app)?;
        Ok(Self(received.parse().await?, ticket))
    }
}

/// The bytes of a body, and their share of what all may have together.
struct Received {
    bytes: Vec<u8>,
    _share: Option<OwnedSemaphorePermit>,
}

impl Received {
    async fn parse<T: DeserializeOwned + Send + 'static>(self) -> Result<T, ApiError> {
        if self.bytes.len() <= LARGE {
            return parse(&self.bytes);
        }
        // All of it goes along, so that the share is taken for as long as the bytes are there.
        let parse_all = move || {
            let received = self;
            parse(&received.bytes)
        };
        tokio::task::spawn_blocking(parse_all).await.map_err(ApiError::internal)?
    }
}

/// Reads a body in its time.
async fn receive(request: Request, app: &App) -> Result<Received, ApiError> {
    let late =
        |_| ApiError::timeout("the body did not arrive in time; send it faster, or in smaller requests");
    let time = Duration::from_millis(app.config.limits.body_ms);
    tokio::time::timeout(time, read(request, app)).await.map_err(late)?
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

async fn read(request: Request, app: &App) -> Result<Received, ApiError> {
    let limit = app.config.limits.body_bytes;
    let too_large = || {
        let message = format!("the body has more than {limit} bytes; send less at once");
        ApiError::new(Code::TooLarge, message)
    };
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length =
        length.map_or(Some(0), |length| length.parse().ok()).filter(|&length: &usize| length <= limit);
    let length = length.ok_or_else(too_large)?;
    let mut received = Received { bytes: Vec::new(), _share: share(app, length)? };
    let mut body = request.into_body();
    let mut most = LARGE.max(length);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::invalid("the body ended before it was whole"))?;
        let Ok(data) = frame.into_data() else { continue };
        let after = received.bytes.len() + data.len();
        if after > limit {
            return Err(too_large());
        }
        if after > most {
            // Its length was not told before; from here on it has the share of the largest.
            most = limit;
            received._share = share(app, limit)?;
        }
        received.bytes.extend_from_slice(&data);
    }
    Ok(received)
}

/// A share of the bytes that all bodies may have together; small bodies are bounded by the connections.
fn share(app: &App, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
    if bytes <= LARGE {
        return Ok(None);
    }
    let kilobytes = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    let refused = |_| {
        app.metrics.count(Event::BodyRefused);
        ApiError::overloaded("the reading of large bodies", Duration::from_secs(1))
    };
    app.bodies.clone().try_acquire_many_owned(kilobytes).map(Some).map_err(refused)
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
