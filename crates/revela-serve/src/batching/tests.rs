use std::sync::mpsc;

use proptest::prelude::*;

use super::lanes::Room;
use super::*;
use crate::config::Joining;
use crate::error::Code;

/// A text's vector is its length and its first byte; a token is a byte.
struct Lengths {
    /// The texts of each batch.
    batches: Mutex<Vec<Vec<String>>>,
    /// Every batch waits here for a word, where there is one.
    gate: Option<Mutex<mpsc::Receiver<()>>>,
}

impl Embedder for Lengths {
    fn dimension(&self) -> usize {
        2
    }

    fn fingerprint(&self) -> Checksum {
        Checksum::of(b"lengths")
    }

    fn metric(&self) -> Metric {
        Metric::Dot
    }

    fn embed(&self, _kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        if let Some(gate) = &self.gate {
            // Once the other end is gone, batches go through freely.
            let _ = lock(gate).recv();
        }
        lock(&self.batches).push(texts.iter().map(|&text| text.to_owned()).collect());
        if texts.contains(&"refuse") {
            return Err(EmbedError("no".into()));
        }
        assert!(!texts.contains(&"panic"), "as asked");
        Ok(texts.iter().flat_map(|text| vector(text)).collect())
    }
}

fn vector(text: &str) -> [f32; 2] {
    [text.len() as f32, text.bytes().next().map_or(0.0, f32::from)]
}

impl TextEncoder for Lengths {
    fn tokens(&self, _kind: TextKind, text: &str) -> Result<usize, EmbedError> {
        Ok(text.len())
    }

    fn decode(&self, _ids: &[u32]) -> Result<String, EmbedError> {
        Ok(String::new())
    }

    fn max_tokens(&self) -> usize {
        100
    }
}

fn start(settings: Batching, gate: Option<mpsc::Receiver<()>>) -> (Batcher, Arc<Lengths>, Arc<Metrics>) {
    let encoder = Arc::new(Lengths { batches: Mutex::default(), gate: gate.map(Mutex::new) });
    let metrics = Arc::new(Metrics::default());
    let models = Models { encoder: Some(encoder.clone()), reranker: None };
    let batcher = super::start(models, &settings, metrics.clone()).unwrap().0.unwrap();
    (batcher, encoder, metrics)
}

