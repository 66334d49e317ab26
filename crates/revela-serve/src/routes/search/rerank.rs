//! A search's hits ranked again: a step after them.

use std::time::{Duration, Instant};

use revela_base::rerank::order;

use super::body::{HitAnswer, RerankRequest, SearchRequest};
use super::{Found, millis};
use crate::error::ApiError;
use crate::metrics::Stage;
use crate::state::App;

/// How a search's hits are to be ranked again.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    query: String,
    /// How many are scored, and how many of them are wanted.
    depth: usize,
    k: usize,
    include_text: bool,
}

impl Asked {
    /// What a request says, or the server's settings where it says nothing.
    pub(super) fn of(app: &App, request: &SearchRequest) -> Result<Option<Self>, ApiError> {
        let usual = app.config.rerank.depth;
        let depth = match request.rerank {
            Some(RerankRequest::Wanted(false)) => return Ok(None),
            Some(RerankRequest::Wanted(true)) => usual.max(request.k()),
            Some(RerankRequest::Depth(0)) => {
                return Err(ApiError::invalid(
                    "rerank.depth must be at least 1; send false to rank nothing again",
                ));
            }
            Some(RerankRequest::Depth(depth)) => depth.max(request.k()),
            None if app.services()?.ranker.is_none() || usual == 0 => return Ok(None),
            None => usual.max(request.k()),
        };
        let most = app.config.limits.k;
        if depth > most {
            return Err(ApiError::invalid(format!("rerank.depth is {depth}; at most {most} is allowed")));
        }
        let words = request.query.as_deref().filter(|query| !query.trim().is_empty());
        let Some(query) = words else {
            return match request.rerank {
                None => Ok(None),
                Some(_) => Err(ApiError::invalid(
                    "a reranker reads the query; send one with words, or rerank: false",
                )),
            };
        };
        if request.rerank.is_some() {
            app.ranker()?;
        }
        let (query, include_text) = (query.to_owned(), request.include_text());
        Ok(Some(Self { query, depth, k: request.k(), include_text }))
    }

    /// How many hits the search must find.
    pub(super) fn candidates(&self) -> usize {
        self.depth
    }

    /// The best hits by these scores.
    fn reordered(&self, hits: Vec<HitAnswer>, scores: &[f32]) -> Vec<HitAnswer> {
        let mut hits: Vec<Option<HitAnswer>> = hits.into_iter().map(Some).collect();
        let taken = order(scores).into_iter().filter_map(|place| {
            let hit = hits.get_mut(place)?.take()?;
            let text = hit.text.filter(|_| self.include_text);
            Some(HitAnswer { score: *scores.get(place)?, text, ..hit })
        });
        (1..).zip(taken.take(self.k)).map(|(rank, hit)| HitAnswer { rank, ..hit }).collect()
    }
}

/// Ranks again what was asked for so. Returns the milliseconds that took, where anything was.
pub(super) async fn apply(
    app: &App,
    deadline: Instant,
    asked: Vec<Option<Asked>>,
    found: Vec<Found>,
    stages: &mut Vec<(Stage, Duration)>,
) -> Result<(Vec<Found>, Option<f64>), ApiError> {
    if asked.iter().all(Option::is_none) {
        return Ok((found, None));
    }
    let (began, mut ranked) = (Instant::now(), Vec::with_capacity(found.len()));
    for (found, asked) in found.into_iter().zip(asked) {
        ranked.push(match asked {
            Some(asked) => Found { hits: one(app, deadline, &asked, found.hits, stages).await?, ..found },
            None => found,
        });
    }
    Ok((ranked, Some(millis(began.elapsed()))))
}

async fn one(
    app: &App,
    deadline: Instant,
    asked: &Asked,
    hits: Vec<HitAnswer>,
    stages: &mut Vec<(Stage, Duration)>,
) -> Result<Vec<HitAnswer>, ApiError> {
    let texts: Vec<String> = hits.iter().map(HitAnswer::full_text).collect();
    if !texts.is_empty() && texts.iter().all(String::is_empty) {
        let message = "this collection keeps no texts, which a reranker reads; send rerank: false";
        return Err(ApiError::new(crate::error::Code::Unsupported, message));
    }
    let counted = app.count_pairs(asked.query.clone(), texts).await?;
    let scored = app.ranker()?.batcher.scores(counted, deadline).await?;
    stages.extend([(Stage::RerankWait, scored.waited), (Stage::Rerank, scored.embedded)]);
    Ok(asked.reordered(hits, &scored.rows))
}
