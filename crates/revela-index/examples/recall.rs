//! Builds a collection from vectors, compares it with exact search, and prints the curve of recall against
//! speed as JSON, with what building took. Small enough to be measured without the model crates.
//!
//! `cargo run --release -p revela-index --example recall -- BASE QUERIES COLLECTION [key=value ..]`, where the
//! keys are m, ef_construction, dtype (f32, f16), coding (int8, none), structure (auto, flat, graph) and
//! order (parallel, serial). A collection that is there already is measured as it is.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use cpu_time::ProcessTime;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::bench::{self, BenchOptions};
use revela_index::vectors::{RowReader, Vectors};
use revela_index::{Collection, CollectionBuilder, Effort, VectorOptions, search_rows};

type Anything = Box<dyn std::error::Error>;

/// Options as they are written on the command line.
fn options(words: &[String]) -> Result<VectorOptions, Anything> {
    let mut value = serde_json::to_value(VectorOptions::default())?;
    for word in words {
        let (key, text) = word.split_once('=').ok_or("options are key=value")?;
        let given = text.parse::<u32>().map_or_else(|_| text.into(), serde_json::Value::from);
        let place = if value.get(key).is_some() { &mut value } else { &mut value["graph"] };
        let place = place.get_mut(key).ok_or_else(|| format!("there is no option {key}"))?;
        *place = given;
    }
    Ok(serde_json::from_value(value)?)
}

fn main() -> Result<(), Anything> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, queries, path, words @ ..] = arguments.as_slice() else {
        return Err("usage: recall BASE QUERIES COLLECTION [key=value ..]".into());
    };
    let (path, interrupt) = (Path::new(path), Interrupt::new());
    let mut build = None;
    if !path.join("manifest.jsonl").exists() {
        let (wall, cpu) = (Instant::now(), ProcessTime::now());
        let mut rows = RowReader::open(Path::new(base))?;
        let builder = CollectionBuilder::new(path).vectors(options(words)?);
        builder.build_from_vectors(&mut rows, None, &Silent, &interrupt)?;
        build = Some((wall.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64()));
    }
    let start = Instant::now();
    let collection = Collection::open(path)?;
    let queries = Vectors::read(Path::new(queries))?;
    let opened = start.elapsed().as_secs_f64();
    let truth = search_rows(&collection, &queries, 10, Effort::Exact)?;
    let points = bench::run(&collection, &queries, &truth, &BenchOptions::default(), &interrupt)?;
    let report = serde_json::json!({
        "instruction_set": revela_index::instruction_set(),
        "build_seconds": build.map(|(wall, _)| wall),
        "build_cpu_seconds": build.map(|(_, cpu)| cpu),
        "open_seconds": opened,
        "collection": collection.info(),
        "points": points,
    });
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
