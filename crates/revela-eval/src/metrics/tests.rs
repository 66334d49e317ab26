use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::exclusions::{Exclusions, SelfMatches};
use crate::qrels::Qrels;
use crate::run::{Hit, Run};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    qrels: HashMap<String, HashMap<String, i32>>,
    run: HashMap<String, HashMap<String, f64>>,
    values: BTreeMap<String, BTreeMap<String, f64>>,
}

fn qrels_of(judged: &HashMap<String, HashMap<String, i32>>) -> Qrels {
    let mut qrels = Qrels::new();
    for (query, documents) in judged {
        for (document, &grade) in documents {
            qrels.insert(query, document, grade).unwrap();
        }
    }
    qrels
}

fn run_of(rankings: &HashMap<String, HashMap<String, f64>>) -> Run {
    let mut run = Run::new();
    for (query, scores) in rankings {
        let hits = scores.iter().map(|(d, &s)| Hit::new(d, s as f32)).collect();
        run.insert(query, hits).unwrap();
    }
    run
}

/// As pytrec_eval does it.
const TREC: EvaluationOptions =
    EvaluationOptions { missing: MissingQueries::Skip, unjudged: UnjudgedQueries::Ignore };

#[test]
fn every_value_equals_trec_evals() {
    let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/metrics.json")).unwrap();
    let (mut compared, mut not_zero) = (0, 0);
    for case in &golden.cases {
        let metrics: Vec<Metric> =
            case.values.values().next().unwrap().keys().map(|name| name.parse().unwrap()).collect();
        let found = evaluate(&qrels_of(&case.qrels), &run_of(&case.run), &metrics, &TREC).unwrap();
        for metric in metrics {
            let found = &found.per_query[&metric];
            assert!(found.keys().eq(case.values.keys()), "{}: {metric}: other queries", case.name);
            for (query, value) in found {
                let expected = case.values[query][&metric.to_string()];
                assert!(
                    (value - expected).abs() < 1e-9,
                    "{}: {query}: {metric} is {value}, not {expected}",
                    case.name
                );
                compared += 1;
                not_zero += usize::from(expected > 0.0);
            }
        }
    }
    assert!(compared > 5000 && not_zero > 2000, "{compared} values compared, {not_zero} of them not 0");
}

