//! `revela train --recipe`: from a corpus to a retriever in one command.

mod choose;
mod file;
mod held_out;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use revela_base::file::{DirLock, write_atomic};
use revela_base::interrupt::Interrupted;
use revela_base::progress::Progress;
use revela_base::seed::Seed;
use revela_index::bm25::Analyser;
use revela_index::grouping::{COPY, Grouping, Policy};
use revela_text::QualityConfig;
use revela_text::{
    BadInput, Chunk, ChunkWriter, Chunker, ChunkerConfig, Documents, Format, SourceConfig, SourceKind,
    detect_format,
};
use revela_train::settings::Settings;
use revela_train::trainer::{CONFIG, Outcome, Trainer};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::commands::data::write_groups;
use crate::commands::say;
use crate::commands::teach::{self, Teach};
use crate::evaluation::{HeldOut, TrainingScore};
use file::Recipe;

/// What a recipe is given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// The recipe's name or file.
    pub(crate) recipe: PathBuf,
    /// A folder of code or text, or a file of JSON lines.
    pub(crate) corpus: PathBuf,
    /// Where training starts.
    pub(crate) encoder: PathBuf,
    /// What teaches, where the recipe asks for that.
    pub(crate) lm: Option<PathBuf>,
    /// All of it.
    pub(crate) minutes: f64,
    /// What is written.
    pub(crate) out: PathBuf,
    /// Overrides of training.
    pub(crate) flags: Settings,
    /// A collection to measure before and after; nothing is chosen by it.
    pub(crate) measured: Option<(PathBuf, String)>,
}

/// What a folder was begun with; going on with other settings is refused.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    format: String,
    version: u32,
    corpus: PathBuf,
    encoder: PathBuf,
    lm: Option<PathBuf>,
    minutes: f64,
    seed: u64,
    recipe: Recipe,
}

const PLAN: &str = "recipe.toml";
const FORMAT: &str = "revela.recipe-run";
const VERSION: u32 = 1;

/// The folders of a run.
struct Paths<'a>(&'a Path);

impl Paths<'_> {
    fn held_out(&self) -> PathBuf {
        self.0.join("held-out")
    }
    fn chunks(&self) -> PathBuf {
        self.0.join("chunks.jsonl")
    }
    fn groups(&self) -> PathBuf {
        self.0.join("groups.jsonl")
    }
    fn taught(&self) -> PathBuf {
        self.0.join("taught")
    }
    fn training(&self) -> PathBuf {
        self.0.join("training")
    }
    fn best(&self) -> PathBuf {
        self.0.join("best")
    }
}

/// Does all of a recipe, or goes on with it.
pub(crate) fn run(given: &Given, context: &Context) -> Result<()> {
    if !(given.minutes > 0.0 && given.minutes.is_finite()) {
        bail!("--minutes {} is impossible; it must be positive", given.minutes);
    }
    let recipe = Recipe::read(&given.recipe)?;
    if recipe.teach.is_some() && given.lm.is_none() {
        bail!("this recipe asks a language model; name one with --lm");
    }
    let _lock = DirLock::acquire(&given.out)?;
    let seed = begin(given, &recipe)?;
    let paths = Paths(&given.out);
    prepare(given, &recipe, &paths, seed, context)?;
    let (groups, targets) = ask_teacher(given, &recipe, &paths, seed, context)?;
    let held_out = open_held_out(&paths, context)?;
    train(given, &recipe, &paths, (groups, targets), &held_out, context)?;
    let choice =
        choose::choose(&given.encoder, &paths.training(), &recipe, &paths.best(), &held_out, context)?;
    say(choice)?;
    if let Some((data, split)) = &given.measured {
        choose::measure(&given.encoder, &paths.best(), data, split, context)?;
    }
    Ok(())
}

/// Writes down what is asked for, or checks that it is what the folder was begun with. Returns the seed.
fn begin(given: &Given, recipe: &Recipe) -> Result<Seed> {
    let absolute = |path: &Path| std::path::absolute(path).context("cannot find the current folder");
    let seed = given.flags.seed.unwrap_or(42);
    let plan = Plan {
        format: FORMAT.into(),
        version: VERSION,
        corpus: absolute(&given.corpus)?,
        encoder: given.encoder.clone(),
        lm: given.lm.clone(),
        minutes: given.minutes,
        seed,
        recipe: recipe.clone(),
    };
    let path = given.out.join(PLAN);
    if path.exists() {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let found: Plan = toml::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        if found != plan {
            bail!(
                "{} was begun with other settings; repeat them, or choose another folder",
                given.out.display()
            );
        }
        return Ok(Seed(seed));
    }
    let text = toml::to_string(&plan)?;
    write_atomic(&path, |out| out.write_all(text.as_bytes()))?;
    Ok(Seed(seed))
}

/// Cuts the corpus, holds some of it out, and groups the rest.
fn prepare(given: &Given, recipe: &Recipe, paths: &Paths<'_>, seed: Seed, context: &Context) -> Result<()> {
    let (chunks, groups) = (paths.chunks(), paths.groups());
    if !(paths.held_out().exists() && chunks.exists()) {
        let config = ChunkerConfig { size: recipe.chunks.size, ..ChunkerConfig::default() };
        let (training, held_out) = read_chunks(given, recipe, config, seed, context)?;
        let mut writer = ChunkWriter::create(&chunks, config)?;
        for chunk in &training {
            writer.push(chunk)?;
        }
        writer.finish(Vec::new())?;
        if !paths.held_out().exists() {
            held_out::write(&paths.held_out(), held_out, training, recipe.held_out, seed)?;
        }
    }
    if !groups.exists() {
        let grouping = Grouping {
            policy: Policy::bm25(analyser(kind(&given.corpus)?)),
            group_size: recipe.groups.size,
            passes: recipe.groups.passes,
            seed: seed.derive("groups"),
            copies: Some(COPY),
        };
        write_groups(&chunks, &groups, &grouping, QualityConfig::default(), context)?;
    }
    Ok(())
}

