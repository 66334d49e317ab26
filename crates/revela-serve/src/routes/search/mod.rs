//! `/v1/search`, one query or many.

mod body;
mod rerank;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, response::IntoResponse};
use revela_base::checksum::Checksum;
use revela_base::embed::TextKind;
use revela_search::{Effort, Hit, Lack, Mode, Prepared, Query, QueryError, QueryInput, Store};

use super::timed;
use crate::body::{Admitted, Guarded, Json};
use crate::collection::Opened;
use crate::door::Ticket;
use crate::error::{ApiError, Code};
use crate::metrics::Stage;
use crate::middleware::{Deadline, Timings};
use crate::state::App;
use body::{
    BatchAnswer, BatchRequest, FilterRequest, FusionRequest, HitAnswer, SearchAnswer, SearchRequest,
    SnippetAnswer, SnippetRequest, Took,
};

/// A search that was checked against the limits, with what was open of its collection then.
struct Asked {
    name: String,
    opened: Arc<Opened>,
    query: Query,
    snippet: Option<usize>,
    include_text: bool,
    rerank: Option<rerank::Asked>,
}

/// The same, as its store will be asked.
struct Planned {
    name: String,
    opened: Arc<Opened>,
    prepared: Prepared<'static>,
    snippet: Option<usize>,
    include_text: bool,
    rerank: Option<rerank::Asked>,
}

impl Guarded for SearchRequest {
    type Ticket = Ticket;

    fn look(app: &App) -> Result<(), ApiError> {
        app.searches.look()
    }

    fn enter(app: &App) -> Result<Ticket, ApiError> {
        app.searches.enter()
    }
}

impl Guarded for BatchRequest {
    type Ticket = Ticket;

    fn look(app: &App) -> Result<(), ApiError> {
        app.batches.look()
    }

    fn enter(app: &App) -> Result<Ticket, ApiError> {
        app.batches.enter()
    }
}

/// `POST /v1/search`.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    Admitted(request, ticket): Admitted<SearchRequest>,
) -> Result<Response, ApiError> {
    let (mut answers, timings) = run(&app, deadline, vec![ask(&app, request)?]).await?;
    let answer = answers.pop().ok_or_else(|| ApiError::internal("a search gave no answer"))?;
    ticket.served(timings.work());
    Ok(timed(timings, Json(answer)))
}

/// `POST /v1/search/batch`.
pub(crate) async fn batch(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    Admitted(request, ticket): Admitted<BatchRequest>,
) -> Result<Response, ApiError> {
    if request.searches.len() > app.config.limits.batch {
        let message = format!("more than {} searches; send them in parts", app.config.limits.batch);
        return Err(ApiError::new(Code::TooLarge, message));
    }
    let ask = |(number, search)| ask(&app, search).map_err(|error| error.within("search", number));
    let asked = request.searches.into_iter().enumerate().map(ask).collect::<Result<Vec<_>, _>>()?;
    if asked.is_empty() {
        return Ok(Json(BatchAnswer { results: Vec::new() }).into_response());
    }
    let (results, timings) = run(&app, deadline, asked).await?;
    ticket.served(timings.work());
    Ok(timed(timings, Json(BatchAnswer { results })))
}

/// Checks a search against the limits.
fn ask(app: &App, request: SearchRequest) -> Result<Asked, ApiError> {
    let served = app.collection(request.collection.as_deref())?;
    check_limits(app, &request)?;
    let mode = match (request.mode(), request.fusion) {
        (mode, None) => mode,
        (Mode::Dense | Mode::Bm25, Some(_)) => {
            return Err(ApiError::invalid("fusion is for mode hybrid only; leave it out, or ask for hybrid"));
        }
        (Mode::Auto | Mode::Hybrid, Some(_)) => Mode::Hybrid,
    };
    let effort = effort(&request)?;
    let rerank = rerank::Asked::of(app, &request)?;
    let k = rerank.as_ref().map_or(request.k(), rerank::Asked::candidates);
    let include_text = request.include_text();
    let input = match (request.query, request.vector) {
        (Some(text), Some(vector)) => QueryInput::Both { text, vector },
        (None, Some(vector)) => QueryInput::Vector(vector),
        (text, None) => QueryInput::Text(text.unwrap_or_default()),
    };
    let mut query = Query::new(input).k(k).mode(mode).effort(effort);
    if let Some(fusion) = request.fusion {
        query = query.fusion(fusion.fusion());
    }
    if let Some(FusionRequest::Weighted { dense }) = request.fusion {
        query = query.weights(dense, 1.0 - dense);
    }
    if let Some(filter) = request.filter {
        query = query.filter(filter.into());
    }
    let snippet = request.snippet.map(SnippetRequest::length);
    Ok(Asked {
        name: served.live.name.clone(),
        opened: served.live.now(),
        query,
        snippet,
        include_text,
        rerank,
    })
}

