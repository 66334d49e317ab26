//! Real collections, where they are at hand.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests, too, are tests

use std::path::Path;

use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_eval::dataset::{BeirFolder, Layout, TestCollection, UnknownIdPolicy};
use revela_eval::metrics::{EvaluationOptions, Metric, evaluate};
use revela_eval::{Hit, Run};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");

fn load(name: &str, split: &str) -> Option<TestCollection> {
    let dir = Path::new(DATA).join(name);
    if !dir.exists() {
        println!("skipped: {} is not there", dir.display());
        return None;
    }
    let beir = BeirFolder::open(&dir).unwrap();
    assert!(beir.splits().unwrap().contains(&split.to_owned()));
    let test =
        TestCollection::load(&beir, split, UnknownIdPolicy::Report, &Silent, &Interrupt::new()).unwrap();
    println!(
        "{name} {split}: {} documents, {} queries, {} judgements, {} without relevant documents; {}",
        test.documents,
        test.queries.len(),
        test.qrels.judgements(),
        test.qrels.queries_without_relevant().count(),
        test.unknown,
    );
    Some(test)
}

#[test]
fn counts_are_the_published_ones() {
    for (name, split, documents, queries) in [
        ("scifact", "test", 5_183, 300),
        ("scifact", "train", 5_183, 809),
        ("cranfield", "test", 1_400, 225),
        ("cosqa", "dev", 6_267, 500),
        ("java-csharp", "test", 11_283, 1_000),
        ("java-csharp", "dev", 11_283, 499),
    ] {
        if let Some(test) = load(name, split) {
            assert_eq!((test.documents, test.queries.len()), (documents, queries), "{name} {split}");
            assert_eq!(test.qrels.len(), queries, "{name} {split}");
        }
    }
}

/// An oracle that returns just what is judged relevant, best first, is perfect on every query.
#[test]
fn an_oracle_is_perfect() {
    for (name, split) in
        [("scifact", "test"), ("cranfield", "test"), ("cosqa", "dev"), ("java-csharp", "test")]
    {
        let Some(test) = load(name, split) else { continue };
        let mut run = Run::new();
        for (query, judged) in test.qrels.iter() {
            let hits = judged.iter().map(|(document, &grade)| Hit::new(document, grade as f32)).collect();
            run.insert(query, hits).unwrap();
        }
        let metrics = [Metric::NDCG_10, Metric::RECALL_100, Metric::MRR_10];
        let found = evaluate(&test.qrels, &run, &metrics, &EvaluationOptions::default()).unwrap();
        let without = test.qrels.queries_without_relevant().count();
        let share = (test.qrels.len() - without) as f64 / test.qrels.len() as f64;
        for (metric, mean) in found.means() {
            assert!((mean - share).abs() < 1e-12, "{name}: {metric} is {mean}");
        }
    }
}
