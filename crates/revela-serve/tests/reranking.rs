//! `/v1/rerank`, `/rerank`, and searches whose hits are ranked again.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Running, TEXTS};
use revela_base::checksum::Checksum;
use revela_base::rerank::{Pair, RerankError, Reranker};
use serde_json::{Value, json};

/// The longer the passage, the better; a token is a byte. Knows how many calls there were.
#[derive(Default)]
struct Longest(AtomicUsize);

impl Reranker for Longest {
    fn fingerprint(&self) -> Checksum {
        Checksum::of(b"longest")
    }

    fn tokens(&self, (query, passage): Pair<'_>) -> Result<usize, RerankError> {
        Ok(query.len() + passage.len())
    }

    fn scores(&self, pairs: &[Pair<'_>]) -> Result<Vec<f32>, RerankError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert!(pairs.iter().all(|(_, passage)| *passage != "make it panic"), "as asked");
        if pairs.iter().any(|(_, passage)| *passage == "refuse") {
            return Err(RerankError("no".into()));
        }
        Ok(pairs.iter().map(|(_, passage)| passage.len() as f32).collect())
    }
}

fn start() -> Running {
    Running::with_reranker(Arc::new(Longest::default()), |config| config.rerank.name = Some("longest".into()))
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

#[test]
fn documents_come_back_in_order_with_their_places() {
    let server = start();
    let documents = json!(["aa", {"text": "bbbb"}, "", "cc"]);
    let answer =
        server.post("/v1/rerank", &json!({"model": "longest", "query": "q", "documents": documents})).fine();
    let places: Vec<(u64, f64)> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["index"].as_u64().unwrap(), r["relevance_score"].as_f64().unwrap()))
        .collect();
    assert_eq!(places, [(1, 4.0), (0, 2.0), (3, 2.0), (2, 0.0)]);
    assert_eq!((&answer["model"], &answer["usage"]["total_tokens"]), (&json!("longest"), &json!(12)));
    assert!(answer["results"][0].get("document").is_none());
    let body = json!({"query": "q", "documents": documents, "top_n": 1, "return_documents": true, "rank_fields": []});
    let answer = server.post("/v1/rerank", &body).fine();
    assert_eq!(
        answer["results"],
        json!([{"index": 1, "relevance_score": 4.0, "document": {"text": "bbbb"}}])
    );
    let body = json!({"query": "q", "texts": ["a", "bbb"], "return_text": true, "truncate": true});
    let answer = server.post("/rerank", &body).fine();
    assert_eq!(
        answer,
        json!([{"index": 1, "score": 3.0, "text": "bbb"}, {"index": 0, "score": 1.0, "text": "a"}])
    );
}

#[test]
fn requests_that_make_no_sense_are_refused_and_failures_stay_alone() {
    let server = Running::with_reranker(Arc::new(Longest::default()), |config| {
        config.limits.text_bytes = 100;
        config.limits.inputs = 3;
    });
    let ask = |change: Value| {
        let mut body = json!({"query": "q", "documents": ["a"]});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        server.post("/v1/rerank", &body)
    };
    ask(json!({"documents": []})).fails(400, "invalid_request", "at least one");
    ask(json!({"top_n": 0})).fails(400, "invalid_request", "top_n");
    ask(json!({"documents": [7]})).fails(400, "invalid_request", "document");
    ask(json!({"model": "other"})).fails(404, "not_found", "reranker");
    ask(json!({"documents": ["a", "b", "c", "d"]})).fails(413, "too_large", "3");
    ask(json!({"documents": ["a", "b".repeat(101)]})).fails(413, "too_large", "document 1");
    ask(json!({"query": "q".repeat(9000)})).fails(413, "too_large", "query");
    ask(json!({"documents": ["make it panic"]})).fails(500, "internal", "log");
    ask(json!({"documents": ["refuse"]})).fails(500, "internal", "log");
    let raw = json!({"query": "q", "texts": ["a"], "raw_scores": true});
    server.post("/rerank", &raw).fails(422, "unsupported", "raw_scores");
    assert_eq!(ask(json!({})).fine()["results"][0]["index"], 0, "it goes on after a panic");
    let without = Running::start(|_| {});
    let body = json!({"query": "q", "documents": ["a"]});
    without.post("/v1/rerank", &body).fails(422, "unsupported", "--rerank");
    without.post("/v1/search", &json!({"query": "read", "rerank": true})).fails(
        422,
        "unsupported",
        "--rerank",
    );
    without.post("/v1/search", &json!({"query": "read", "rerank": false})).fine();
}

#[test]
fn searches_are_ranked_again_unless_they_say_otherwise() {
    let server = start();
    let mut longest: Vec<(&str, &str)> = TEXTS.to_vec();
    longest.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
    let search = |change: Value| {
        let mut body = json!({"query": "read a file", "k": 2, "mode": "dense"});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        server.post("/v1/search", &body)
    };
    let answer = search(json!({})).fine();
    assert_eq!(ids(&answer), [longest[0].0, longest[1].0]);
    assert_eq!((&answer["hits"][0]["rank"], &answer["hits"][0]["text"]), (&json!(1), &json!(longest[0].1)));
    assert_eq!(answer["hits"][0]["score"], json!(longest[0].1.len() as f64));
    assert!(answer["took"]["rerank_ms"].as_f64().unwrap() >= 0.0);
    assert_eq!(ids(&search(json!({"rerank": true})).fine()), ids(&answer));
    assert!(search(json!({"include_text": false})).fine()["hits"][0].get("text").is_none());
    // Only two are ranked again: the two that are nearest.
    let plain = search(json!({"rerank": false})).fine();
    assert!(plain["took"].get("rerank_ms").is_none());
    let (mut two, mut nearest) = (search(json!({"rerank": {"depth": 2}})).fine(), plain);
    for answer in [&mut two, &mut nearest] {
        answer["hits"].as_array_mut().unwrap().sort_by_key(|hit| hit["id"].to_string());
    }
    assert_eq!(ids(&two), ids(&nearest));
    search(json!({"rerank": {"depth": 0}})).fails(400, "invalid_request", "depth");
    search(json!({"rerank": {"depth": 5000}})).fails(400, "invalid_request", "1000");
    search(json!({"rerank": "yes"})).fails(400, "invalid_request", "rerank must be");
    let batch = json!({"searches": [{"query": "a", "rerank": false}, {"query": "b", "k": 1}]});
    let answer = server.post("/v1/search/batch", &batch).fine();
    assert_eq!(ids(&answer["results"][1]), [longest[0].0]);
}

#[test]
fn a_depth_of_zero_leaves_searches_alone_unless_asked() {
    let reranker = Arc::new(Longest::default());
    let server = Running::with_reranker(reranker.clone(), |config| config.rerank.depth = 0);
    server.post("/v1/search", &json!({"query": "read a file"})).fine();
    assert_eq!(reranker.0.load(Ordering::Relaxed), 0);
    server.post("/v1/search", &json!({"query": "read a file", "rerank": true})).fine();
    assert_eq!(reranker.0.load(Ordering::Relaxed), 1);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("revela_waiting{queue=\"rerank\"} 0"), "{metrics}");
}
