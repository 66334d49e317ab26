//! One system on one split: the run, the numbers, what did not fit, and every file asked for.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use revela_base::checksum::Checksum;
use revela_eval::catalog;
use revela_eval::dataset::UnknownIdPolicy;
use revela_eval::metrics::{Evaluation, EvaluationOptions, Metric, UnjudgedQueries, evaluate, recall_curve};
use revela_eval::mteb;
use revela_eval::statistics::{Interval, Resampling};
use revela_eval::{Best, Cell, Column, EvalResult, Run, SelfMatches, Table};
use revela_search::Mode;
use serde_json::Value;

use super::cache::Cache;
use super::system::{Prefixes, Settings, System};
use super::task::{self, Target};
use super::{Measure, WIDTH, page, rerank};
use crate::Context;
use crate::commands::Voice;
use crate::evaluation::HeldOut;

/// The tag of run files.
const TAG: &str = "revela";

/// What is done about what does not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    Report,
    Refuse,
}

pub(super) fn run(args: &Measure, context: &Context) -> Result<()> {
    let output = &args.output;
    let files = output.json.iter().chain(&output.run).chain(&output.html).chain(&output.mteb_json);
    let voice = Voice::beside(files, context)?;
    let strictness = if args.strict { Strictness::Refuse } else { Strictness::Report };
    let target = Target::new(&args.data)?;
    let held_out = open(args, &target, strictness, context)?;
    if output.run.is_some() {
        let queries = held_out.split().queries.iter().map(|query| query.id.as_str());
        Run::check_ids(queries.chain(held_out.documents().iter().map(|document| document.id.as_str())))?;
    }
    let (began, found) = (Instant::now(), find(args, &target, &held_out, context)?);
    let (run, mut settings) = rerank::apply(args, found, &held_out, context)?;
    describe(args, &target, &mut settings);
    let unjudged = match strictness {
        Strictness::Report => UnjudgedQueries::Ignore,
        Strictness::Refuse => UnjudgedQueries::Refuse,
    };
    let options = EvaluationOptions { unjudged, ..EvaluationOptions::default() };
    let evaluation = evaluate(&held_out.split().qrels, &run, &args.metrics, &options)?;
    if evaluation.missing == held_out.split().qrels.len() {
        bail!("the run answers none of the {} judged queries; is it of another split?", evaluation.missing);
    }
    let misfits = misfits(&target, &held_out, &run, &evaluation);
    if strictness == Strictness::Refuse
        && let Some(misfit) = misfits.iter().find(|misfit| misfit.is_an_error)
    {
        bail!("{} (--strict)", misfit.text);
    }
    let curve = recall_curve(&held_out.split().qrels, &run, args.system.depth, &options)?;
    let notes: Vec<Value> = misfits.iter().map(|misfit| misfit.text.as_str().into()).collect();
    settings.insert("notes".into(), notes.into());
    let seconds = began.elapsed().as_secs_f64();
    let intervals: Vec<(Metric, Interval)> =
        evaluation.intervals(&Resampling::default())?.into_iter().collect();
    let result = EvalResult::new(evaluation, settings).with_recall_curve(curve);
    // What was measured is shown whatever becomes of the files.
    print(args, &target, &intervals, &misfits, voice)?;
    if let Some(path) = &output.json {
        result.write(path)?;
    }
    if let Some(path) = &output.html {
        page::of_result(&system_name(args), &result, &intervals, &held_out, &run)?.write(path)?;
    }
    write_for_others(args, &target, &held_out, &run, &options, seconds)
}

/// The files that other programs read: a run, and a result of MTEB.
fn write_for_others(
    args: &Measure,
    target: &Target,
    held_out: &HeldOut,
    run: &Run,
    options: &EvaluationOptions,
    seconds: f64,
) -> Result<()> {
    if let Some(path) = &args.output.mteb_json {
        let all = evaluate(&held_out.split().qrels, run, &mteb::metrics(), options)?;
        let name = args.data.data.as_deref().map_or_else(String::new, super::compare::name_of);
        let entry = target.mteb(&name, &held_out.fingerprint().short());
        mteb::write(path, &entry, &target.selection.split, &all, seconds)?;
    }
    if let Some(path) = &args.output.run {
        run.write(path, TAG)?;
    }
    Ok(())
}

