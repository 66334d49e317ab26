//! `revela eval average`: a benchmark's figure from those of its tasks, beside published ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use revela_eval::metrics::Metric;
use revela_eval::{Best, Cell, Column, EvalResult, Table, catalog};

use super::WIDTH;
use crate::commands::say;

#[derive(Args)]
pub(super) struct Average {
    /// Results of one system that `revela eval --task NAME --json` wrote, one for each task or part.
    #[arg(required = true)]
    results: Vec<PathBuf>,
    /// The metric.
    #[arg(long, default_value = "ndcg@10")]
    metric: Metric,
    /// What the system is called in the table.
    #[arg(long, default_value = "measured")]
    name: String,
}

pub(super) fn run(args: &Average) -> Result<()> {
    let mut benchmarks: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for path in &args.results {
        let (benchmark, key, value) = read(path, args.metric)?;
        if benchmarks.entry(benchmark).or_default().insert(key.clone(), value).is_some() {
            bail!("{}: another result of {key} was given before", path.display());
        }
    }
    for (benchmark, values) in benchmarks {
        say(table(&benchmark, &values, args)?.to_text(WIDTH))?;
    }
    Ok(())
}

/// The benchmark, the task or `TASK/PART`, and the value.
fn read(path: &Path, metric: Metric) -> Result<(String, String, f64)> {
    let result = EvalResult::read(path)?;
    let setting = |name: &str| result.settings.get(name).and_then(|value| value.as_str());
    let name = setting("task")
        .with_context(|| format!("{} names no task; measure with --task NAME", path.display()))?;
    let task = catalog::task(name)?;
    let key = setting("part").map_or_else(|| name.to_owned(), |part| format!("{name}/{part}"));
    let value =
        result.metrics.get(&metric).copied().with_context(|| {
            format!("{} has no {metric}; measure with --metrics {metric}", path.display())
        })?;
    Ok((task.benchmark, key, value))
}

fn table(benchmark: &str, values: &BTreeMap<String, f64>, args: &Average) -> Result<Table> {
    let (mean, missing) = catalog::benchmark_mean(benchmark, values)?;
    let heads = [benchmark.to_owned(), args.metric.to_string(), "from".to_owned()];
    let mut table = Table::new(heads.map(|head| Column::new(head, Best::NotMarked)));
    for (key, value) in values {
        table.push([Cell::text(key), Cell::percent(*value), Cell::text("measured here")]);
    }
    let all = catalog::tasks()?.iter().filter(|task| task.benchmark == benchmark).count();
    let from = match missing.len() {
        0 => format!("measured here, mean of all {all} tasks"),
        gaps => {
            format!("measured here, mean of {} of {all} tasks: not comparable with means of all", all - gaps)
        }
    };
    if let Some(mean) = mean {
        table.push([Cell::text(&args.name), Cell::percent(mean), Cell::text(from)]);
    }
    for (source, system, value) in catalog::figures(benchmark, None, args.metric)? {
        table.push([Cell::text(system), Cell::percent(value), Cell::text(format!("published: {source}"))]);
    }
    Ok(table)
}
