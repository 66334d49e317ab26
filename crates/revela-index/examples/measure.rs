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

use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::vectors::RowReader;
use revela_index::{Collection, CollectionBuilder, Effort, RowSearcher, VectorOptions, search_rows};
use serde_json::{Value, json};

use shared::{Anything, K};

mod shared;

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
    shared::timed(|| {
        let mut rows = RowReader::open(Path::new(base))?;
        let builder = CollectionBuilder::new(Path::new(path)).vectors(options(words)?);
        let built = builder.build_from_vectors(&mut rows, None, &Silent, &Interrupt::new())?;
        let bytes = built.info().vector_bytes;
        Ok(json!({ "bytes_per_vector": bytes as f64 / built.len().max(1) as f64 }))
    })
}

fn open(path: &str, queries: &str) -> Result<Value, Anything> {
    // The searcher borrows the collection, which therefore lives as long as the program.
    let open = || Ok(RowSearcher::new(Box::leak(Box::new(Collection::open(Path::new(path))?))));
    shared::opened(queries, open, |searcher, query| {
        searcher.search(query, K, Effort::Ef(64))?;
        Ok(())
    })
}

fn curve(arguments: &[String]) -> Result<Value, Anything> {
    let (path, rest) = arguments.split_first().ok_or("no collection")?;
    let collection = Collection::open(Path::new(path))?;
    shared::curve(rest, |queries, ef| {
        let found = search_rows(&collection, queries, K, Effort::Ef(ef))?;
        Ok(found.iter().map(<[i32]>::to_vec).collect())
    })
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
