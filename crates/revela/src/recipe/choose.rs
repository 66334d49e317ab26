//! Which retriever is kept: the one that training began with, the trained one, or one between them.
//!
//! Between: weights averaged in a straight line (Wortsman et al., arXiv:2109.01903), which keeps what the start
//! knew of other questions than those trained on.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use revela_base::artifact::IfExists;
use revela_eval::{CompareOptions, EvalResult, compare, comparison_table};
use revela_eval::metrics::Metric;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::params::interpolate;
use revela_model::weights::Precision;
use revela_train::trainer::Evaluator as _;

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

/// Writes the best retriever by the held-out collection to `best`. Returns what was chosen, in words.
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
    let of = |encoder: &Encoder| score.score(encoder).map_err(|e| anyhow::anyhow!(e));
    let mut kept = (of(&start)?, 0.0);
    let mut table = format!("held-out {}: start {:.2}", score.metric(), 100.0 * kept.0);
    for &weight in &recipe.blend {
        context.interrupt.check()?;
        let found = of(&between(&start, &end, weight)?)?;
        let _ = write!(table, ", {weight} trained {:.2}", 100.0 * found);
        if found > kept.0 {
            kept = (found, weight);
        }
    }
    context.progress.line(&table);
    between(&start, &end, kept.1)?.save(best, Precision::F32, IfExists::Replace)?;
    Ok(match kept.1 {
        0.0 => format!("training did not improve on the start, which is kept: {}", best.display()),
        weight => format!("kept {weight} of the way from the start to the trained retriever: {}", best.display()),
    })
}

/// The retriever that stands so far between two.
fn between(start: &Encoder, end: &Encoder, weight: f64) -> Result<Encoder> {
    let model = interpolate(start.model.clone(), &end.model, weight)
        .map_err(|name| anyhow::anyhow!("the trained retriever has no parameter {name}"))?;
    Ok(Encoder::new(model, end.tokenizer.clone(), end.contract.clone())?)
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
