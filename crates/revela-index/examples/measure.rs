//! What `benches/peers/vector_search.py` asks of this project: builds a collection, measures what opening it
//! costs, or its curve of recall against speed. Small enough to be measured without the model crates.
//!
//! ```text
//! cargo build --release -p revela-index --example measure
//! measure build BASE COLLECTION [key=value ..]
//! measure open COLLECTION QUERIES
//! measure curve COLLECTION QUERIES TRUTH EF,EF,.. THREADS SECONDS
//! ```
//!
//! The keys are m, ef_construction, dtype (f32, f16), coding (int8, none), structure (auto, flat, graph) and
//! order (parallel, serial). Each prints one line of JSON; `open` prints another one before, as soon as it has
//! the first answer.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use cpu_time::ProcessTime;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::vectors::{RowReader, Vectors, npy};
use revela_index::{Collection, CollectionBuilder, Effort, RowSearcher, VectorOptions, search_rows};
use serde_json::{Value, json};

type Anything = Box<dyn std::error::Error>;

/// Hits per query.
const K: usize = 10;

/// Options as they are written on the command line.
fn options(words: &[String]) -> Result<VectorOptions, Anything> {
    let mut value = serde_json::to_value(VectorOptions::default())?;
    for word in words {
        let (key, text) = word.split_once('=').ok_or("options are key=value")?;
        let given = text.parse::<u32>().map_or_else(|_| text.into(), Value::from);
        let key = key.replace('_', "-");
        let place = if value.get(&key).is_some() { &mut value } else { &mut value["graph"] };
        let place = place.get_mut(&key).ok_or_else(|| format!("there is no option {key}"))?;
        *place = given;
    }
    Ok(serde_json::from_value(value)?)
}

fn build(base: &str, path: &str, words: &[String]) -> Result<Value, Anything> {
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    let mut rows = RowReader::open(Path::new(base))?;
    let builder = CollectionBuilder::new(Path::new(path)).vectors(options(words)?);
    let built = builder.build_from_vectors(&mut rows, None, &Silent, &Interrupt::new())?;
    let bytes = built.info().vector_bytes;
    Ok(json!({
        "seconds": wall.elapsed().as_secs_f64(),
        "cpu_seconds": cpu.elapsed().as_secs_f64(),
        "bytes_per_vector": bytes as f64 / built.len().max(1) as f64,
    }))
}

/// Kilobytes that are resident, and those of them that belong to no file.
fn memory() -> Result<[u64; 2], Anything> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).ok_or("no such field")
    };
    Ok([field("VmRSS:")?, field("RssAnon:")?])
}

fn open(path: &str, queries: &str) -> Result<Value, Anything> {
    let queries = Vectors::read(Path::new(queries))?;
    let first = queries.view().get(0).ok_or("no queries")?;
    let before = memory()?;
    let start = Instant::now();
    let collection = Collection::open(Path::new(path))?;
    let opened = memory()?;
    let mut searcher = RowSearcher::new(&collection);
    searcher.search(first, K, Effort::Ef(64))?;
    let first_seconds = start.elapsed().as_secs_f64();
    println!("{}", json!({ "first": true }));
    let answered = memory()?;
    for query in queries.view().iter().cycle().take(1000) {
        searcher.search(query, K, Effort::Ef(64))?;
    }
    Ok(json!({
        "open_and_first_seconds": first_seconds,
        "kb_before_opened_first_thousand": [before, opened, answered, memory()?],
    }))
}

/// One point for each ef: recall, and queries per second of the wall's clock and of CPU time.
fn curve(arguments: &[String]) -> Result<Value, Anything> {
    let [path, queries, truth, efs, threads, seconds] = arguments else { return Err("six arguments".into()) };
    let collection = Collection::open(Path::new(path))?;
    let (queries, truth) = (Vectors::read(Path::new(queries))?, npy::read_integers(Path::new(truth))?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build()?;
    let seconds: f64 = seconds.parse()?;
    let mut points = Vec::new();
    for ef in efs.split(',').map(str::parse::<usize>) {
        let effort = Effort::Ef(ef?);
        let ask = || pool.install(|| search_rows(&collection, &queries, K, effort));
        let found = ask()?;
        let hits = found.iter().zip(truth.iter()).map(|(found, truth)| {
            found.iter().filter(|row| truth.iter().take(K).any(|other| other == *row)).count()
        });
        let recall = hits.sum::<usize>() as f64 / (K * queries.len()) as f64;
        let (wall, cpu, mut asked) = (Instant::now(), ProcessTime::now(), 0);
        while asked == 0 || cpu.elapsed().as_secs_f64() < seconds {
            ask()?;
            asked += queries.len();
        }
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
        points.push(json!([recall, asked as f64 / wall, asked as f64 / cpu]));
    }
    Ok(json!(points))
}

fn main() -> Result<(), Anything> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = match words.as_slice() {
        ["build", base, path, ..] => build(base, path, &arguments[3..])?,
        ["open", path, queries] => open(path, queries)?,
        ["curve", ..] => curve(&arguments[1..])?,
        _ => return Err("usage: measure build|open|curve ..; see the top of examples/measure.rs".into()),
    };
    println!("{report}");
    Ok(())
}
