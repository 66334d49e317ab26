//! The routes, each with what it needs.

mod collections;
mod documents;
mod embeddings;
mod operation;
mod rerank;
mod search;

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Extension, Router};

use crate::auth::Right;
use crate::error::{ApiError, Code};
use crate::middleware::Timings;
use crate::state::App;
use crate::{middleware, openapi, ui};

/// A route under one method.
struct Route {
    method: Method,
    path: &'static str,
    right: Right,
    handler: MethodRouter<Arc<App>>,
}

/// All routes. The description in `openapi.json` names each of them, which a test sees to.
fn table() -> Vec<Route> {
    let route = |method, path, right, handler| Route { method, path, right, handler };
    vec![
        route(Method::POST, "/v1/search", Right::Read, post(search::one)),
        route(Method::POST, "/v1/search/batch", Right::Read, post(search::batch)),
        route(Method::GET, "/v1/collections", Right::Read, get(collections::list)),
        route(Method::GET, "/v1/documents/{*id}", Right::Read, get(documents::show)),
        route(Method::POST, "/v1/documents", Right::Write, post(documents::add)),
        route(Method::DELETE, "/v1/documents/{*id}", Right::Write, delete(documents::remove)),
        route(Method::POST, "/v1/embeddings", Right::Read, post(embeddings::create)),
        route(Method::POST, "/v1/rerank", Right::Read, post(rerank::create)),
        route(Method::POST, "/rerank", Right::Read, post(rerank::as_tei)),
        route(Method::GET, "/v1/models", Right::Read, get(embeddings::models)),
        route(Method::GET, "/v1/models/{model}", Right::Read, get(embeddings::model)),
        route(Method::GET, "/healthz", Right::Open, get(operation::health)),
        route(Method::GET, "/readyz", Right::Open, get(operation::ready)),
        route(Method::GET, "/metrics", Right::Metrics, get(operation::metrics)),
        route(Method::GET, "/openapi.json", Right::Open, get(openapi::json)),
        route(Method::GET, "/docs", Right::Open, get(openapi::page)),
        route(Method::GET, "/", Right::Open, get(ui::index)),
        route(Method::GET, "/ui/{file}", Right::Open, get(ui::file)),
    ]
}

/// What requests need, by method and pattern.
pub(crate) struct Rights(HashMap<(Method, &'static str), Right>);

impl Rights {
    pub(crate) fn new() -> Self {
        Self(table().into_iter().map(|route| ((route.method, route.path), route.right)).collect())
    }

    /// What a request to this pattern needs. An unknown method needs what reading does: it gets nothing.
    pub(crate) fn of(&self, method: &Method, path: &str) -> Right {
        let method = if method == Method::HEAD { Method::GET } else { method.clone() };
        let found = self.0.iter().find(|((of, at), _)| *of == method && *at == path);
        found.map_or(Right::Read, |(_, right)| *right)
    }
}

/// The whole service.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for route in table() {
        router = router.route(route.path, route.handler);
    }
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), middleware::around))
        .with_state(app.clone())
}

async fn nothing_here() -> ApiError {
    ApiError::not_found("there is nothing at this address; GET /docs lists what there is")
}

async fn wrong_method() -> ApiError {
    let message = "this address does not know the method; GET /docs lists what it knows";
    ApiError::new(Code::MethodNotAllowed, message)
}

/// An answer together with what the log should say of it.
fn timed(timings: Timings, answer: impl IntoResponse) -> Response {
    (Extension(timings), answer).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_description_names_every_route_and_no_other() {
        let described = openapi::operations().map(|(method, path)| format!("{method} {path}"));
        let expected = table().into_iter().map(|route| {
            let path = route.path.replace("{*id}", "{id}");
            format!("{} {path}", route.method.as_str().to_lowercase())
        });
        assert_eq!(described.collect::<BTreeSet<_>>(), expected.collect::<BTreeSet<_>>());
    }

    #[test]
    fn rights_belong_to_method_and_path() {
        let rights = Rights::new();
        assert_eq!(rights.of(&Method::GET, "/v1/documents/{*id}"), Right::Read);
        assert_eq!(rights.of(&Method::DELETE, "/v1/documents/{*id}"), Right::Write);
        assert_eq!(rights.of(&Method::HEAD, "/healthz"), Right::Open);
        assert_eq!(rights.of(&Method::PUT, "/v1/search"), Right::Read);
    }
}
