//! `/v1/search`, one query or many.

mod body;
mod rerank;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, response::IntoResponse};
use revela_base::embed::TextKind;
use revela_index::fusion::Fusion;
use revela_index::{Effort, Filter, Hit, Mode, Query, QueryInput};

use super::timed;
use crate::body::{Admitted, Guarded, Json};
use crate::collection::{Embeddable, Opened};
use crate::door::Ticket;
use crate::error::{ApiError, Code};
use crate::metrics::Stage;
use crate::middleware::{Deadline, Timings};
use crate::state::App;
use body::{
    BatchAnswer, BatchRequest, FilterRequest, FusionRequest, HitAnswer, ModeName, SearchAnswer,
    SearchRequest, SnippetAnswer, SnippetRequest, Took,
};

/// A search that was checked, with its snapshot of the collection; only the vector may be missing.
struct Planned {
    name: String,
    opened: Arc<Opened>,
    text: Option<String>,
    vector: Option<Vec<f32>>,
    mode: Mode,
    query: Query,
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
    let (mut answers, timings) = run(&app, deadline, vec![plan(&app, request)?]).await?;
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
    let plan = |(number, search)| plan(&app, search).map_err(|error| error.within("search", number));
    let planned = request.searches.into_iter().enumerate().map(plan).collect::<Result<Vec<_>, _>>()?;
    if planned.is_empty() {
        return Ok(Json(BatchAnswer { results: Vec::new() }).into_response());
    }
    let (results, timings) = run(&app, deadline, planned).await?;
    ticket.served(timings.work());
    Ok(timed(timings, Json(BatchAnswer { results })))
}

/// Checks a search against the limits and the collection.
fn plan(app: &App, request: SearchRequest) -> Result<Planned, ApiError> {
    let served = app.collection(request.collection.as_deref())?;
    check_limits(app, &request)?;
    let mode = match (request.mode(), request.fusion) {
        (ModeName::Auto, None) => Mode::Auto,
        (ModeName::Dense, None) => Mode::Dense,
        (ModeName::Bm25, None) => Mode::Bm25,
        (ModeName::Dense | ModeName::Bm25, Some(_)) => {
            return Err(ApiError::invalid("fusion is for mode hybrid only; leave it out, or ask for hybrid"));
        }
        (_, fusion) => Mode::Hybrid(fusion.map_or(Fusion::default(), FusionRequest::fusion)),
    };
    let rerank = rerank::Asked::of(app, &request)?;
    let k = rerank.as_ref().map_or(request.k(), rerank::Asked::candidates);
    let mut query = Query::new(QueryInput::Text(String::new())).k(k).mode(mode);
    if let Some(FusionRequest::Weighted { dense }) = request.fusion {
        query = query.weights(dense, 1.0 - dense);
    }
    query = match (request.exact(), request.ef_search, request.recall) {
        (_, Some(_), Some(_)) => {
            return Err(ApiError::invalid("send ef_search or recall, not both"));
        }
        (true, ..) => query.effort(Effort::Exact),
        (false, Some(ef), None) => query.effort(Effort::Ef(ef)),
        (false, None, Some(recall)) => query.effort(Effort::Recall(recall)),
        (false, None, None) => query,
    };
    let include_text = request.include_text();
    query = match request.filter {
        Some(FilterRequest::Ids(ids)) => query.filter(Filter::ids(ids)),
        Some(FilterRequest::Prefix(prefix)) => {
            query.filter(Filter::id_predicate(move |id| id.starts_with(&prefix)))
        }
        Some(FilterRequest::Where(predicate)) => query.filter(Filter::payload(predicate)),
        None => query,
    };
    Ok(Planned {
        name: served.live.name.clone(),
        opened: served.live.now(),
        text: request.query,
        vector: request.vector,
        mode,
        query,
        snippet: request.snippet.map(SnippetRequest::length),
        include_text,
        rerank,
    })
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

impl Planned {
    /// The text that must be embedded before the search, if any.
    fn to_embed(&self) -> Result<Option<&str>, ApiError> {
        let (None, Some(text)) = (&self.vector, &self.text) else { return Ok(None) };
        let lacking = |what: &str| Err(ApiError::new(Code::Unsupported, format!("{:?} {what}", self.name)));
        match (self.mode, self.opened.embeddable) {
            (Mode::Bm25, _) => Ok(None),
            (_, Embeddable::Yes) => Ok(Some(text)),
            (Mode::Auto, _) => Ok(None),
            (_, Embeddable::NoVectors) => lacking("has no vectors; ask for mode bm25"),
            (_, Embeddable::NoEncoder) => lacking(
                "needs an encoder for texts, and this server has none; send a vector, or ask for bm25",
            ),
            (_, Embeddable::OtherEncoder) => {
                lacking("was not embedded by this server's encoder; send a vector, or ask for mode bm25")
            }
        }
    }

    /// Puts text and vector into the query.
    fn complete(&mut self) {
        let input = match (self.text.take(), self.vector.take()) {
            (Some(text), Some(vector)) => QueryInput::Both { text, vector },
            (Some(text), None) => QueryInput::Text(text),
            (None, Some(vector)) => QueryInput::Vector(vector),
            (None, None) => return,
        };
        self.query = self.query.clone().input(input);
    }
}

/// Embeds what needs it, and searches.
async fn run(
    app: &Arc<App>,
    Deadline(deadline): Deadline,
    mut planned: Vec<Planned>,
) -> Result<(Vec<SearchAnswer>, Timings), ApiError> {
    let began = Instant::now();
    let mut stages = embed(app, deadline, &mut planned).await?;
    let embed = began.elapsed();
    planned.iter_mut().for_each(Planned::complete);
    let asked_again: Vec<_> = planned.iter().map(|plan| plan.rerank.clone()).collect();
    let asked = Instant::now();
    let (found, search) = app
        .pool
        .run(&app.metrics, move || {
            let began = Instant::now();
            (search_all(&planned), began.elapsed())
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
    let answer = |(collection, mode, hits)| SearchAnswer { collection, mode, hits, took };
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
        if let Some(text) = plan.to_embed()? {
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
        plan.vector = Some(row.to_vec());
    }
    Ok(vec![(Stage::EmbedWait, embedded.waited), (Stage::Embed, embedded.embedded)])
}

type Found = (String, ModeName, Vec<HitAnswer>);

/// Searches, those of one snapshot together.
fn search_all(planned: &[Planned]) -> Result<Vec<Found>, ApiError> {
    let mut found = Vec::with_capacity(planned.len());
    for group in planned.chunk_by(|one, other| Arc::ptr_eq(&one.opened, &other.opened)) {
        let Some(first) = group.first() else { continue };
        let queries: Vec<Query> = group.iter().map(|plan| plan.query.clone()).collect();
        let hits = first.opened.searcher.search_batch(&queries)?;
        for (plan, hits) in group.iter().zip(hits) {
            let mode = plan.opened.searcher.settled_mode(&plan.query)?.into();
            let hits = hits.into_iter().map(|hit| hit_answer(plan, hit)).collect();
            found.push((plan.name.clone(), mode, hits));
        }
    }
    Ok(found)
}

fn hit_answer(plan: &Planned, hit: Hit) -> HitAnswer {
    let snippet = plan.snippet.map(|length| plan.opened.searcher.snippet(&plan.query, &hit, length));
    HitAnswer {
        snippet: snippet.map(SnippetAnswer::from),
        rank: hit.rank,
        id: hit.id,
        score: hit.score,
        title: hit.title,
        text: (plan.include_text || plan.rerank.is_some()).then_some(hit.text),
        metadata: hit.payload,
    }
}
