//! The search page: a few files, embedded, from no other origin.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use revela_base::checksum::Checksum;

use crate::error::ApiError;

/// What the page may load: its own files, and nothing inline.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const INDEX: File =
    File { name: "index.html", kind: "text/html; charset=utf-8", text: include_str!("../ui/index.html") };

const FILES: [File; 4] = [
    File { name: "app.js", kind: "text/javascript; charset=utf-8", text: include_str!("../ui/app.js") },
    File { name: "render.js", kind: "text/javascript; charset=utf-8", text: include_str!("../ui/render.js") },
    File { name: "favicon.svg", kind: "image/svg+xml", text: include_str!("../ui/favicon.svg") },
    File { name: "style.css", kind: "text/css; charset=utf-8", text: include_str!("../ui/style.css") },
];

/// `GET /`.
pub(crate) async fn index(headers: HeaderMap) -> Response {
    answer(&INDEX, &headers)
}

/// `GET /ui/{file}`.
pub(crate) async fn file(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let absent = || ApiError::not_found("the page has no such file");
    let Path(name) = name.map_err(|_| absent())?;
    let file = FILES.iter().find(|file| file.name == name).ok_or_else(absent)?;
    Ok(answer(file, &headers))
}

/// The file, or word that the browser's copy is still the same.
fn answer(file: &File, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", Checksum::of(file.text.as_bytes()).short());
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, file.kind)], file.text).into_response(),
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
