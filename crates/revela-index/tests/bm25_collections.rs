//! BM25 on real collections scores what the literature says it should.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use revela_index::bm25::{Analyser, TextIndex, TextIndexWriter};

fn ndcg(index: &TextIndex, collection: &common::Beir) -> f64 {
    let ids: Vec<&str> = collection.passages.iter().map(|p| p.id.as_str()).collect();
    let sum: f64 = collection
        .queries
        .iter()
        .map(|(text, judged)| {
            let found = index.search(&index.query(text), 10).unwrap();
            common::ndcg10(found.iter().map(|hit| ids[hit.id as usize]), judged)
        })
        .sum();
    100.0 * sum / collection.queries.len() as f64
}

fn measure(name: &str, split: &str, analyser: Analyser) -> Option<f64> {
    let collection = common::load(name, split)?;
    let mut writer = TextIndexWriter::in_memory(analyser).unwrap();
    for passage in &collection.passages {
        writer.add(&passage.id, &passage.title, &passage.text).unwrap();
    }
    let score = ndcg(&writer.finish().unwrap(), &collection);
    println!("{name} {split} {analyser:?}: nDCG@10 {score:.2}");
    Some(score)
}

#[test]
fn scifact_prose() {
    if let Some(score) = measure("scifact", "test", Analyser::Prose) {
        assert!((66.0..69.0).contains(&score), "{score}");
    }
}

#[test]
fn cosqa_code() {
    if let Some(score) = measure("cosqa", "dev", Analyser::Code) {
        assert!((36.0..38.0).contains(&score), "{score}");
    }
}