/// Texts that tell what a file of JSON lines holds.
const SAMPLE: usize = 64;

/// What the corpus is; of JSON lines the first texts tell whether they are code.
fn kind(corpus: &Path) -> Result<SourceKind> {
    let kind = SourceKind::of_path(corpus);
    if !matches!(kind, SourceKind::Jsonl(_)) {
        return Ok(kind);
    }
    let mut source = SourceConfig::new(corpus, kind);
    source.bad_input = BadInput::Skip;
    let texts: Vec<String> =
        Documents::open(source)?.take(SAMPLE).map(|d| Ok(d?.text)).collect::<Result<_>>()?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Ok(SourceKind::Jsonl(detect_format(&texts)))
}

/// Identifiers are split where there may be code.
fn analyser(kind: SourceKind) -> Analyser {
    match kind {
        SourceKind::Jsonl(Format::Text | Format::Markdown) | SourceKind::Text => Analyser::Prose,
        _ => Analyser::Code,
    }
}

/// The chunks to train on, and those held out.
fn read_chunks(
    given: &Given,
    recipe: &Recipe,
    config: ChunkerConfig,
    seed: Seed,
    context: &Context,
) -> Result<(Vec<Chunk>, Vec<Chunk>)> {
    let chunker = Chunker::new(config, None)?;
    let mut source = SourceConfig::new(&given.corpus, kind(&given.corpus)?);
    source.bad_input = BadInput::Skip;
    let mut documents = Documents::open(source)?;
    let (mut training, mut held_out) = (Vec::new(), Vec::new());
    let task = context.progress.task("chunking", "documents", None);
    for document in documents.by_ref() {
        context.interrupt.check()?;
        let document = document?;
        let is_held_out = held_out::is_held_out(&document.id, recipe.held_out.share, seed);
        let to = if is_held_out { &mut held_out } else { &mut training };
        to.extend(chunker.chunk(&document));
        task.advance(1);
    }
    drop(task);
    let left_out = documents.counts().left_out();
    if !left_out.is_empty() {
        context.progress.line(&left_out);
    }
    Ok((training, held_out))
}

/// Asks the language model, where the recipe does. Returns the groups to train on, and what was said of them.
fn ask_teacher(
    given: &Given,
    recipe: &Recipe,
    paths: &Paths<'_>,
    seed: Seed,
    context: &Context,
) -> Result<(PathBuf, Option<PathBuf>)> {
    let (Some(teach), Some(lm)) = (recipe.teach, &given.lm) else { return Ok((paths.groups(), None)) };
    let (groups, targets) = (paths.taught().join("groups.jsonl"), paths.taught().join("targets.jsonl"));
    if !(groups.exists() && targets.exists()) {
        let command = Teach {
            groups: paths.groups(),
            lm: Some(lm.clone()),
            encoder: Some(given.encoder.clone()),
            bm25: Some(analyser(kind(&given.corpus)?)),
            out: paths.taught(),
            query_text: teach.query_text,
            lm_max_length: teach.lm_max_length,
            limit: None,
            minutes: Some(teach.share * given.minutes),
            seed: seed.0,
            matmul: given.flags.matmul.unwrap_or_default(),
        };
        teach::run(&command, context)?;
    }
    Ok((groups, Some(targets)))
}

fn open_held_out(paths: &Paths<'_>, context: &Context) -> Result<TrainingScore> {
    let ndcg = vec![revela_eval::metrics::Metric::NDCG_10];
    let data =
        HeldOut::open(&paths.held_out(), held_out::SPLIT, ndcg, &context.progress, &context.interrupt)?;
    Ok(TrainingScore::new(data)?)
}

/// Trains, or goes on.
fn train(
    given: &Given,
    recipe: &Recipe,
    paths: &Paths<'_>,
    (groups, targets): (PathBuf, Option<PathBuf>),
    score: &TrainingScore,
    context: &Context,
) -> Result<()> {
    let (progress, interrupt) = (&context.progress, &context.interrupt);
    let run = paths.training();
    if choose::is_trained(&run, recipe) {
        return Ok(());
    }
    let begun = run.join(CONFIG).exists();
    let trainer = if begun && run.join(revela_train::checkpoint::DIR).exists() {
        Trainer::resume(&run, Some(score), progress, interrupt)?
    } else {
        if begun {
            // Killed before its first checkpoint: there is nothing in it to go on with.
            std::fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
        }
        let own = Settings {
            groups: Some(groups),
            targets,
            out: Some(run),
            lm: given.lm.clone(),
            retriever: Some(given.encoder.clone()),
            eval_data: Some(paths.held_out()),
            eval_split: Some(held_out::SPLIT.into()),
            ..Settings::default()
        };
        let settings = recipe.settings(given.minutes, &own.over(&given.flags))?;
        Trainer::start(&settings, Some(score), progress, interrupt)?
    };
    match trainer.run()? {
        Outcome::Finished { .. } => Ok(()),
        Outcome::Interrupted { .. } => {
            say("everything is saved; the same command goes on")?;
            Err(Interrupted.into())
        }
    }
}
