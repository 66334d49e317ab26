//! `revela train`.

#![allow(rustdoc::broken_intra_doc_links, reason = "the documentation of the command is its help")]

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use revela_base::interrupt::Interrupted;
use revela_pipeline::train::{self, Watch};
use revela_train::config::RunConfig;
use revela_train::settings::{Settings, SettingsFile};
use revela_train::trainer::Outcome;

use super::say;
use crate::Context;
use crate::recipe::{self, Given};

/// Train a retriever, and the language model beside it, on groups of chunks
///
/// Stages follow each other. Settings come from three places: flags override a stage's own
/// settings in the configuration file, and these override the file's common ones; what none sets has
/// the default shown. The complete configuration is printed, and saved in the run's folder.
///
/// A configuration file is TOML with the flags' names (underscores for dashes), and may hold stages:
///
///   groups = "groups.jsonl"
///   lm = "base-lm"
///   out = "runs/first"
///
///   [[stage]]
///   name = "warm-up"
///   objective = "contrastive"
///   retriever_start = "lm"
///   minutes = 5
///
///   [[stage]]
///   name = "revela"
///   tau = 0.05
///   tau_end = 0.01
///   minutes = 30
///
/// Ctrl-C finishes the step, saves a checkpoint and says how to go on. What a run makes:
/// config.toml, log.jsonl, checkpoints/, stages/NAME/{encoder,lm}, and best/, the retriever with
/// the best held-out score (--eval-data), which may be the one it began with.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Train {
    /// Configuration file.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Go on with the run in this folder; its own configuration is used.
    #[arg(long, value_name = "RUN", conflicts_with = "config")]
    resume: Option<PathBuf>,
    /// Do everything from raw text, as a recipe says: its name (adapt) or a file. Needs --corpus, --encoder,
    /// --minutes and --out.
    #[arg(long, help_heading = "Recipes", conflicts_with_all = ["config", "resume"], requires_all = ["corpus", "encoder"])]
    recipe: Option<PathBuf>,
    /// The corpus of a recipe: a folder of code or text, or a file of JSON lines.
    #[arg(long, help_heading = "Recipes", requires = "recipe", value_name = "DIR_OR_JSONL")]
    corpus: Option<PathBuf>,
    /// The encoder that a recipe starts from.
    #[arg(long, help_heading = "Recipes", requires = "recipe", value_name = "DIR")]
    encoder: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(args: Train, context: &Context) -> Result<()> {
    match (&args.resume, &args.recipe) {
        (Some(run), _) => resume(run, &args.settings, context),
        (None, Some(recipe)) => recipe::run(&given(&args, recipe)?, context),
        (None, None) => start(&args, context),
    }
}

/// What a recipe is given; --eval-data is measured before and after, and decides nothing.
fn given(args: &Train, recipe: &Path) -> Result<Given> {
    let mut flags = args.settings.clone();
    let (Some(corpus), Some(encoder)) = (args.corpus.clone(), args.encoder.clone()) else {
        bail!("a recipe needs --corpus and --encoder");
    };
    let (Some(minutes), Some(out)) = (flags.minutes.take(), flags.out.take()) else {
        bail!("a recipe needs --minutes and --out");
    };
    let split = flags.eval_split.take().unwrap_or_else(|| "test".into());
    let measured = flags.eval_data.take().map(|data| (data, split));
    let lm = flags.lm.take();
    Ok(Given { recipe: recipe.to_owned(), corpus, encoder, lm, minutes, out, flags, measured })
}

fn start(args: &Train, context: &Context) -> Result<()> {
    let file = match &args.config {
        Some(path) => SettingsFile::read(path)?,
        None => SettingsFile::default(),
    };
    let settings = file.complete(&args.settings)?;
    let out = RunConfig::check(&settings)?.out;
    say(settings.to_toml()?)?;
    report(train::start(&settings, watch(context))?, &out)
}

fn resume(run: &Path, flags: &Settings, context: &Context) -> Result<()> {
    if flags != &Settings::default() {
        bail!("--resume goes on with the run's own configuration; start another run to change settings");
    }
    report(train::resume(run, watch(context))?, run)
}

fn watch(context: &Context) -> Watch<'_> {
    Watch { progress: &context.progress, interrupt: &context.interrupt, on_record: None }
}

fn report(outcome: Outcome, out: &Path) -> Result<()> {
    match outcome {
        Outcome::Finished { best: Some(best) } => {
            let from = if best.step == 0 {
                format!("the retriever that stage {} began with: training did not improve on it", best.stage)
            } else {
                format!("step {} of stage {}", best.step, best.stage)
            };
            say(format_args!("best held-out score {:.4}, of {from}", best.score))?;
            say(format_args!("it is in {}", out.join("best").display()))?;
        }
        Outcome::Finished { best: None } => {
            say(format_args!("the trained models are in {}", out.join("stages").display()))?
        }
        Outcome::Interrupted { stage, step } => {
            say(format_args!("stopped after step {step} of stage {stage}; everything is saved"))?;
            say(format_args!("go on with: revela train --resume {}", out.display()))?;
            return Err(Interrupted.into());
        }
    }
    Ok(())
}
