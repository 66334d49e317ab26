//! What happens around every request: its name, its key, its deadline, its line in the log, and the one form
//! of errors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::auth::Right;
use crate::body::Json;
use crate::error::{ApiError, Code};
use crate::metrics::{Event, Stage};
use crate::request_id;
use crate::state::App;

/// With this header a client says how long it will wait, in milliseconds.
const TIMEOUT: HeaderName = HeaderName::from_static("x-timeout-ms");

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// When a request must be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(pub(crate) Instant);

/// How long the stages of a request took, for the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timings(pub(crate) Vec<(Stage, Duration)>);

impl Timings {
    /// What was done, without what was waited for.
    pub(crate) fn work(&self) -> Duration {
        let works = |stage| matches!(stage, Stage::Embed | Stage::Rerank | Stage::Search | Stage::Write);
        self.0.iter().filter(|(stage, _)| works(*stage)).map(|(_, took)| *took).sum()
    }

    fn millis(&self, stage: Stage) -> Option<f64> {
        let sum = |took: Duration, (_, more): &(Stage, Duration)| took + *more;
        let mut found = self.0.iter().filter(|(of, _)| *of == stage).peekable();
        found.peek()?;
        Some(found.fold(Duration::ZERO, sum).as_secs_f64() * 1e3)
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorText<'a>,
}

#[derive(Serialize)]
struct ErrorText<'a> {
    code: Code,
    message: &'a str,
    request_id: &'a str,
}

/// Answers a request through the routes.
pub(crate) async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let _in_flight = app.metrics.request_in_flight();
    let id = app.ids.name(request.headers());
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let origin = allowed_origin(&app, request.headers());
    let mut key = None;
    let mut response = match (&origin, is_preflight(&request)) {
        (Some(_), true) => StatusCode::NO_CONTENT.into_response(),
        _ => answer(&app, route.as_deref(), request, next, began, &mut key).await,
    };
    let error = response.extensions_mut().remove::<ApiError>();
    if let Some(error) = &error {
        response = error_response(error, &id);
    }
    add_headers(response.headers_mut(), &id, origin);
    let route = route.as_deref().unwrap_or("none");
    app.metrics.request(method, route, response.status().as_u16(), began.elapsed());
    log(&Line { id: &id, method, route, key: key.as_deref(), began, error: error.as_ref() }, &response);
    response
}

/// Checks what comes before the route itself, and gives it its time.
async fn answer(
    app: &Arc<App>,
    route: Option<&str>,
    mut request: Request,
    next: Next,
    began: Instant,
    key: &mut Option<String>,
) -> Response {
    let right = route.map_or(Right::Open, |route| app.rights.of(request.method(), route));
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let peer = request.extensions().get::<Peer>().map_or(unknown, |peer| peer.0);
    if let Err(error) = app.hosts.check(request.headers(), request.uri()) {
        return error.into_response();
    }
    match app.gate.check(right, request.headers(), peer) {
        Ok(name) => *key = name.map(str::to_owned),
        Err(error) => {
            match error.code {
                Code::Unauthorized => app.metrics.count(Event::KeyRefused),
                Code::RateLimited => app.metrics.count(Event::RateLimited),
                _ => {}
            }
            return error.into_response();
        }
    }
    let time = match timeout(request.headers(), app.config.request_time()) {
        Ok(time) => time,
        Err(error) => return error.into_response(),
    };
    let deadline = began + time;
    request.extensions_mut().insert(Deadline(deadline));
    let late = "the answer was not ready in time; ask for less, or again later (a change may still be made)";
    match tokio::time::timeout_at(deadline.into(), next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::timeout(late).into_response(),
    }
}

/// The client's patience, no longer than the server's own.
fn timeout(headers: &HeaderMap, longest: Duration) -> Result<Duration, ApiError> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(longest) };
    let millis = value.to_str().ok().and_then(|value| value.parse::<u64>().ok()).filter(|&millis| millis > 0);
    let wrong = || ApiError::invalid("x-timeout-ms must be a whole number of milliseconds, at least 1");
    Ok(Duration::from_millis(millis.ok_or_else(wrong)?).min(longest))
}

/// Methods by name, few enough to be a label of metrics.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn error_response(error: &ApiError, id: &str) -> Response {
    let text = ErrorText { code: error.code, message: &error.message, request_id: id };
    let mut response = (error.code.status(), Json(ErrorBody { error: text })).into_response();
    let headers = response.headers_mut();
    if let Some(time) = error.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(time.as_secs().max(1)));
    }
    if error.code == Code::Unauthorized {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn add_headers(headers: &mut HeaderMap, id: &str, origin: Option<HeaderValue>) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(request_id::HEADER, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        let exposed = HeaderValue::from_static("x-request-id, retry-after");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        let methods = HeaderValue::from_static("GET, POST, DELETE");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let allowed = HeaderValue::from_static("authorization, content-type, x-request-id, x-timeout-ms");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
}

/// The request's origin, where the configuration lets it in.
fn allowed_origin(app: &App, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let known = app.config.cors.origins.iter().any(|known| known.as_bytes() == origin.as_bytes());
    known.then(|| origin.clone())
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// What the log says of a request; never its words, its texts or its key.
struct Line<'a> {
    id: &'a str,
    method: &'static str,
    route: &'a str,
    key: Option<&'a str>,
    began: Instant,
    error: Option<&'a ApiError>,
}

fn log(line: &Line<'_>, response: &Response) {
    let total_ms = line.began.elapsed().as_secs_f64() * 1e3;
    let none = Timings::default();
    let timings = response.extensions().get::<Timings>().unwrap_or(&none);
    let status = response.status().as_u16();
    if let Some(ApiError { detail: Some(detail), code, .. }) = line.error {
        let (id, route) = (line.id, line.route);
        match code {
            Code::Internal => tracing::error!(request_id = id, route, detail, "request failed"),
            _ => tracing::warn!(request_id = id, route, detail, "request refused"),
        }
    }
    // What is refused for its number alone is not worth as many lines; it is counted, and whoever refuses says
    // so when it begins.
    if line.error.is_some_and(|error| matches!(error.code, Code::Overloaded | Code::RateLimited)) {
        tracing::debug!(request_id = line.id, route = line.route, status, key = line.key, "too many");
        return;
    }
    tracing::info!(
        request_id = line.id,
        method = line.method,
        route = line.route,
        status,
        key = line.key,
        total_ms,
        embed_wait_ms = timings.millis(Stage::EmbedWait),
        embed_ms = timings.millis(Stage::Embed),
        rerank_wait_ms = timings.millis(Stage::RerankWait),
        rerank_ms = timings.millis(Stage::Rerank),
        search_ms = timings.millis(Stage::Search),
        write_ms = timings.millis(Stage::Write),
        "request"
    );
}
