//! `revela eval compare`: whether one result is better than another.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use revela_eval::dataset::{Selection, UnknownIdPolicy};
use revela_eval::metrics::Metric;
use revela_eval::{CompareOptions, EvalResult, Pairs, QuerySets, compare, comparison_table};
use serde_json::Value;

use super::{WIDTH, page, task};
use crate::Context;
use crate::commands::Voice;
use crate::evaluation::HeldOut;

#[derive(Args)]
pub(super) struct Compare {
    /// Results that `revela eval --json` wrote; the others are compared with the first.
    #[arg(required = true, num_args = 2..)]
    results: Vec<PathBuf>,
    /// Metrics.
    #[arg(long, value_delimiter = ',', default_value = "ndcg@10")]
    metrics: Vec<Metric>,
    /// Compare on the queries that both results have, where these differ.
    #[arg(long)]
    intersect: bool,
    /// Write a page with charts and the queries on which the systems differ most; - is standard output.
    #[arg(long)]
    html: Option<PathBuf>,
}

pub(super) fn run(args: &Compare, context: &Context) -> Result<()> {
    let voice = Voice::beside(&args.html, context)?;
    let read = |path: &PathBuf| Ok((name_of(path), EvalResult::read(path)?));
    let results = args.results.iter().map(read).collect::<Result<Vec<_>>>()?;
    let named: Vec<(&str, &EvalResult)> =
        results.iter().map(|(name, result)| (name.as_str(), result)).collect();
    let queries = if args.intersect { QuerySets::Intersect } else { QuerySets::MustMatch };
    let options = CompareOptions { queries, pairs: Pairs::WithFirst, ..CompareOptions::default() };
    let table = comparison_table(&compare(&named, &args.metrics, &options)?);
    if let Some(path) = &args.html {
        let texts = named.first().and_then(|(_, first)| texts(first, context));
        page::of_comparison(&named, &args.metrics, &table, texts.as_ref())?.write(path)?;
    }
    voice.say(table.to_text(WIDTH))?;
    Ok(())
}

/// The collection that a result names, if it is still there.
fn texts(result: &EvalResult, context: &Context) -> Option<HeldOut> {
    let setting = |name: &str| result.settings.get(name).and_then(Value::as_str).map(str::to_owned);
    let selection = Selection { split: setting("split")?, subset: setting("subset"), ..Selection::default() };
    let (progress, interrupt) = (&context.progress, &context.interrupt);
    let data = task::folder(Path::new(&setting("data")?));
    let loaded = HeldOut::load(&data, &selection, UnknownIdPolicy::Report, Vec::new(), progress, interrupt);
    loaded.inspect_err(|error| context.progress.line(&format!("the page will show no texts: {error:#}"))).ok()
}

/// What a result is called: its file's name without the ending.
pub(super) fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
