//! `GET /v1/collections`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use revela_base::checksum::Checksum;
use revela_index::Metric;
use revela_index::bm25::Analyser;
use serde::Serialize;

use crate::body::Json;
use crate::error::ApiError;
use crate::state::{App, Served};

#[derive(Serialize)]
struct List {
    collections: Vec<Facts>,
}

/// What there is to know of a collection.
#[derive(Serialize)]
struct Facts {
    name: String,
    passages: u64,
    deleted: u64,
    shards: usize,
    dimension: Option<u32>,
    metric: Option<Metric>,
    texts: bool,
    analyser: Option<Analyser>,
    encoder: Option<Checksum>,
    /// Modes in which a text can be searched for; vectors can be sent wherever there is a dimension.
    modes: Vec<&'static str>,
    writable: bool,
    bytes: u64,
}

impl Facts {
    fn of(served: &Served) -> Self {
        let opened = served.live.now();
        let info = opened.collection().info();
        Self {
            name: served.live.name.clone(),
            passages: info.passages,
            deleted: info.deleted,
            shards: info.shards.len(),
            dimension: info.vectors.as_ref().map(|vectors| vectors.dim),
            metric: info.vectors.as_ref().map(|vectors| vectors.metric),
            texts: info.texts.is_some(),
            analyser: info.texts.as_ref().map(|texts| texts.analyser),
            encoder: info.vectors.as_ref().and_then(|vectors| vectors.encoder),
            modes: opened.modes(),
            writable: served.writer.is_some(),
            bytes: info.vector_bytes + info.text_bytes,
        }
    }
}

pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<impl IntoResponse, ApiError> {
    let collections = app.services()?.collections.iter().map(Facts::of).collect();
    Ok(Json(List { collections }))
}