fn open(args: &Measure, target: &Target, strictness: Strictness, context: &Context) -> Result<HeldOut> {
    let Some(data) = &args.data.data else { bail!("--data is missing") };
    let unknown = match strictness {
        Strictness::Report => UnknownIdPolicy::Report,
        Strictness::Refuse => UnknownIdPolicy::Refuse,
    };
    let metrics = args.metrics.clone();
    let (progress, interrupt) = (&context.progress, &context.interrupt);
    let held_out =
        HeldOut::load(&task::folder(data), &target.selection, unknown, metrics, progress, interrupt)?;
    Ok(held_out.with_depth(args.system.depth))
}

/// The run, and the settings that decided it.
fn find(args: &Measure, target: &Target, held_out: &HeldOut, context: &Context) -> Result<(Run, Settings)> {
    if args.system.depth == 0 {
        bail!("--depth is 0, but at least one result per query must be asked for");
    }
    if let Some(path) = &args.system.run_file {
        let checksum = serde_json::to_value(Checksum::of_file(path)?)?;
        let settings = [("run_file", path.display().to_string().into()), ("run_checksum", checksum)];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).into();
        return Ok((held_out.counting(Run::read(path)?), settings));
    }
    let fill = |prefix: &Option<String>| prefix.as_deref().map(|prefix| target.fill(prefix)).transpose();
    let prefixes =
        Prefixes { query: fill(&args.system.query_prefix)?, passage: fill(&args.system.passage_prefix)? };
    let system = System::open(&args.system, prefixes)?;
    let cache = Cache::open(&args.cache, &context.progress);
    Ok((system.run(held_out, cache.as_ref(), context)?, system.settings()?))
}

/// Adds to the settings what was measured on.
fn describe(args: &Measure, target: &Target, settings: &mut Settings) {
    let data = args.data.data.as_deref().unwrap_or(Path::new("")).display().to_string();
    settings.insert("data".into(), data.into());
    settings.insert("split".into(), target.selection.split.as_str().into());
    settings.insert("depth".into(), args.system.depth.into());
    let rule = match target.selection.self_matches {
        SelfMatches::Keep => "keep",
        SelfMatches::Drop => "drop",
    };
    settings.insert("self_matches".into(), rule.into());
    let task = target.task.as_ref().map(|task| task.name.clone());
    let named = [("subset", &target.selection.subset), ("task", &task), ("part", &target.part)];
    for (name, value) in named {
        if let Some(value) = value {
            settings.insert(name.into(), value.as_str().into());
        }
    }
}

/// Something that does not fit.
struct Misfit {
    text: String,
    /// Whether `--strict` refuses it.
    is_an_error: bool,
}

fn misfits(target: &Target, held_out: &HeldOut, run: &Run, evaluation: &Evaluation) -> Vec<Misfit> {
    let error = |text: String| Misfit { text, is_an_error: true };
    let split = held_out.split();
    let mut misfits: Vec<Misfit> = target.differences(held_out).into_iter().map(error).collect();
    if !split.unknown.is_empty() {
        misfits.push(error(split.unknown.to_string()));
    }
    if evaluation.unjudged > 0 {
        let text =
            format!("the run answers {} queries without judgements, which do not count", evaluation.unjudged);
        misfits.push(error(text));
    }
    let known: HashSet<&str> = held_out.documents().iter().map(|document| document.id.as_str()).collect();
    let found = run.iter().flat_map(|(_, hits)| hits).map(|hit| hit.document.as_str());
    let strangers: HashSet<&str> = found.filter(|document| !known.contains(document)).collect();
    if let Some(example) = strangers.iter().min() {
        let count = strangers.len();
        misfits.push(error(format!(
            "the run ranks {count} documents that the corpus lacks, such as {example:?}"
        )));
    }
    misfits.extend(self_matches(target, held_out).map(|text| Misfit { text, is_an_error: false }));
    if evaluation.missing > 0 {
        let text = format!("{} judged queries are not answered; they score 0", evaluation.missing);
        misfits.push(Misfit { text, is_an_error: false });
    }
    if evaluation.without_relevant > 0 {
        let count = evaluation.without_relevant;
        let text = format!("{count} queries have no relevant document; they score 0, and count in the means");
        misfits.push(Misfit { text, is_an_error: false });
    }
    misfits
}

