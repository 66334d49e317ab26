//! `revela quickstart`: from raw text to a trained retriever and what it is worth, in one command.

mod cloze;
mod corpus;
mod curves;
mod held_out;
mod measure;
mod recipe;
mod report;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use revela_base::artifact::IfExists;
use revela_base::file::{DirLock, write_atomic};
use revela_base::progress::Progress;
use revela_base::seed::Seed;
use revela_index::bm25::Analyser;
use revela_index::grouping::{COPY, Grouping, Policy};
use revela_model::cpu::Matmul;
use revela_model::tokenizer::TextTokenizer;
use revela_model::weights::Precision;
use revela_text::{ChunkWriter, Chunker, ChunkerConfig, Cleaner, QualityConfig, Reason};
use revela_train::checkpoint::Best;
use revela_train::trainer::{CONFIG, Outcome, Trainer};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::commands::data::{QualityArgs, show_quality, write_groups};
use crate::commands::model::{fresh, fresh_static, train_tokenizer};
use crate::commands::say;
use crate::evaluation::{HeldOut, TrainingScore};
use corpus::{Amount, Corpus};
use held_out::Split;

/// Train a retriever on raw text from nothing and measure it on held-out queries, in one command
///
/// The corpus is cut into parts (crates, folders); some are held out, and what is measured comes from them
/// alone: a function's doc comment (or a passage's first sentence) must find the function (the passage)
/// without it. No query-document pair is used for training. Everything is in --out afterwards: report.html,
/// report.json, curves/, encoder/ and collection/, which `revela search` answers from.
///
/// Ctrl-C keeps what was done; the same command goes on with it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Quickstart {
    /// Minutes it may take on 2 cores, about; most of them are training.
    #[arg(long, default_value_t = 12.0)]
    minutes: f64,
    /// A folder of code or text, or a file of JSON lines with `_id`, `title`, `text` [default: the sources of
    /// the crates that this program was built from]
    #[arg(long)]
    corpus: Option<PathBuf>,
    /// Start from this encoder instead of from nothing.
    #[arg(long)]
    encoder: Option<PathBuf>,
    /// Seed of everything random.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// How the processor multiplies while it trains: f32, or bf16, which is faster where it has AVX-512 BF16.
    #[arg(long, default_value = "f32")]
    matmul: Matmul,
    /// The folder to write.
    #[arg(long, default_value = "revela-quickstart")]
    out: PathBuf,
    #[command(flatten)]
    quality: QualityArgs,
}

/// What a folder was begun with; going on with other settings is refused.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    format: String,
    version: u32,
    minutes: f64,
    seed: u64,
    #[serde(default)]
    matmul: Matmul,
    corpus: Option<PathBuf>,
    encoder: Option<PathBuf>,
    #[serde(default)]
    quality: QualityConfig,
}

const PLAN: &str = "quickstart.toml";
const FORMAT: &str = "revela.quickstart";
const VERSION: u32 = 1;

/// Minutes below which nothing can be learned.
const LEAST_MINUTES: f64 = 0.2;

pub(crate) fn run(args: &Quickstart, context: &Context) -> Result<()> {
    let start = Instant::now();
    if !(LEAST_MINUTES..=100_000.0).contains(&args.minutes) {
        bail!("--minutes {} is impossible; at least {LEAST_MINUTES}", args.minutes);
    }
    let lock = DirLock::acquire(&args.out)?;
    begin(args)?;
    prepare(args, context)?;
    let prepared = start.elapsed().as_secs_f64();
    let Some(best) = train(args, context)? else {
        say("everything is saved; the same command goes on")?;
        return Err(revela_base::interrupt::Interrupted.into());
    };
    let seconds = [("prepare", prepared), ("train", start.elapsed().as_secs_f64() - prepared)];
    report::write(&args.out, args.encoder.as_deref(), &best, &seconds, start, context)?;
    drop(lock);
    Ok(())
}

