//! What operators ask for.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::json;

use crate::body::Json;
use crate::error::ApiError;
use crate::state::App;

/// `GET /healthz`: the process runs.
pub(crate) async fn health() -> &'static str {
    "ok"
}

/// `GET /readyz`: requests can be answered.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<impl IntoResponse, ApiError> {
    app.ready()?;
    let services = app.services()?;
    let names: Vec<_> = services.collections.iter().map(|served| &served.live.name).collect();
    let model = services.model.as_ref().map(|model| &model.name);
    Ok(Json(json!({ "ready": true, "collections": names, "model": model })))
}

/// `GET /metrics`, in Prometheus' text form.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics_text())
}
