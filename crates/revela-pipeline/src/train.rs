//! Training with a held-out score.

use std::path::Path;

use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_train::config::RunConfig;
use revela_train::log::Record;
use revela_train::settings::SettingsFile;
use revela_train::trainer::{CONFIG, Evaluator, Outcome, Trainer};

use crate::error::Result;
use crate::evaluation::{HeldOut, TrainingScore};

/// What watches a run.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Is told of steps.
    pub progress: &'a dyn Progress,
    /// Stops the run after a step.
    pub interrupt: &'a Interrupt,
    /// Is given every record of the log when it is written.
    pub on_record: Option<&'a dyn Fn(&Record)>,
}

/// Starts a run; `settings` are complete. An interruption is an outcome, not an error: everything is saved.
///
/// # Errors
/// As [`Trainer::start`] and [`Trainer::run`], and for a held-out collection that cannot be read.
pub fn start(settings: &SettingsFile, watch: Watch<'_>) -> Result<Outcome> {
    let score = score(&RunConfig::check(settings)?, watch)?;
    let evaluator = score.as_ref().map(|score| score as &dyn Evaluator);
    run(Trainer::start(settings, evaluator, watch.progress, watch.interrupt)?, watch)
}

/// Goes on with the run in this folder, by its own configuration.
///
/// # Errors
/// As [`Trainer::resume`] and [`Trainer::run`], and for a held-out collection that cannot be read.
pub fn resume(dir: &Path, watch: Watch<'_>) -> Result<Outcome> {
    let score = score(&RunConfig::check(&SettingsFile::read(&dir.join(CONFIG))?)?, watch)?;
    let evaluator = score.as_ref().map(|score| score as &dyn Evaluator);
    run(Trainer::resume(dir, evaluator, watch.progress, watch.interrupt)?, watch)
}

fn run<'a>(trainer: Trainer<'a>, watch: Watch<'a>) -> Result<Outcome> {
    let trainer = match watch.on_record {
        Some(on_record) => trainer.on_record(on_record),
        None => trainer,
    };
    Ok(trainer.run()?)
}

/// What decides which retriever is kept.
fn score(config: &RunConfig, watch: Watch<'_>) -> Result<Option<TrainingScore>> {
    let Some(evaluation) = &config.evaluation else { return Ok(None) };
    let metrics = vec![evaluation.metric.parse()?];
    let (data, split) = (&evaluation.data, &evaluation.split);
    let held_out = HeldOut::open(data, split, metrics, watch.progress, watch.interrupt)?;
    Ok(Some(TrainingScore::new(held_out)?))
}