/// Writes down what is asked for, or checks that it is what the folder was begun with.
fn begin(args: &Quickstart) -> Result<()> {
    if args.out.join(report::JSON).exists() {
        bail!("{} holds a finished quickstart; choose another folder with --out", args.out.display());
    }
    let absolute = |path: &Option<PathBuf>| path.as_deref().map(std::path::absolute).transpose();
    let plan = Plan {
        format: FORMAT.into(),
        version: VERSION,
        minutes: args.minutes,
        seed: args.seed,
        matmul: args.matmul,
        corpus: absolute(&args.corpus)?,
        encoder: absolute(&args.encoder)?,
        quality: args.quality.config()?,
    };
    let path = args.out.join(PLAN);
    if !path.exists() {
        if std::fs::read_dir(&args.out)?.any(|entry| entry.is_ok_and(|e| !is_hidden(&e.path()))) {
            bail!(
                "{} is not empty and holds no quickstart; choose another folder with --out",
                args.out.display()
            );
        }
        let text = toml::to_string(&plan)?;
        return Ok(write_atomic(&path, |out| out.write_all(text.as_bytes()))?);
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let found: Plan = toml::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    if found != plan {
        bail!(
            "{} was begun with other settings:\n{text}repeat them, or choose another folder with --out",
            args.out.display()
        );
    }
    Ok(())
}

/// Such as the lock file.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// Makes every input of training that is not there yet.
fn prepare(args: &Quickstart, context: &Context) -> Result<()> {
    let seed = Seed(args.seed);
    let (dev, test) =
        (held_out::dir(&args.out, held_out::DEV_SPLIT), held_out::dir(&args.out, held_out::TEST_SPLIT));
    let (chunks, groups) = (recipe::chunks(&args.out), recipe::groups(&args.out));
    if ![&dev, &test, &chunks].iter().all(|path| path.exists()) {
        let corpus = match &args.corpus {
            Some(path) => Corpus::of_path(path, context)?,
            None => Corpus::of_crates()?,
        };
        let split = Split::draw(&corpus, seed)?;
        context.progress.line(&format!(
            "corpus: {} parts to train on, {} to choose the checkpoint, {} to measure",
            split.train.len(),
            split.dev.len(),
            split.test.len()
        ));
        if !dev.exists() {
            held_out::write(
                (&dev, held_out::DEV_SPLIT),
                &corpus,
                &split.dev,
                recipe::DEV_SIZE,
                seed,
                context,
            )?;
        }
        if !test.exists() {
            held_out::write(
                (&test, held_out::TEST_SPLIT),
                &corpus,
                &split.test,
                recipe::TEST_SIZE,
                seed,
                context,
            )?;
        }
        if !chunks.exists() {
            write_chunks(&chunks, &corpus, &split, args, context)?;
        }
    }
    if !groups.exists() {
        let grouping = Grouping {
            policy: Policy::bm25(Analyser::Code),
            group_size: recipe::GROUP_SIZE,
            passes: 1,
            seed: seed.derive("groups"),
            copies: args.quality.config()?.counts(Reason::NearCopy).then_some(COPY),
        };
        write_groups(&chunks, &groups, &grouping, args.quality.config()?, context)?;
    }
    let base = recipe::base_lm(&args.out);
    if !base.exists() {
        let tokenizer = train_tokenizer(&chunks, recipe::VOCABULARY, recipe::CUT, context)?;
        let model = fresh(tokenizer, &recipe::SHAPE, seed)?;
        model.save(&base, Precision::F32, IfExists::Refuse)?;
    }
    let encoder = recipe::base_encoder(&args.out);
    if args.encoder.is_none() && !encoder.exists() {
        let model = fresh_static(TextTokenizer::open(&base)?, recipe::DIMENSION, seed)?;
        model.save(&encoder, Precision::F32, IfExists::Refuse)?;
    }
    Ok(())
}

/// Chunks of the training parts: as many bytes worth learning from as the time allows to look at.
fn write_chunks(
    path: &Path,
    corpus: &Corpus,
    split: &Split,
    args: &Quickstart,
    context: &Context,
) -> Result<()> {
    let in_all = ((args.minutes * recipe::BYTES_PER_MINUTE) as usize).max(4 << 20);
    let amount = Amount { of_part: (in_all / 24).max(256 << 10), in_all };
    let config = ChunkerConfig { size: recipe::CHUNK_WORDS, ..ChunkerConfig::default() };
    let chunker = Chunker::new(config, None)?;
    let mut cleaner = Cleaner::new(args.quality.config()?)?;
    let mut writer = ChunkWriter::create(path, config)?;
    let task = context.progress.task("chunking", "documents", None);
    corpus.visit(&split.train, amount, Seed(args.seed).derive("chunks"), context, |document| {
        let chunks = cleaner.chunks(&document, &chunker);
        for chunk in &chunks {
            writer.push(chunk)?;
        }
        task.advance(1);
        Ok(chunks.iter().map(|chunk| chunk.text.len()).sum())
    })?;
    drop(task);
    let cleaned = cleaner.finish();
    show_quality(cleaned.report(), context)?;
    writer.finish_cleaned(Vec::new(), &cleaned)?;
    Ok(())
}

/// Trains, or goes on. `None` after an interruption.
fn train(args: &Quickstart, context: &Context) -> Result<Option<Best>> {
    let (progress, interrupt) = (&context.progress, &context.interrupt);
    let ndcg = vec![revela_eval::metrics::Metric::NDCG_10];
    let dev = HeldOut::open(
        &held_out::dir(&args.out, held_out::DEV_SPLIT),
        held_out::DEV_SPLIT,
        ndcg,
        progress,
        interrupt,
    )?;
    let score = TrainingScore::new(dev)?;
    let run = recipe::run(&args.out);
    let begun = run.join(CONFIG).exists();
    let trainer = if begun && run.join(revela_train::checkpoint::DIR).exists() {
        Trainer::resume(&run, Some(&score), progress, interrupt)?
    } else {
        if begun {
            // Killed before its first checkpoint: there is nothing in it to go on with.
            std::fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
        }
        let settings = recipe::settings(args)?;
        Trainer::start(&settings, Some(&score), progress, interrupt)?
    };
    match trainer.run()? {
        Outcome::Finished { best } => Ok(Some(best.context("the run kept no retriever")?)),
        Outcome::Interrupted { .. } => Ok(None),
    }
}
