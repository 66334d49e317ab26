//! Recall against speed, of one thread that is given many queries at a time (see [`RowSearcher::search_many`]).

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use revela_base::interrupt::Interrupt;
use revela_search::Effort;
use serde::{Deserialize, Serialize};

use crate::collection::Collection;
use crate::error::Error;
use crate::rows::RowSearcher;
use crate::vectors::Vectors;
use crate::vectors::npy::Integers;

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchOptions {
    /// Hits per query, of which recall counts.
    pub k: usize,
    /// Candidates kept by walks, one point of the curve each.
    pub efs: Vec<usize>,
    /// CPU time that each point is measured for at least; all queries are asked at least once.
    pub at_least: Duration,
}

impl Default for BenchOptions {
    fn default() -> Self {
        let efs = vec![8, 16, 32, 64, 128, 256, 512];
        Self { k: 10, efs, at_least: Duration::from_secs(1) }
    }
}

/// One point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BenchPoint {
    /// Candidates kept by walks.
    pub ef: usize,
    /// Share of the true nearest that were found, 0 to 1.
    pub recall: f64,
    /// By the clock on the wall.
    pub queries_per_second: f64,
    /// By the CPU time of the thread, which other work on the machine disturbs less.
    pub queries_per_cpu_second: f64,
}

/// Measures each ef on the calling thread. `truth` holds for each query the numbers of its nearest rows,
/// best first, at least `k`.
///
/// # Errors
/// [`Error::Shape`] when the truth does not fit the queries, [`Error::Option`] for no queries, and as
/// [`RowSearcher::search`].
pub fn run(
    collection: &Collection,
    queries: &Vectors,
    truth: &Integers,
    options: &BenchOptions,
    interrupt: &Interrupt,
) -> Result<Vec<BenchPoint>, Error> {
    if truth.len() != queries.len() || truth.columns() < options.k {
        let (rows, columns) = (truth.len(), truth.columns());
        let detail = format!(
            "it has {rows} rows of {columns} where {} queries need {} each",
            queries.len(),
            options.k
        );
        return Err(Error::Shape { what: "the truth".to_owned(), detail });
    }
    if queries.is_empty() {
        let rule = "at least one is needed to measure";
        return Err(Error::Option { option: "queries", value: "0".to_owned(), rule });
    }
    let mut searcher = RowSearcher::new(collection);
    let mut measure = |&ef: &usize| {
        interrupt.check()?;
        // The first pass also brings pages and memory in.
        let recall = recall(&mut searcher, queries, truth, options.k, ef)?;
        let (rounds, wall, cpu) = time(&mut searcher, queries, options, ef)?;
        let asked = (rounds * queries.len()) as f64;
        Ok(BenchPoint {
            ef,
            recall,
            queries_per_second: asked / wall.as_secs_f64().max(1e-9),
            queries_per_cpu_second: asked / cpu.as_secs_f64().max(1e-9),
        })
    };
    options.efs.iter().map(&mut measure).collect()
}

fn recall(
    searcher: &mut RowSearcher<'_>,
    queries: &Vectors,
    truth: &Integers,
    k: usize,
    ef: usize,
) -> Result<f64, Error> {
    let mut found = 0;
    searcher.search_many(queries.view(), k, Effort::Ef(ef), |query, hits| {
        let nearest = truth.iter().nth(query).and_then(|truth| truth.get(..k)).unwrap_or_default();
        found += hits.iter().filter(|hit| nearest.iter().any(|&row| i64::from(row) == hit.id as i64)).count();
    })?;
    Ok(found as f64 / (k * queries.len()) as f64)
}

/// Asks all queries, again and again, until enough CPU time is spent.
fn time(
    searcher: &mut RowSearcher<'_>,
    queries: &Vectors,
    options: &BenchOptions,
    ef: usize,
) -> Result<(usize, Duration, Duration), Error> {
    let (wall, cpu) = (Instant::now(), ThreadTime::now());
    let mut rounds = 0;
    while rounds == 0 || cpu.elapsed() < options.at_least {
        searcher.search_many(queries.view(), options.k, Effort::Ef(ef), |_, _| ())?;
        rounds += 1;
    }
    Ok((rounds, wall.elapsed(), cpu.elapsed()))
}
