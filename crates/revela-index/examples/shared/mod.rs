//! What the measuring programs of `benches/peers/vector_search.py` have in common.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use cpu_time::ProcessTime;
use revela_index::vectors::{Vectors, npy};
use serde_json::{Value, json};

pub(crate) type Anything = Box<dyn std::error::Error>;

/// Hits per query.
pub(crate) const K: usize = 10;

/// A number of kilobytes that the system knows of this process.
fn kilobytes(name: &str) -> Result<u64, Anything> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.and_then(|line| line.split_whitespace().next()?.parse().ok()).ok_or("no such field")?)
}

/// Kilobytes that are resident, and those of them that belong to no file.
pub(crate) fn memory() -> Result<[u64; 2], Anything> {
    Ok([kilobytes("VmRSS")?, kilobytes("RssAnon")?])
}

/// Runs `work` and adds what it took, with the most kilobytes that were resident, to what it says.
pub(crate) fn timed(work: impl FnOnce() -> Result<Value, Anything>) -> Result<Value, Anything> {
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    let mut report = work()?;
    report["seconds"] = wall.elapsed().as_secs_f64().into();
    report["cpu_seconds"] = cpu.elapsed().as_secs_f64().into();
    report["largest_kb"] = kilobytes("VmHWM")?.into();
    Ok(report)
}

/// Opens with `open`, asks the first query, tells that it is answered, and asks a thousand more.
pub(crate) fn opened<S>(
    queries: &str,
    open: impl FnOnce() -> Result<S, Anything>,
    mut ask: impl FnMut(&mut S, &[f32]) -> Result<(), Anything>,
) -> Result<Value, Anything> {
    let queries = Vectors::read(Path::new(queries))?;
    let first = queries.view().get(0).ok_or("no queries")?;
    let before = memory()?;
    let start = Instant::now();
    let mut searcher = open()?;
    let opened = memory()?;
    ask(&mut searcher, first)?;
    let first_seconds = start.elapsed().as_secs_f64();
    println!("{}", json!({ "first": true }));
    let answered = memory()?;
    for query in queries.view().iter().cycle().take(1000) {
        ask(&mut searcher, query)?;
    }
    Ok(json!({
        "open_and_first_seconds": first_seconds,
        "kb_before_opened_first_thousand": [before, opened, answered, memory()?],
    }))
}

/// One point for each ef: recall, and queries per second of the wall's clock and of CPU time. The arguments are
/// QUERIES TRUTH EF,EF,.. THREADS SECONDS; `ask` gives the row numbers for all queries, in their order.
pub(crate) fn curve(
    arguments: &[String],
    ask: impl Fn(&Vectors, usize) -> Result<Vec<Vec<i32>>, Anything> + Sync,
) -> Result<Value, Anything> {
    let [queries, truth, efs, threads, seconds] = arguments else { return Err("five arguments".into()) };
    let (queries, truth) = (Vectors::read(Path::new(queries))?, npy::read_integers(Path::new(truth))?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build()?;
    let seconds: f64 = seconds.parse()?;
    let mut points = Vec::new();
    for ef in efs.split(',').map(str::parse::<usize>) {
        let ef = ef?;
        // An error crosses threads as a text.
        let ask = || pool.install(|| ask(&queries, ef).map_err(|error| error.to_string()));
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
