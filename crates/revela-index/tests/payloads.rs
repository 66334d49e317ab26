//! Payloads, from being added to being filtered by, and filters on graphs.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::testing::HashEmbedder;
use revela_index::{
    Collection, CollectionBuilder, CollectionWriter, Duplicates, Effort, Entry, Filter, GraphOptions,
    InsertOrder, Mode, Passage, Predicate, Query, Searcher, Structure, VectorOptions, export,
};
use serde_json::json;

const DIM: usize = 96;

fn entry(number: usize) -> Result<Entry, std::io::Error> {
    let text = format!("word{} and {number}", number % 11);
    let passage = Passage { id: format!("p{number}"), title: String::new(), text };
    // Some have no payload at all.
    let fields = json!({"number": number, "group": format!("g{}", number % 100), "tags": ["a", number.is_multiple_of(2)]});
    let payload = fields.as_object().filter(|_| !number.is_multiple_of(7)).cloned().unwrap_or_default();
    Ok(Entry { passage, payload })
}

fn build(path: &Path, count: usize) -> Collection {
    let graph =
        GraphOptions { m: 8, ef_construction: 40, order: InsertOrder::Serial, ..GraphOptions::default() };
    let options = VectorOptions { structure: Structure::Graph, graph, ..VectorOptions::default() };
    let builder = CollectionBuilder::new(path).vectors(options).shard_rows(1500);
    let embedder = HashEmbedder::new(DIM);
    builder.build((0..count).map(entry), Some(&embedder), &Silent, &Interrupt::new()).unwrap()
}

fn searcher(collection: Collection) -> Searcher {
    Searcher::new(collection).with_embedder(Arc::new(HashEmbedder::new(DIM))).unwrap()
}

/// A predicate, and which numbers fit it.
type Case = (Predicate, fn(usize) -> bool);

fn filters() -> Vec<Case> {
    let read = |text: &str| Predicate::from_json(text).unwrap();
    vec![
        (read(r#"{"equals": {"field": "group", "value": "g13"}}"#), |n| n % 100 == 13),
        (read(r#"{"range": {"field": "number", "least": 100, "most": 1900}}"#), |n| {
            (100..=1900).contains(&n)
        }),
        (
            read(
                r#"{"all": [{"prefix": {"field": "group", "prefix": "g1"}}, {"equals": {"field": "tags", "value": true}}]}"#,
            ),
            |n| format!("g{}", n % 100).starts_with("g1") && n.is_multiple_of(2),
        ),
        (read(r#"{"in": {"field": "number", "values": [1, 2, 3, 7, 2999]}}"#), |n| {
            [1, 2, 3, 2999].contains(&n)
        }),
        (read(r#"{"equals": {"field": "group", "value": "none"}}"#), |_| false),
    ]
}

/// From restrictive ones to wide ones: whatever way a filter takes, what it finds is nearly what an exact
/// search finds, and never anything that does not fit.
#[test]
fn filters_keep_recall_in_graphs() {
    let dir = tempfile::tempdir().unwrap();
    let searcher = searcher(build(&dir.path().join("x"), 3000));
    for (predicate, fits) in filters() {
        let allowed = (0..3000_usize).filter(|&n| !n.is_multiple_of(7) && fits(n)).count();
        let (mut found, mut wanted) = (0, 0);
        for text in ["word3 and 14", "word8 and 1999", "something else"] {
            let query = Query::text(text).mode(Mode::Dense).filter(Filter::payload(predicate.clone()));
            let exact = searcher.search(&query.clone().effort(Effort::Exact)).unwrap();
            let walked = searcher.search(&query.effort(Effort::Ef(40))).unwrap();
            assert_eq!((exact.len(), walked.len()), (allowed.min(10), allowed.min(10)), "{predicate:?}");
            for hit in &walked {
                let number: usize = hit.id[1..].parse().unwrap();
                assert!(predicate.fits(&hit.payload) && fits(number) && hit.payload["number"] == number);
            }
            wanted += exact.len();
            // Many are equally near; any of those will do.
            let last = exact.last().map_or(f32::INFINITY, |hit| hit.score - 1e-6);
            found += walked.iter().filter(|hit| hit.score >= last).count();
        }
        assert!(found * 100 >= wanted * 95, "{predicate:?}: {found} of {wanted}");
    }
}

#[test]
fn payloads_outlive_changes_and_are_exported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    drop(build(&path, 40));
    let never = Interrupt::new();
    let mut writer = CollectionWriter::open(&path).unwrap();
    let mut replaced = entry(5).unwrap();
    replaced.payload.insert("number".into(), json!(-5));
    let embedder = HashEmbedder::new(DIM);
    let given = [Ok::<_, std::io::Error>(replaced)];
    writer.add(given, Some(&embedder), Duplicates::LastWins, &Silent, &never).unwrap();
    writer.delete(["p6"]).unwrap();
    for compacted in [false, true] {
        if compacted {
            assert!(writer.compact(&Silent, &never).unwrap());
        }
        let collection = Collection::open(&path).unwrap();
        collection.verify(&Silent, &never).unwrap();
        assert_eq!(collection.payload("p5").unwrap().unwrap()["number"], -5);
        assert_eq!(collection.payload("p3").unwrap().unwrap(), entry(3).unwrap().payload);
        assert!(collection.payload("p7").unwrap().unwrap().is_empty());
        assert_eq!(collection.payload("p6").unwrap(), None);
        let negative = Predicate::Range { field: "number".into(), least: None, most: Some((-1.0).into()) };
        let query = Query::text("word5").mode(Mode::Bm25).filter(Filter::payload(negative));
        let hits = searcher(collection).search(&query).unwrap();
        assert_eq!(hits.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(), ["p5"]);
    }
    let out = dir.path().join("out.jsonl");
    export::passages(&Collection::open(&path).unwrap(), &out, &Silent, &never).unwrap();
    let text = std::fs::read_to_string(out).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |id: &str| lines.iter().find(|line| line["_id"] == id).unwrap();
    assert_eq!((&line("p5")["metadata"]["number"], line("p7").get("metadata")), (&json!(-5), None));
}
