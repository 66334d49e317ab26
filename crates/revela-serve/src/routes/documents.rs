//! `/v1/documents`: looking at passages, adding and deleting them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use revela_search::{Duplicates, Entry, Passage, Payload, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::timed;
use crate::body::Json;
use crate::collection::Opened;
use crate::error::{ApiError, Code};
use crate::metrics::Stage;
use crate::middleware::Timings;
use crate::state::{App, Served};
use crate::writer::{Change, Writer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    collection: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    id: String,
    title: String,
    text: String,
    collection: &'a str,
    #[serde(skip_serializing_if = "Payload::is_empty")]
    metadata: Payload,
    context: Context,
}

/// Where a passage stands in its document, as far as its id tells.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Context {
    document: Option<String>,
    position: Option<u32>,
    previous: Option<String>,
    next: Option<String>,
}

impl Context {
    /// Chunks are named `DOCUMENT#N`; only collections that say how they were cut hold such.
    fn of(id: &str, opened: &Opened) -> Result<Self, ApiError> {
        let Some((document, number)) = id.rsplit_once('#') else { return Ok(Self::default()) };
        let Ok(position) = number.parse::<u32>() else { return Ok(Self::default()) };
        if !opened.describe().chunked || document.is_empty() {
            return Ok(Self::default());
        }
        let neighbour = |position: Option<u32>| match position.map(|at| format!("{document}#{at}")) {
            Some(id) => Ok::<_, ApiError>(exists(&*opened.store, &id)?.then_some(id)),
            None => Ok(None),
        };
        Ok(Self {
            document: Some(document.to_owned()),
            position: Some(position),
            previous: neighbour(position.checked_sub(1))?,
            next: neighbour(position.checked_add(1))?,
        })
    }
}

fn exists(store: &dyn Store, id: &str) -> Result<bool, ApiError> {
    Ok(store.has(&[id])? == [true])
}

fn no_document() -> ApiError {
    ApiError::not_found("the collection holds no document of this id; ids are those that searches give")
}

type IdOf = Result<Path<String>, PathRejection>;
type WhichOf = Result<Query<Which>, QueryRejection>;

/// The document's id and the collection that a request names.
fn named(app: &App, id: IdOf, which: WhichOf) -> Result<(String, &Served), ApiError> {
    let Path(id) = id.map_err(|error| ApiError::invalid(format!("the id cannot be read: {error}")))?;
    let Query(which) = which.map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok((id, app.collection(which.collection.as_deref())?))
}

/// `GET /v1/documents/{id}`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    id: IdOf,
    which: WhichOf,
) -> Result<Response, ApiError> {
    let (id, served) = named(&app, id, which)?;
    let opened = served.live.now();
    let look_up = move || -> Result<_, ApiError> {
        let Some(entry) = opened.store.get(&[&id])?.pop().flatten() else { return Ok(None) };
        let context = Context::of(&id, &opened)?;
        Ok(Some((entry, context)))
    };
    let (entry, context) = app.pool.run(&app.metrics, look_up).await??.ok_or_else(no_document)?;
    let Entry { passage: Passage { id, title, text }, payload: metadata } = entry;
    let collection = &served.live.name;
    Ok(Json(Shown { id, title, text, collection, metadata, context }).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Addition {
    collection: Option<String>,
    documents: Vec<NewDocument>,
    on_duplicate: Option<OnDuplicate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDocument {
    id: String,
    title: Option<String>,
    text: String,
    /// For filters to ask for.
    metadata: Option<Payload>,
}

impl NewDocument {
    /// What all of it takes.
    fn bytes(&self) -> usize {
        let metadata = match &self.metadata {
            Some(metadata) if !metadata.is_empty() => Value::Object(metadata.clone()).to_string().len(),
            _ => 0,
        };
        self.title.as_ref().map_or(0, String::len) + self.text.len() + metadata
    }
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum OnDuplicate {
    #[default]
    Replace,
    Refuse,
}

impl Addition {
    fn check(&self, app: &App) -> Result<(), ApiError> {
        let limits = &app.config.limits;
        if self.documents.is_empty() {
            return Err(ApiError::invalid("documents is empty; send at least one"));
        }
        if self.documents.len() > limits.documents {
            let message = format!("more than {} documents; send them in parts", limits.documents);
            return Err(ApiError::new(Code::TooLarge, message));
        }
        let mut ids = HashSet::new();
        for (number, document) in self.documents.iter().enumerate() {
            let wrong = |code, message: String| Err(ApiError::new(code, message).within("document", number));
            if document.id.is_empty() || document.id.len() > limits.query_bytes {
                let message = format!("its id must have 1 to {} bytes", limits.query_bytes);
                return wrong(Code::InvalidRequest, message);
            }
            if document.bytes() > limits.text_bytes {
                let message = format!("it has more than {} bytes; cut it into passages", limits.text_bytes);
                return wrong(Code::TooLarge, message);
            }
            if !ids.insert(&document.id) {
                return wrong(Code::InvalidRequest, "its id occurs twice in this request".to_owned());
            }
        }
        Ok(())
    }
}

fn writer(served: &Served) -> Result<&Writer, ApiError> {
    let message = "this server only reads; start it with --writable to change collections";
    served.writer.as_ref().ok_or_else(|| ApiError::new(Code::Forbidden, message))
}

/// `POST /v1/documents`.
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    Json(addition): Json<Addition>,
) -> Result<Response, ApiError> {
    addition.check(&app)?;
    let writer = writer(app.collection(addition.collection.as_deref())?)?;
    let duplicates = match addition.on_duplicate.unwrap_or_default() {
        OnDuplicate::Replace => Duplicates::LastWins,
        OnDuplicate::Refuse => Duplicates::Refuse,
    };
    let entry = |NewDocument { id, title, text, metadata }| Entry {
        passage: Passage { id, title: title.unwrap_or_default(), text },
        payload: metadata.unwrap_or_default(),
    };
    let entries = addition.documents.into_iter().map(entry).collect();
    let began = Instant::now();
    let changed = writer.change(Change::Add(entries, duplicates)).await?;
    let answer = Json(json!({ "added": changed.added, "replaced": changed.replaced }));
    Ok(timed(Timings(vec![(Stage::Write, began.elapsed())]), answer))
}

/// `DELETE /v1/documents/{id}`.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    id: IdOf,
    which: WhichOf,
) -> Result<Response, ApiError> {
    let (id, served) = named(&app, id, which)?;
    let began = Instant::now();
    let changed = writer(served)?.change(Change::Delete(id)).await?;
    if changed.deleted == 0 {
        return Err(no_document());
    }
    Ok(timed(Timings(vec![(Stage::Write, began.elapsed())]), Json(json!({ "deleted": true }))))
}
