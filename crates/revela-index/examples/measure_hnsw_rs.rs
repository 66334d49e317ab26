//! What `examples/measure.rs` does, with hnsw_rs's own index, file and search: full vectors, and a distance that is
//! compiled for AVX-512 or AVX2 where the machine has them, as its own is not unless it is built with a nightly compiler.
//!
//! ```text
//! cargo build --release -p revela-index --example measure_hnsw_rs
//! measure_hnsw_rs build BASE FOLDER
//! measure_hnsw_rs open FOLDER QUERIES
//! measure_hnsw_rs curve FOLDER QUERIES TRUTH EF,EF,.. THREADS SECONDS
//! ```
#![allow(clippy::print_stdout, unsafe_code)]

use std::path::Path;

use hnsw_rs::api::AnnT;
use hnsw_rs::hnswio::HnswIo;
use hnsw_rs::prelude::{Distance, Hnsw};
use rayon::prelude::*;
use revela_index::vectors::Vectors;
use serde_json::{Value, json};

use shared::{Anything, K};

mod shared;

const NAME: &str = "vectors";
const M: usize = 16;
const EF_CONSTRUCTION: usize = 200;
const LEVELS: usize = 16;

/// One minus the dot product. hnsw_rs ends the process for negative distances.
#[derive(Clone, Default)]
struct Far;

impl Distance<f32> for Far {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

#[inline(always)]
fn lanes(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 64;
    let mut sums = [0.0f32; LANES];
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for (sum, (x, y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = x.mul_add(*y, *sum);
        }
    }
    sums.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum::<f32>()
}

#[cfg(target_arch = "x86_64")]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    #[target_feature(enable = "avx512f,fma")]
    fn avx512(a: &[f32], b: &[f32]) -> f32 {
        lanes(a, b)
    }
    #[target_feature(enable = "avx2,fma")]
    fn avx2(a: &[f32], b: &[f32]) -> f32 {
        lanes(a, b)
    }
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just detected; machines with it have FMA.
        unsafe { avx512(a, b) }
    } else if is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2") {
        // SAFETY: the features were just detected.
        unsafe { avx2(a, b) }
    } else {
        lanes(a, b)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    lanes(a, b)
}

fn build(base: &str, folder: &str) -> Result<Value, Anything> {
    shared::timed(|| {
        let rows = Vectors::read(Path::new(base))?;
        let points: Vec<(&[f32], usize)> = rows.view().iter().zip(0..).collect();
        let graph = Hnsw::<f32, Far>::new(M, rows.len(), LEVELS, EF_CONSTRUCTION, Far);
        graph.parallel_insert_slice(&points);
        std::fs::create_dir_all(folder)?;
        graph.file_dump(Path::new(folder), NAME)?;
        let sizes = std::fs::read_dir(folder)?.map(|file| Ok(file?.metadata()?.len()));
        let bytes: u64 = sizes.sum::<Result<u64, std::io::Error>>()?;
        Ok(json!({ "bytes_per_vector": bytes as f64 / rows.len() as f64 }))
    })
}

/// The graph borrows from what reads it, which therefore lives as long as the program.
fn load(folder: &str) -> Result<Hnsw<'static, f32, Far>, Anything> {
    let file: &'static HnswIo = Box::leak(Box::new(HnswIo::new(Path::new(folder), NAME)));
    Ok(file.load_hnsw_with_dist(Far)?)
}

fn open(folder: &str, queries: &str) -> Result<Value, Anything> {
    shared::opened(
        queries,
        || load(folder),
        |graph, query| {
            graph.search(query, K, 64);
            Ok(())
        },
    )
}

fn curve(arguments: &[String]) -> Result<Value, Anything> {
    let (folder, rest) = arguments.split_first().ok_or("no folder")?;
    let graph = load(folder)?;
    shared::curve(rest, |queries, ef| {
        let ask = |query: &[f32]| graph.search(query, K, ef).iter().map(|hit| hit.d_id as i32).collect();
        Ok(queries.view().data().par_chunks(queries.dim()).map(ask).collect())
    })
}

fn main() -> Result<(), Anything> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = match words.as_slice() {
        ["build", base, folder] => build(base, folder)?,
        ["open", folder, queries] => open(folder, queries)?,
        ["curve", ..] => curve(&arguments[1..])?,
        _ => return Err("usage: measure_hnsw_rs build|open|curve ..; see the top of its source".into()),
    };
    println!("{report}");
    Ok(())
}
