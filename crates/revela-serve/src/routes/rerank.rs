//! `/v1/rerank`, as Jina's and Cohere's clients use it, and `/rerank`, as those of text-embeddings-inference do.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use revela_base::rerank::order;
use serde::{Deserialize, Serialize};

use super::timed;
use crate::body::{Admitted, Guarded, Json};
use crate::error::{ApiError, Code};
use crate::metrics::Stage;
use crate::middleware::{Deadline, Timings};
use crate::state::App;

/// What clients send; what they send beyond it is ignored, as those services do with some of it.
#[derive(Debug, Deserialize)]
pub(crate) struct RerankRequest {
    model: Option<String>,
    query: String,
    documents: Vec<Document>,
    top_n: Option<usize>,
    return_documents: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a document must be a string, or an object with text")]
enum Document {
    Text(String),
    Object { text: String },
}

impl Document {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { text } => text,
        }
    }
}

#[derive(Serialize)]
struct RerankAnswer {
    object: &'static str,
    model: String,
    results: Vec<Ranked>,
    usage: Usage,
}

#[derive(Serialize)]
struct Ranked {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Returned>,
}

#[derive(Serialize)]
struct Returned {
    text: String,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// The same in the form of text-embeddings-inference.
#[derive(Debug, Deserialize)]
pub(crate) struct TeiRequest {
    query: String,
    texts: Vec<String>,
    #[serde(default)]
    raw_scores: bool,
    #[serde(default)]
    return_text: bool,
}

#[derive(Serialize)]
struct TeiRank {
    index: usize,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl Guarded for RerankRequest {
    type Ticket = ();

    /// Spares reading texts for which there is no room.
    fn look(app: &App) -> Result<(), ApiError> {
        app.ranker()?.batcher.check_room()
    }

    /// Room is taken when the pairs' tokens are counted.
    fn enter(_app: &App) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Guarded for TeiRequest {
    type Ticket = ();

    fn look(app: &App) -> Result<(), ApiError> {
        RerankRequest::look(app)
    }

    fn enter(app: &App) -> Result<(), ApiError> {
        RerankRequest::enter(app)
    }
}

/// Texts in the order of their scores: their numbers and scores, best first.
struct Order {
    ranks: Vec<(usize, f32)>,
    tokens: usize,
    timings: Timings,
}

/// `POST /v1/rerank`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    Admitted(request, ()): Admitted<RerankRequest>,
) -> Result<Response, ApiError> {
    let name = &app.ranker()?.name;
    if request.model.as_ref().is_some_and(|asked| asked != name) {
        let message = format!("there is no reranker of this name; this server has {name:?}");
        return Err(ApiError::not_found(message));
    }
    if request.top_n == Some(0) {
        return Err(ApiError::invalid("top_n must be at least 1; leave it out for all"));
    }
    let texts: Vec<String> = request.documents.into_iter().map(Document::into_text).collect();
    let kept = request.return_documents.unwrap_or(false).then(|| texts.clone());
    let Order { ranks, tokens, timings } = rank(&app, deadline, request.query, texts).await?;
    let result = |(index, relevance_score): (usize, f32)| {
        let text = kept.as_ref().and_then(|texts| texts.get(index));
        Ranked { index, relevance_score, document: text.map(|text| Returned { text: text.clone() }) }
    };
    let results = ranks.into_iter().take(request.top_n.unwrap_or(usize::MAX)).map(result).collect();
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    Ok(timed(timings, Json(RerankAnswer { object: "list", model: name.clone(), results, usage })))
}

/// `POST /rerank`.
pub(crate) async fn as_tei(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    Admitted(request, ()): Admitted<TeiRequest>,
) -> Result<Response, ApiError> {
    if request.raw_scores {
        let message =
            "raw_scores is not supported: scores are what the model's own settings make of its logits";
        return Err(ApiError::new(Code::Unsupported, message));
    }
    let kept = request.return_text.then(|| request.texts.clone());
    let Order { ranks, timings, .. } = rank(&app, deadline, request.query, request.texts).await?;
    let rank = |(index, score): (usize, f32)| TeiRank {
        index,
        score,
        text: kept.as_ref().and_then(|texts| texts.get(index)).cloned(),
    };
    let ranks: Vec<TeiRank> = ranks.into_iter().map(rank).collect();
    Ok(timed(timings, Json(ranks)))
}

/// Checks texts against the limits, scores and orders them.
async fn rank(
    app: &App,
    Deadline(deadline): Deadline,
    query: String,
    texts: Vec<String>,
) -> Result<Order, ApiError> {
    check(app, &query, &texts)?;
    let counted = app.count_pairs(query, texts).await?;
    let tokens = counted.tokens();
    let scored = app.ranker()?.batcher.scores(counted, deadline).await?;
    let ranks = order(&scored.rows).into_iter().filter_map(|place| Some((place, *scored.rows.get(place)?)));
    let timings = vec![(Stage::RerankWait, scored.waited), (Stage::Rerank, scored.embedded)];
    Ok(Order { ranks: ranks.collect(), tokens, timings: Timings(timings) })
}

fn check(app: &App, query: &str, texts: &[String]) -> Result<(), ApiError> {
    let limits = &app.config.limits;
    let too_large = |message: String| Err(ApiError::new(Code::TooLarge, message));
    if texts.is_empty() {
        return Err(ApiError::invalid("there are no documents; send at least one"));
    }
    if query.len() > limits.query_bytes {
        return too_large(format!("the query has more than {} bytes; ask shorter", limits.query_bytes));
    }
    if texts.len() > limits.inputs {
        return too_large(format!("more than {} documents; send them in parts", limits.inputs));
    }
    match texts.iter().position(|text| text.len() > limits.text_bytes) {
        Some(number) => {
            let message = format!("it has more than {} bytes; cut it into passages", limits.text_bytes);
            Err(ApiError::new(Code::TooLarge, message).within("document", number))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn documents_are_texts_or_objects() {
        let parse = |text: &str| crate::body::parse::<RerankRequest>(text.as_bytes());
        let request = parse(r#"{"query":"q","documents":["a",{"text":"b"}],"top_n":1,"unknown":7}"#).unwrap();
        let texts: Vec<String> = request.documents.into_iter().map(Document::into_text).collect();
        assert_eq!(texts, ["a", "b"]);
        for wrong in [r#"{"query":"q","documents":[7]}"#, r#"{"documents":["a"]}"#, r#"{"query":"q"}"#] {
            assert_eq!(parse(wrong).unwrap_err().code, Code::InvalidRequest, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_understood_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = crate::body::parse::<RerankRequest>(&bytes);
            let _ = crate::body::parse::<TeiRequest>(&bytes);
        }
    }
}