/// What is done with documents whose id is the query's, where there are such.
fn self_matches(target: &Target, held_out: &HeldOut) -> Option<String> {
    let (own, relevant) = held_out.self_matches();
    if own == 0 {
        return None;
    }
    let queries = format!("{own} queries have a document of their own id");
    Some(match (target.selection.self_matches, relevant) {
        (SelfMatches::Keep, _) => {
            format!("{queries}, which counts as any other (--self-matches drop leaves it out)")
        }
        (SelfMatches::Drop, 0) => {
            format!(
                "{queries}, which does not count, as in BEIR's evaluation (--self-matches keep counts it)"
            )
        }
        (SelfMatches::Drop, _) => format!(
            "{queries}, which does not count, as in BEIR's evaluation, although it is judged relevant for {relevant} of \
             them (--self-matches keep counts it)"
        ),
    })
}

/// What the system is called in tables and charts.
fn system_name(args: &Measure) -> String {
    let system = &args.system;
    let name = |path: &Path| super::compare::name_of(path);
    let found = match (&system.run_file, &system.encoder, &system.model) {
        (Some(path), _, _) => name(path),
        (None, Some(dir), _) if system.mode != Mode::Bm25 => {
            format!(
                "{} ({})",
                dir.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
                system.mode.name()
            )
        }
        (None, _, Some(model)) => format!("{model} ({})", system.mode.name()),
        (None, _, None) => system.mode.name().to_owned(),
    };
    match args.rerank.rerank.as_deref().and_then(Path::file_name) {
        Some(model) => format!("{found}, reranked by {}", model.to_string_lossy()),
        None => found,
    }
}

fn print(
    args: &Measure,
    target: &Target,
    intervals: &[(Metric, Interval)],
    misfits: &[Misfit],
    voice: Voice<'_>,
) -> Result<()> {
    let heads = ["metric", "value [95% interval]"].map(|name| Column::new(name, Best::NotMarked));
    let mut table = Table::new(heads);
    for (metric, interval) in intervals {
        table.push([Cell::text(metric.to_string()), Cell::interval(interval)]);
    }
    voice.say(table.to_text(WIDTH))?;
    for misfit in misfits {
        voice.say(format_args!("note: {}", misfit.text))?;
    }
    if args.published {
        voice.say(beside_published(args, target, intervals)?.to_text(WIDTH))?;
    }
    Ok(())
}

/// The measured figure of the task's metric among the published ones.
fn beside_published(args: &Measure, target: &Target, intervals: &[(Metric, Interval)]) -> Result<Table> {
    let Some(task) = &target.task else { bail!("--published needs --task") };
    let heads = [task.metric.to_string(), "value".to_owned(), "from".to_owned()];
    let mut table = Table::new(heads.map(|head| Column::new(head, Best::NotMarked)));
    if let Some((_, interval)) = intervals.iter().find(|(metric, _)| *metric == task.metric) {
        table.push([
            Cell::text(system_name(args)),
            Cell::percent(interval.mean),
            Cell::text("measured here"),
        ]);
    }
    for (source, system, value) in catalog::figures(&task.benchmark, Some(&task.name), task.metric)? {
        table.push([Cell::text(system), Cell::percent(value), Cell::text(format!("published: {source}"))]);
    }
    Ok(table)
}
