//! Bodies of JSON: bounded in bytes, in time and in depth, packed or not.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use revela_base::record::from_json;
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

/// How a body is packed, by its Content-Encoding. Zstandard is not read: a few bytes of it may ask for a window of
/// a hundred megabytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Deflate,
}

impl Packing {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Plain) };
        match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Plain),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            _ => {
                let message = "the Content-Encoding is not one that is read; send gzip, deflate or none";
                Err(ApiError::new(Code::UnsupportedMediaType, message))
            }
        }
    }

    /// The bytes as they were before they were packed, which must not be more than `most`.
    fn unpack(self, bytes: Vec<u8>, most: usize) -> Result<Vec<u8>, ApiError> {
        let unpacked = match self {
            Self::Plain => return Ok(bytes),
            Self::Gzip => read_most(MultiGzDecoder::new(bytes.as_slice()), most),
            Self::Deflate => read_most(ZlibDecoder::new(bytes.as_slice()), most),
        };
        let damaged = |error| ApiError::invalid(format!("the packed body cannot be read: {error}"));
        let unpacked = unpacked.map_err(damaged)?;
        if unpacked.len() > most { Err(too_large(most)) } else { Ok(unpacked) }
    }
}

/// What is there, and no more than one byte beyond `most`.
fn read_most(from: impl Read, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(Code::TooLarge, format!("the body has more than {limit} bytes; send less at once"))
}

/// The bytes of a body, and their share of what all may have together.
struct Received {
    bytes: Vec<u8>,
    packing: Packing,
    /// Bytes that it may have when it is unpacked.
    most: usize,
    _share: Option<OwnedSemaphorePermit>,
}

impl Received {
    async fn parse<T: DeserializeOwned + Send + 'static>(self) -> Result<T, ApiError> {
        if self.packing == Packing::Plain && self.bytes.len() <= LARGE {
            return parse(&self.bytes);
        }
        let parse_all = move || {
            // All of it goes along, so that the share is taken for as long as the bytes are there.
            let Self { bytes, packing, most, _share } = self;
            parse(&packing.unpack(bytes, most)?)
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
    let packing = Packing::of(request.headers())?;
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length =
        length.map_or(Some(0), |length| length.parse().ok()).filter(|&length: &usize| length <= limit);
    let length = length.ok_or_else(|| too_large(limit))?;
    // What a packed body will be is not known before, so it has the share of the largest.
    let most_taken = if packing == Packing::Plain { length } else { limit };
    let mut received = Received { bytes: Vec::new(), packing, most: limit, _share: share(app, most_taken)? };
    let mut body = request.into_body();
    let mut most = LARGE.max(most_taken);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::invalid("the body ended before it was whole"))?;
        let Ok(data) = frame.into_data() else { continue };
        let after = received.bytes.len() + data.len();
        if after > limit {
            return Err(too_large(limit));
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
    serde_json::from_slice(bytes).map_err(|error| {
        // Looking for the field takes as long again, so large bodies are told the place alone.
        let text = str::from_utf8(bytes).ok().filter(|text| text.len() <= LARGE);
        let with_field = text.and_then(|text| from_json::<T>(text).err());
        let detail = with_field.unwrap_or_else(|| error.to_string());
        ApiError::invalid(format!("the body cannot be used: {detail}"))
    })
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn named(encoding: &'static str) -> Result<Packing, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        Packing::of(&headers)
    }

    #[test]
    fn packed_bodies_are_unpacked_within_their_bound() {
        let text = vec![b' '; 10_000];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut deflate = ZlibEncoder::new(Vec::new(), Compression::fast());
        deflate.write_all(&text).unwrap();
        let deflate = deflate.finish().unwrap();
        assert!(gzip.len() < 1000 && deflate.len() < 1000);
        for (packing, bytes) in [(Packing::Gzip, &gzip), (Packing::Deflate, &deflate)] {
            assert_eq!(packing.unpack(bytes.clone(), text.len()).unwrap(), text);
            let refused = packing.unpack(bytes.clone(), text.len() - 1).unwrap_err();
            assert_eq!(refused.code, Code::TooLarge);
            let cut = packing.unpack(bytes[..bytes.len() / 2].to_vec(), text.len()).unwrap_err();
            assert_eq!(cut.code, Code::InvalidRequest);
        }
    }

    #[test]
    fn what_is_not_read_is_refused_by_name() {
        assert_eq!(Packing::of(&HeaderMap::new()).unwrap(), Packing::Plain);
        assert_eq!(named("GZip").unwrap(), Packing::Gzip);
        assert_eq!(named("identity").unwrap(), Packing::Plain);
        for other in ["zstd", "br", "gzip, gzip", "?"] {
            assert_eq!(named(other).unwrap_err().code, Code::UnsupportedMediaType, "{other}");
        }
    }
}
