//! `GET /v1/collections`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use revela_base::checksum::Checksum;
use revela_base::embed::Metric;
use revela_search::Mode;
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
    dimension: Option<usize>,
    metric: Option<Metric>,
    texts: bool,
    analyser: Option<String>,
    encoder: Option<Checksum>,
    /// Modes in which a text can be searched for; vectors can be sent wherever there is a dimension.
    modes: Vec<Mode>,
    writable: bool,
    bytes: u64,
}

impl Facts {
    fn of(served: &Served) -> Self {
        let opened = served.live.now();
        let (count, description) = (opened.count, opened.describe());
        let vectors = description.vectors;
        Self {
            name: served.live.name.clone(),
            passages: count.passages,
            deleted: count.deleted,
            shards: count.shards,
            dimension: vectors.map(|vectors| vectors.dimension),
            metric: vectors.map(|vectors| vectors.metric),
            texts: description.analyser.is_some(),
            analyser: description.analyser.clone(),
            encoder: vectors.and_then(|vectors| vectors.encoder),
            modes: description.modes(served.live.encoder),
            writable: served.writer.is_some(),
            bytes: count.bytes,
        }
    }
}

pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<impl IntoResponse, ApiError> {
    let collections = app.services()?.collections.iter().map(Facts::of).collect();
    Ok(Json(List { collections }))
}