#[test]
fn names_round_trip_and_rubbish_is_refused() {
    for name in Metric::FORMS {
        let name = name.replace('k', "7");
        assert_eq!(name.parse::<Metric>().unwrap().to_string(), name);
    }
    for (alias, name) in
        [("nDCG@10", "ndcg@10"), (" RR@10", "mrr@10"), ("P@5", "precision@5"), ("R@100", "recall@100")]
    {
        assert_eq!(alias.parse::<Metric>().unwrap().to_string(), name);
    }
    for bad in ["", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "recall", "precision", "r_precision@3", "f1"] {
        let error = bad.parse::<Metric>().unwrap_err().to_string();
        assert!(error.contains("unknown metric") && error.contains("recall@k"), "{error}");
    }
    assert_eq!(Metric::NDCG_10.to_string(), "ndcg@10");
    let json = serde_json::to_string(&BTreeMap::from([(Metric::MRR_10, 0.5)])).unwrap();
    assert_eq!(json, r#"{"mrr@10":0.5}"#);
    assert_eq!(serde_json::from_str::<BTreeMap<Metric, f64>>(&json).unwrap()[&Metric::MRR_10], 0.5);
}

fn tiny() -> (Qrels, Run) {
    let mut qrels = Qrels::new();
    for (query, document, grade) in [("q1", "a", 1), ("q2", "b", 1), ("q3", "c", 0)] {
        qrels.insert(query, document, grade).unwrap();
    }
    let mut run = Run::new();
    run.insert("q1", vec![Hit::new("a", 1.0)]).unwrap();
    run.insert("q3", vec![Hit::new("c", 1.0)]).unwrap();
    (qrels, run)
}

#[test]
fn missing_queries_count_as_zero_or_not_at_all() {
    let (qrels, run) = tiny();
    let zero = evaluate(&qrels, &run, &[Metric::NDCG_10], &EvaluationOptions::default()).unwrap();
    assert_eq!((zero.missing, zero.unjudged, zero.without_relevant), (1, 0, 1));
    assert_eq!(zero.means()[&Metric::NDCG_10], 1.0 / 3.0);
    let skip = evaluate(&qrels, &run, &[Metric::NDCG_10], &TREC).unwrap();
    assert_eq!(skip.means()[&Metric::NDCG_10], 0.5);
    assert!(evaluate(&qrels, &Run::new(), &[Metric::NDCG_10], &TREC).is_err());
    assert!(evaluate(&Qrels::new(), &Run::new(), &[Metric::NDCG_10], &EvaluationOptions::default()).is_err());
    let nothing = evaluate(&qrels, &Run::new(), &[Metric::NDCG_10], &EvaluationOptions::default()).unwrap();
    assert_eq!(nothing.means()[&Metric::NDCG_10], 0.0);
}

#[test]
fn answers_to_unjudged_queries_are_named_or_counted() {
    let (qrels, mut run) = tiny();
    run.insert("stranger", vec![]).unwrap();
    let error = evaluate(&qrels, &run, &[Metric::NDCG_10], &EvaluationOptions::default()).unwrap_err();
    assert!(error.to_string().contains("1 queries") && error.to_string().contains("stranger"));
    let ignored = evaluate(&qrels, &run, &[Metric::NDCG_10], &TREC).unwrap();
    assert_eq!(ignored.unjudged, 1);
    assert_eq!(ignored.per_query[&Metric::NDCG_10].len(), 2);
}

#[test]
fn a_dropped_self_match_moves_the_answer_up() {
    let mut qrels = Qrels::new();
    qrels.insert("q", "a", 1).unwrap();
    let mut run = Run::new();
    run.insert("q", vec![Hit::new("q", 2.0), Hit::new("a", 1.0)]).unwrap();
    let mrr = |run: &Run| {
        evaluate(&qrels, run, &[Metric::MRR_10], &EvaluationOptions::default()).unwrap().means()
            [&Metric::MRR_10]
    };
    assert_eq!(mrr(&run), 0.5);
    run.exclude(&Exclusions::new(SelfMatches::Drop));
    assert_eq!(mrr(&run), 1.0);
}

fn all_metrics() -> Vec<Metric> {
    let mut names = vec!["ndcg".to_owned(), "map".to_owned(), "mrr".to_owned(), "r_precision".to_owned()];
    for k in [1, 2, 5, 10] {
        for name in ["ndcg", "map", "mrr", "recall", "precision", "success", "r_cap", "hole", "judged"] {
            names.push(format!("{name}@{k}"));
        }
    }
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Grades of some of 12 documents, and scores (with many ties) of some.
fn case() -> impl Strategy<Value = (Vec<Option<i32>>, Vec<Option<u8>>)> {
    let grades = proptest::collection::vec(proptest::option::of(-1..4i32), 12);
    let scores = proptest::collection::vec(proptest::option::of(0..4u8), 12);
    (grades, scores).prop_filter("some document is judged", |(grades, _)| grades.iter().any(Option::is_some))
}

fn values(grades: &[Option<i32>], hits: Vec<Hit>) -> BTreeMap<Metric, f64> {
    let mut qrels = Qrels::new();
    for (document, grade) in grades.iter().enumerate() {
        if let Some(grade) = grade {
            qrels.insert("q", &format!("d{document}"), *grade).unwrap();
        }
    }
    let mut run = Run::new();
    run.insert("q", hits).unwrap();
    let found = evaluate(&qrels, &run, &all_metrics(), &EvaluationOptions::default()).unwrap();
    found.means().into_iter().collect()
}

fn hits(scores: &[Option<u8>]) -> Vec<Hit> {
    let scored = scores.iter().enumerate().filter_map(|(d, score)| Some((d, (*score)?)));
    scored.map(|(d, score)| Hit::new(format!("d{d}"), f32::from(score))).collect()
}

proptest! {
    #[test]
    fn values_lie_between_0_and_1((grades, scores) in case()) {
        for (metric, value) in values(&grades, hits(&scores)) {
            prop_assert!((0.0..=1.0 + 1e-12).contains(&value), "{metric} is {value}");
            prop_assert!(value.is_sign_positive(), "{metric} is -0, which reads badly");
        }
    }

    #[test]
    fn the_order_in_which_results_come_does_not_matter((grades, scores) in case(), turn in 0..12usize) {
        let mut turned = hits(&scores);
        let found = values(&grades, turned.clone());
        let by = turn % turned.len().max(1);
        turned.rotate_left(by);
        prop_assert_eq!(&values(&grades, turned.clone()), &found);
        turned.reverse();
        prop_assert_eq!(values(&grades, turned), found);
    }

    /// Swapping a document with a better one below it lowers nothing (but hole and judged, which look
    /// at other things).
    #[test]
    fn moving_a_better_document_up_never_hurts((grades, _) in case(), at in 0..11usize) {
        let ranked = |order: &[usize]| {
            let hits = order.iter().zip((0..20u8).rev()).map(|(d, s)| Hit::new(format!("d{d}"), f32::from(s)));
            values(&grades, hits.collect())
        };
        let mut order: Vec<usize> = (0..12).collect();
        let before = ranked(&order);
        let grade = |d: usize| grades[d].unwrap_or(0).max(0);
        prop_assume!(grade(at + 1) > grade(at));
        order.swap(at, at + 1);
        for (metric, after) in ranked(&order) {
            if !matches!(metric, Metric::Hole(_) | Metric::Judged(_)) {
                prop_assert!(after >= before[&metric] - 1e-12, "{metric}: {} -> {after}", before[&metric]);
            }
        }
    }

    #[test]
    fn a_perfect_ranking_scores_1((grades, _) in case()) {
        let mut order: Vec<usize> = (0..12).filter(|&d| grades[d].is_some()).collect();
        order.sort_by_key(|&d| std::cmp::Reverse(grades[d]));
        let relevant = grades.iter().flatten().filter(|&&grade| grade > 0).count();
        prop_assume!(relevant > 0);
        let hits = order.iter().zip((0..20u8).rev()).map(|(d, s)| Hit::new(format!("d{d}"), f32::from(s)));
        for (metric, value) in values(&grades, hits.collect()) {
            let expected = match metric {
                Metric::Hole(_) => 0.0,
                Metric::Recall(k) => k.get().min(relevant) as f64 / relevant as f64,
                Metric::Map(Some(k)) => k.get().min(relevant) as f64 / relevant as f64,
                Metric::Precision(k) => k.get().min(relevant) as f64 / k.get() as f64,
                _ => 1.0,
            };
            prop_assert!((value - expected).abs() < 1e-12, "{metric} is {value}, not {expected}");
        }
    }
}
