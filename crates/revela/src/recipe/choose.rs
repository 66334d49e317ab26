//! Which retriever is kept: the one that training began with, the trained one, or one between them.
//!
//! Between: weights averaged in a straight line (Wortsman et al., arXiv:2109.01903), which keeps what the start
//! knew of other questions than those trained on.

use std::path::Path;

use anyhow::{Context as _, Result};
use revela_base::artifact::IfExists;
use revela_eval::metrics::Metric;
use revela_eval::{CompareOptions, Comparison, EvalResult, compare, comparison_table};
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::params::interpolate;
use revela_model::weights::Precision;

use super::file::Recipe;
use crate::Context;
use crate::commands::say;
use crate::evaluation::{HeldOut, TrainingScore};

/// Where the last stage leaves its retriever.
fn trained(run: &Path, recipe: &Recipe) -> Option<std::path::PathBuf> {
    Some(run.join("stages").join(&recipe.stage.last()?.name).join("encoder"))
}

/// Whether training came to its end.
pub(super) fn is_trained(run: &Path, recipe: &Recipe) -> bool {
    trained(run, recipe).is_some_and(|dir| dir.exists())
}

fn open(dir: &Path) -> Result<Encoder> {
    Ok(Encoder::open(dir, Precision::F32, &DeviceChoice::Cpu.open()?)?)
}

/// Writes the best retriever by the held-out collection to `best`: the start, unless one on the way to the trained
/// retriever is better by more than chance. Returns what was chosen, in words.
pub(super) fn choose(
    start: &Path,
    run: &Path,
    recipe: &Recipe,
    best: &Path,
    score: &TrainingScore,
    context: &Context,
) -> Result<String> {
    let trained = trained(run, recipe).context("the recipe has no stage")?;
    let (start, end) = (open(start)?, open(&trained)?);
    let before = score.result(&start, &context.progress, &context.interrupt)?;
    let mut found: Option<(f64, Comparison)> = None;
    for &weight in &recipe.blend {
        context.interrupt.check()?;
        let after = score.result(&between(&start, &end, weight)?, &context.progress, &context.interrupt)?;
        let row = comparison(&before, &after, score.metric())?;
        context.progress.line(&format!("held-out, {weight} of the way: {}", in_words(&row)));
        if found.as_ref().is_none_or(|(_, best)| row.difference.mean > best.difference.mean) {
            found = Some((weight, row));
        }
    }
    let (weight, row) = found.context("the recipe has nothing to choose from")?;
    let is_better = row.difference.low > 0.0;
    between(&start, &end, if is_better { weight } else { 0.0 })?.save(
        best,
        Precision::F32,
        IfExists::Replace,
    )?;
    let place = best.display();
    Ok(match is_better {
        true => format!("kept {weight} of the way from the start to the trained retriever: {place}"),
        false => format!("what held-out chunks ask shows no gain beyond chance: the start is kept: {place}"),
    })
}

fn comparison(before: &EvalResult, after: &EvalResult, metric: Metric) -> Result<Comparison> {
    let systems = [("before", before), ("after", after)];
    let rows = compare(&systems, &[metric], &CompareOptions::default())?;
    rows.into_iter().next().context("nothing was compared")
}

fn in_words(row: &Comparison) -> String {
    let [mean, low, high] = [row.difference.mean, row.difference.low, row.difference.high].map(|x| 100.0 * x);
    format!("{} {mean:+.2} [{low:+.2}, {high:+.2}]", row.metric)
}

/// The retriever that stands so far between two, under the contract of the first: how long texts were in training
/// says nothing of how long those are that are searched.
fn between(start: &Encoder, end: &Encoder, weight: f64) -> Result<Encoder> {
    let model = interpolate(start.model.clone(), &end.model, weight)
        .map_err(|name| anyhow::anyhow!("the trained retriever has no parameter {name}"))?;
    Ok(Encoder::new(model, start.tokenizer.clone(), start.contract.clone())?)
}

/// Prints what a collection says of the start and of what was kept.
pub(super) fn measure(start: &Path, best: &Path, data: &Path, split: &str, context: &Context) -> Result<()> {
    let metrics = vec![Metric::NDCG_10, Metric::RECALL_100];
    let data = HeldOut::open(data, split, metrics, &context.progress, &context.interrupt)?;
    let result = |dir: &Path| -> Result<EvalResult> {
        let rankings = data.dense(&open(dir)?, &context.progress, &context.interrupt)?;
        Ok(EvalResult::new(data.evaluate(&data.run(&rankings)?)?, Default::default()))
    };
    let (before, after) = (result(start)?, result(best)?);
    let systems = [("before", &before), ("after", &after)];
    let rows = compare(&systems, &[Metric::NDCG_10], &CompareOptions::default())?;
    say(comparison_table(&rows).to_text(120))?;
    Ok(())
}
