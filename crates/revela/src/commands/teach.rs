//! `revela teach`: what teachers say of training groups, computed once.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use revela_base::interrupt::Interrupted;
use revela_base::progress::Progress as _;
use revela_base::seed::Seed;
use revela_index::bm25::Analyser;
use revela_model::cpu::Matmul;
use revela_text::{ChunkGroup, GroupFile, GroupWriter};
use revela_train::choices::QueryText;
use revela_train::order::GroupOrder;
use revela_train::targets::{Targets, TargetsHeader};

use super::data::parse_analyser;
use crate::Context;
use crate::commands::say;
use crate::teachers::Teachers;

/// Compute once what teachers know of training groups
///
/// For each group, and each question that its chunks ask (their readers: a doc comment, a heading, a title, a first
/// sentence; or the chunks themselves), every chunk of the group is scored: by how likely a language model finds the
/// question when it reads the chunk (--lm), by BM25 among all chunks (--bm25), by an encoder (--encoder). `revela
/// train --objective query-likelihood --groups OUT/groups.jsonl --targets OUT/targets.jsonl` then trains a retriever
/// on that for as many epochs as it likes, without the teachers.
///
/// Groups are taken in the order of the seed until the time or the number is reached. Ctrl-C keeps what was done;
/// the same command goes on with it, and so does one that asks for more.
#[derive(Debug, Clone, Args)]
pub(crate) struct Teach {
    /// Training groups, as `revela data group` writes them.
    #[arg(long)]
    pub(crate) groups: PathBuf,
    /// A language model: a Llama or Qwen folder in Hugging Face's layout, or its name on the hub.
    #[arg(long)]
    pub(crate) lm: Option<PathBuf>,
    /// An encoder.
    #[arg(long)]
    pub(crate) encoder: Option<PathBuf>,
    /// BM25 over the chunks of all groups, with terms as they are split in code or prose.
    #[arg(long, value_parser = parse_analyser, value_name = "ANALYSER", num_args = 0..=1, default_missing_value = "code")]
    pub(crate) bm25: Option<Analyser>,
    /// The folder to write.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Which text of a chunk asks: its reader, or all of it (whole).
    #[arg(long, value_enum, default_value = "reader")]
    pub(crate) query_text: QueryText,
    /// Longest text in the language model's tokens.
    #[arg(long, default_value_t = 96)]
    pub(crate) lm_max_length: usize,
    /// Groups, at most.
    #[arg(long)]
    pub(crate) limit: Option<usize>,
    /// Minutes, at most.
    #[arg(long)]
    pub(crate) minutes: Option<f64>,
    /// Seed of the order of groups.
    #[arg(long, default_value_t = 42)]
    pub(crate) seed: u64,
    /// How the processor multiplies: f32, or bf16, which is faster where it has AVX-512 BF16.
    #[arg(long, default_value = "f32")]
    pub(crate) matmul: Matmul,
}

pub(crate) fn run(args: &Teach, context: &Context) -> Result<()> {
    if args.query_text == QueryText::FirstHalf {
        bail!("--query-text first-half is of the retriever; choose reader or whole");
    }
    let file = GroupFile::open(&args.groups, &context.progress, &context.interrupt)?;
    let teachers = Teachers::open(args, &file, context)?;
    let header = TargetsHeader { query_text: args.query_text, fingerprints: teachers.fingerprints() };
    let mut targets = begin(args, header)?;
    let taught = teach(args, &file, &teachers, &mut targets, context)?;
    save(args, &file, &targets, &taught)?;
    say(format_args!("{} groups in {}", taught.len(), args.out.display()))?;
    if context.interrupt.requested() {
        return Err(Interrupted.into());
    }
    Ok(())
}

/// Asks the teachers about group after group. Returns the groups that are done.
fn teach(
    args: &Teach,
    file: &GroupFile,
    teachers: &Teachers,
    targets: &mut Targets,
    context: &Context,
) -> Result<Vec<usize>> {
    let count = u32::try_from(file.len()).unwrap_or(u32::MAX);
    let wanted = args.limit.unwrap_or(usize::MAX).min(count as usize);
    let mut order = GroupOrder::new(count, Seed(args.seed).derive("data"));
    let until = args.minutes.map(|m| Instant::now() + Duration::from_secs_f64(m.max(0.0) * 60.0));
    let task = context.progress.task("teaching", "groups", Some(wanted as u64));
    let mut taught = Vec::new();
    for at in 0..wanted {
        let is_over = until.is_some_and(|until| Instant::now() >= until);
        if context.interrupt.requested() || (is_over && !taught.is_empty()) {
            break;
        }
        let index = order.at(at as u64) as usize;
        let group: ChunkGroup = file.get(index)?;
        if targets.of(&group).is_none() {
            for (signal, scores) in teachers.scores(&group, args.query_text)? {
                targets.insert(&group, signal, scores);
            }
        }
        taught.push(index);
        task.advance(1);
    }
    Ok(taught)
}

/// What the folder already holds, if it is of the same teachers and texts.
fn begin(args: &Teach, header: TargetsHeader) -> Result<Targets> {
    let path = args.out.join("targets.jsonl");
    if !path.exists() {
        std::fs::create_dir_all(&args.out)
            .with_context(|| format!("cannot create {}", args.out.display()))?;
        return Ok(Targets::new(header));
    }
    let targets = Targets::open(&path)?;
    if targets.header != header {
        bail!("{} was made by other teachers or for other texts; choose another --out", path.display());
    }
    Ok(targets)
}

/// Writes the groups that were taught, and what was said of them.
fn save(args: &Teach, file: &GroupFile, targets: &Targets, taught: &[usize]) -> Result<()> {
    targets.save(&args.out.join("targets.jsonl"))?;
    let mut writer = GroupWriter::create(&args.out.join("groups.jsonl"), file.header().clone())?;
    for index in taught {
        writer.push(&file.get(*index)?)?;
    }
    writer.finish()?;
    Ok(())
}