fn settings() -> Batching {
    Batching {
        wait_ms: 0,
        tokens: 20,
        queue: 6,
        max_wait_ms: 60_000,
        max_bulk_wait_ms: 60_000,
        ..Batching::default()
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn enqueue(batcher: &Batcher, kind: TextKind, texts: &[&str]) -> Result<oneshot::Receiver<Answer>, ApiError> {
    let texts = texts.iter().map(|&text| text.to_owned()).collect();
    let counted = Counted::new(&**batcher.encoder(), kind, texts).unwrap();
    batcher.core.shared.enqueue(counted, Some(soon()))
}

/// Waits until the worker holds everything that was enqueued.
fn drained(batcher: &Batcher) {
    while batcher.waiting() != [0, 0] {
        std::thread::yield_now();
    }
}

#[test]
fn what_waits_together_is_embedded_together_by_budget() {
    let (open, gate) = mpsc::channel();
    let (batcher, encoder, _) = start(settings(), Some(gate));
    let first = enqueue(&batcher, TextKind::Query, &["a"]).unwrap();
    drained(&batcher);
    // 8 + 8 tokens fit into 20, the third does not; the bulk comes in pieces between.
    let queries = ["bbbbbbbb", "cccccccc", "dddddddd"];
    let queries = queries.map(|text| enqueue(&batcher, TextKind::Query, &[text]).unwrap());
    let bulk = enqueue(&batcher, TextKind::Passage, &["eeeeeeeeeeeeeee", "ffffff", "g"]).unwrap();
    (0..8).for_each(|_| open.send(()).unwrap());
    let rows = |answer: oneshot::Receiver<Answer>| answer.blocking_recv().unwrap().unwrap().rows;
    assert_eq!(rows(first), vector("a"));
    for (answer, text) in queries.into_iter().zip(["bbbbbbbb", "cccccccc", "dddddddd"]) {
        assert_eq!(rows(answer), vector(text));
    }
    assert_eq!(rows(bulk), [vector("eeeeeeeeeeeeeee"), vector("ffffff"), vector("g")].concat());
    let batches = lock(&encoder.batches).clone();
    let expected: [&[&str]; 5] =
        [&["a"], &["eeeeeeeeeeeeeee"], &["bbbbbbbb", "cccccccc"], &["ffffff", "g"], &["dddddddd"]];
    assert_eq!(batches, expected);
}

/// Whoever comes after a batch of one request is not kept waiting for others; whoever comes after a batch
/// of several is.
#[test]
fn only_what_had_company_waits_for_it() {
    let (open, gate) = mpsc::channel();
    let (batcher, encoder, _) = start(Batching { wait_ms: 600_000, ..settings() }, Some(gate));
    let ask = |text: &str| enqueue(&batcher, TextKind::Query, &[text]).unwrap();
    let mut answers = vec![ask("a")];
    drained(&batcher);
    answers.extend([ask("b"), ask("c")]);
    (0..2).for_each(|_| open.send(()).unwrap());
    drained(&batcher);
    drop(open);
    answers.extend([ask("dddddddd"), ask("eeeeeeeeeeee")]);
    answers.into_iter().for_each(|answer| assert!(answer.blocking_recv().unwrap().is_ok()));
    let batches = lock(&encoder.batches).clone();
    let expected: [&[&str]; 3] = [&["a"], &["b", "c"], &["dddddddd", "eeeeeeeeeeee"]];
    assert_eq!(batches, expected);
}

#[test]
fn without_joining_every_request_is_alone() {
    let (open, gate) = mpsc::channel();
    let (batcher, encoder, _) = start(Batching { join: Joining::Off, ..settings() }, Some(gate));
    let answers = ["a", "b", "c"].map(|text| enqueue(&batcher, TextKind::Query, &[text]).unwrap());
    (0..3).for_each(|_| open.send(()).unwrap());
    for answer in answers {
        answer.blocking_recv().unwrap().unwrap();
    }
    assert_eq!(lock(&encoder.batches).len(), 3);
}

#[test]
fn a_full_queue_refuses_and_who_has_gone_costs_nothing() {
    let (open, gate) = mpsc::channel();
    let (batcher, encoder, metrics) = start(settings(), Some(gate));
    let first = enqueue(&batcher, TextKind::Query, &["a"]).unwrap();
    drained(&batcher);
    let gone = enqueue(&batcher, TextKind::Query, &["b", "b", "b", "b"]).unwrap();
    let stays = enqueue(&batcher, TextKind::Query, &["c", "c"]).unwrap();
    let refused = enqueue(&batcher, TextKind::Query, &["d"]).unwrap_err();
    assert_eq!((refused.code, refused.retry_after), (Code::Overloaded, Some(Duration::from_secs(1))));
    assert_eq!(batcher.check_room(TextKind::Query).unwrap_err().code, Code::Overloaded);
    batcher.check_room(TextKind::Passage).unwrap();
    let counted = Counted::new(&*encoder, TextKind::Passage, vec!["late".to_owned()]).unwrap();
    let late = batcher.core.shared.enqueue(counted, Some(Instant::now())).unwrap();
    drop(gone);
    (0..4).for_each(|_| open.send(()).unwrap());
    first.blocking_recv().unwrap().unwrap();
    assert_eq!(stays.blocking_recv().unwrap().unwrap().rows.len(), 4);
    assert!(late.blocking_recv().is_err());
    assert_eq!(*lock(&encoder.batches), [vec!["a"], vec!["c", "c"]]);
    assert!(metrics.text(&[]).contains("revela_cancelled_total 2\n"));
    assert!(metrics.text(&[]).contains("revela_refused_total{queue=\"embed\"} 2\n"));
}

#[test]
fn what_would_wait_too_long_is_refused() {
    let (open, gate) = mpsc::channel();
    let (batcher, ..) = start(Batching { max_wait_ms: 1000, ..settings() }, Some(gate));
    batcher.core.shared.paces[0].measured(1, Duration::from_millis(300));
    let _held = enqueue(&batcher, TextKind::Query, &["a"]).unwrap();
    drained(&batcher);
    let _waits = enqueue(&batcher, TextKind::Query, &["bbbb"]).unwrap();
    let refused = enqueue(&batcher, TextKind::Query, &["c"]).unwrap_err();
    assert_eq!(refused.retry_after, Some(Duration::from_secs(2)));
    // Passages have more time.
    let _bulk = ["dddd", "e"].map(|text| enqueue(&batcher, TextKind::Passage, &[text]).unwrap());
    drop(open);
}

#[test]
fn one_bad_text_fails_alone_and_panics_are_survived() {
    let (open, gate) = mpsc::channel();
    let (batcher, ..) = start(settings(), Some(gate));
    let first = enqueue(&batcher, TextKind::Query, &["a"]).unwrap();
    drained(&batcher);
    let texts = ["b", "refuse", "panic"];
    let [fine, refused, panicked] = texts.map(|text| enqueue(&batcher, TextKind::Query, &[text]).unwrap());
    (0..9).for_each(|_| open.send(()).unwrap());
    first.blocking_recv().unwrap().unwrap();
    assert_eq!(fine.blocking_recv().unwrap().unwrap().rows, vector("b"));
    for answer in [refused, panicked] {
        assert_eq!(answer.blocking_recv().unwrap().unwrap_err().code, Code::Internal);
    }
    let embedder = batcher.blocking();
    assert_eq!(embedder.embed(TextKind::Passage, &["later"]).unwrap(), vector("later"));
}

#[test]
fn the_end_leaves_nobody_waiting() {
    let (open, gate) = mpsc::channel();
    let (batcher, ..) = start(settings(), Some(gate));
    let first = enqueue(&batcher, TextKind::Query, &["a"]).unwrap();
    drained(&batcher);
    let waits = enqueue(&batcher, TextKind::Query, &["b"]).unwrap();
    batcher.core.shared.ending.store(true, Ordering::Release);
    open.send(()).unwrap();
    drop(batcher);
    assert!(first.blocking_recv().is_ok());
    assert!(waits.blocking_recv().is_err());
}

proptest! {
    #[test]
    fn batches_keep_the_order_and_the_budget(
        jobs in proptest::collection::vec(proptest::collection::vec(1usize..30, 1..6), 1..8),
        budget in 1usize..40,
    ) {
        let mut lanes = Lanes::default();
        let mut answers = Vec::new();
        for costs in &jobs {
            let (reply, answer) = oneshot::channel();
            let texts = costs.iter().map(|cost| "x".repeat(*cost)).collect();
            let (kind, query, tokens) = (LaneKind::Queries, String::new(), costs.clone());
            let counted = Counted { kind, query, texts, tokens };
            lanes.push(Job::new(counted, None, reply));
            answers.push(answer);
        }
        let mut seen = Vec::new();
        while lanes.turn().is_some() {
            let taken = lanes.take(LaneKind::Queries, Room { tokens: budget, one_job: false });
            prop_assert!(taken.texts >= 1);
            prop_assert!(taken.tokens <= budget || taken.texts == 1);
            for (job, range) in taken.parts {
                seen.extend_from_slice(&job.counted.tokens[range]);
                if job.next < job.counted.texts.len() {
                    lanes.give_back(job);
                }
            }
        }
        prop_assert_eq!(seen, jobs.concat());
        prop_assert_eq!((lanes.texts(), lanes.lane(LaneKind::Queries).tokens), ([0; 3], 0));
    }
}