fn effort(request: &SearchRequest) -> Result<Effort, ApiError> {
    match (request.exact(), request.ef_search, request.recall) {
        (_, Some(_), Some(_)) => Err(ApiError::invalid("send ef_search or recall, not both")),
        (true, ..) => Ok(Effort::Exact),
        (false, Some(ef), None) => Ok(Effort::Ef(ef)),
        (false, None, Some(recall)) => Ok(Effort::Recall(recall)),
        (false, None, None) => Ok(Effort::default()),
    }
}

fn check_limits(app: &App, request: &SearchRequest) -> Result<(), ApiError> {
    let limits = &app.config.limits;
    let within = |name: &str, value: usize, most: usize| match value {
        0 => Err(ApiError::invalid(format!("{name} must be at least 1"))),
        value if value > most => {
            Err(ApiError::invalid(format!("{name} is {value}; at most {most} is allowed")))
        }
        _ => Ok(()),
    };
    within("k", request.k(), limits.k)?;
    within("ef_search", request.ef_search.unwrap_or(1), limits.ef_search)?;
    within("snippet.length", request.snippet.map_or(1, SnippetRequest::length), limits.snippet_bytes)?;
    request.fusion.map_or(Ok(()), FusionRequest::check)?;
    match &request.filter {
        Some(FilterRequest::Ids(ids)) if ids.len() > limits.filter_ids => {
            let message = format!("filter.ids has more than {} ids", limits.filter_ids);
            return Err(ApiError::new(Code::TooLarge, message));
        }
        Some(FilterRequest::Where(predicate)) => {
            predicate.check().map_err(|error| ApiError::invalid(format!("filter.where: {error}")))?;
        }
        _ => {}
    }
    let text = request.query.as_deref();
    if text.is_some_and(|text| text.len() > limits.query_bytes) {
        let message = format!("the query has more than {} bytes; ask shorter", limits.query_bytes);
        return Err(ApiError::new(Code::TooLarge, message));
    }
    if text.is_none_or(|text| text.trim().is_empty()) && request.vector.is_none() {
        return Err(ApiError::invalid("send a query with words, or a vector"));
    }
    Ok(())
}

impl Asked {
    /// Settles how the collection answers, given the fingerprint of the server's encoder.
    fn plan(self, encoder: Option<Checksum>) -> Result<Planned, ApiError> {
        let Self { name, opened, query, snippet, include_text, rerank } = self;
        let text_alone = query.given_vector().is_none() && matches!(query.mode, Mode::Dense | Mode::Hybrid);
        let prepared = Prepared::new(Cow::Owned(query), opened.describe(), encoder);
        let prepared = prepared.map_err(|error| match error {
            QueryError::Lacks { lack, .. } if text_alone => no_embedding(&name, lack, &opened, error),
            other => other.into(),
        })?;
        Ok(Planned { name, opened, prepared, snippet, include_text, rerank })
    }
}

/// Why a text alone is not searched for by similarity, as far as the client can do something about it.
fn no_embedding(name: &str, lack: Lack, opened: &Opened, error: QueryError) -> ApiError {
    let what = match lack {
        _ if opened.describe().vectors.is_none() => "has no vectors; ask for mode bm25",
        Lack::Encoder => {
            "needs an encoder for texts, and this server has none; send a vector, or ask for bm25"
        }
        Lack::OtherEncoder => {
            "was not embedded by this server's encoder; send a vector, or ask for mode bm25"
        }
        Lack::VectorsAndWords | Lack::Vectors | Lack::Words | Lack::Embedding => return error.into(),
    };
    ApiError::new(Code::Unsupported, format!("{name:?} {what}"))
}

/// Embeds what needs it, and searches.
async fn run(
    app: &Arc<App>,
    Deadline(deadline): Deadline,
    asked: Vec<Asked>,
) -> Result<(Vec<SearchAnswer>, Timings), ApiError> {
    let began = Instant::now();
    let encoder = app.services()?.encoder;
    let mut planned = asked.into_iter().map(|asked| asked.plan(encoder)).collect::<Result<Vec<_>, _>>()?;
    let mut stages = embed(app, deadline, &mut planned).await?;
    let embed = began.elapsed();
    let asked_again: Vec<_> = planned.iter().map(|plan| plan.rerank.clone()).collect();
    let asked = Instant::now();
    let (found, search) = app
        .pool
        .run(&app.metrics, move || {
            let began = Instant::now();
            (search_all(planned), began.elapsed())
        })
        .await?;
    let found = found?;
    app.metrics.stage(Stage::Search, search);
    stages.push((Stage::SearchWait, asked.elapsed().saturating_sub(search)));
    stages.push((Stage::Search, search));
    let searched = asked.elapsed();
    let (found, rerank_ms) = rerank::apply(app, deadline, asked_again, found, &mut stages).await?;
    let took = Took {
        embed_ms: millis(embed),
        search_ms: millis(searched),
        rerank_ms,
        total_ms: millis(began.elapsed()),
    };
    let answer =
        |Found { collection, mode, hits, missing }| SearchAnswer { collection, mode, hits, missing, took };
    Ok((found.into_iter().map(answer).collect(), Timings(stages)))
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Gives every search that needs it its vector.
async fn embed(
    app: &App,
    deadline: Instant,
    planned: &mut [Planned],
) -> Result<Vec<(Stage, Duration)>, ApiError> {
    let (mut texts, mut wanting) = (Vec::new(), Vec::new());
    for plan in planned {
        if let Some(text) = plan.prepared.text_to_embed() {
            texts.push(text.to_owned());
            wanting.push(plan);
        }
    }
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let counted = app.count(TextKind::Query, texts).await?;
    let batcher = &app.model()?.batcher;
    let embedded = batcher.embed(counted, deadline).await?;
    let width = batcher.encoder().dimension();
    for (plan, row) in wanting.into_iter().zip(embedded.rows.chunks_exact(width.max(1))) {
        plan.prepared.embed(row.to_vec());
    }
    Ok(vec![(Stage::EmbedWait, embedded.waited), (Stage::Embed, embedded.embedded)])
}

/// What one search found.
struct Found {
    collection: String,
    mode: Mode,
    hits: Vec<HitAnswer>,
    missing: Vec<String>,
}

/// Searches, those of one snapshot together.
fn search_all(mut planned: Vec<Planned>) -> Result<Vec<Found>, ApiError> {
    let mut found = Vec::with_capacity(planned.len());
    while let Some(first) = planned.first() {
        let (store, opened) = (first.opened.store.clone(), first.opened.clone());
        let same = planned.iter().take_while(|plan| Arc::ptr_eq(&plan.opened, &opened)).count();
        let rest = planned.split_off(same);
        let (prepared, asked): (Vec<_>, Vec<_>) = planned.into_iter().map(Planned::apart).unzip();
        let answers = store.search(&prepared)?;
        for ((prepared, asked), hits) in prepared.iter().zip(asked).zip(answers.hits) {
            let hits = hits.into_iter().map(|hit| asked.hit(&*store, prepared, hit)).collect();
            let missing = answers.missing.clone();
            found.push(Found { collection: asked.name, mode: prepared.mode(), hits, missing });
        }
        planned = rest;
    }
    Ok(found)
}

/// How hits of a search are shown.
struct Shown {
    name: String,
    snippet: Option<usize>,
    include_text: bool,
}

impl Planned {
    /// What the store is asked, and what is made of its answer.
    fn apart(self) -> (Prepared<'static>, Shown) {
        let Self { name, prepared, snippet, include_text, rerank, .. } = self;
        // A reranker reads the texts, whether they are wanted or not.
        let include_text = include_text || rerank.is_some();
        (prepared, Shown { name, snippet, include_text })
    }
}

impl Shown {
    fn hit(&self, store: &dyn Store, prepared: &Prepared<'_>, hit: Hit) -> HitAnswer {
        let words = prepared.query().words().unwrap_or_default();
        let snippet = self.snippet.map(|length| store.snippet(words, &hit.text, length));
        HitAnswer {
            snippet: snippet.map(SnippetAnswer::from),
            rank: hit.rank,
            id: hit.id,
            score: hit.score,
            title: hit.title,
            text: self.include_text.then_some(hit.text),
            metadata: hit.payload,
        }
    }
}
