//! What a quickstart leaves for people: the table, report.json, curves, one HTML page, the encoder and a
//! collection.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use indexmap::IndexMap;
use revela_base::artifact::IfExists;
use revela_base::file::create_dir;
use revela_eval::chart::Svg;
use revela_eval::html::{Excerpt, Page, QueryCase};
use revela_eval::metrics::Metric;
use revela_eval::statistics::Resampling;
use revela_eval::{CompareOptions, Comparison, DatasetSummary, Report, compare};
use revela_index::bm25::Analyser;
use revela_index::{CollectionBuilder, Passage};
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;
use revela_train::checkpoint::Best;
use revela_train::log::{self, Record};

use super::measure::{self, BM25, FRESH, FUSED, Measured, UNTRAINED};
use super::{curves, recipe};
use crate::Context;
use crate::commands::say;
use crate::evaluation::Remembering;

/// Written last: where it is, the quickstart is finished.
pub(crate) const JSON: &str = "report.json";

/// What two of the systems are.
const LEGEND: &str =
    "untrained: the warmed language model's pooled states. fresh: the retriever before any training.";

/// Queries shown on the page.
const CASES: usize = 12;

/// Documents shown of each ranking.
const SHOWN: usize = 3;

/// Width of the table in characters.
const WIDTH: u16 = 100;

/// Measures, writes everything, prints the table.
pub(crate) fn write(
    out: &Path,
    start: Option<&Path>,
    best: &Best,
    seconds: &[(&str, f64)],
    began: Instant,
    context: &Context,
) -> Result<()> {
    let device = DeviceChoice::Cpu.open()?;
    let encoder = Encoder::open(&recipe::run(out).join("best"), Precision::F32, &device)?;
    encoder.save(&out.join("encoder"), Precision::F32, IfExists::Replace)?;
    let measuring = Instant::now();
    let embedder = Remembering::new(&encoder);
    let measured = measure::all(out, start, &embedder, context)?;
    collection(out, &measured, &embedder, context)?;
    let records = log::read(&recipe::run(out))?;
    let mut seconds: IndexMap<String, f64> = seconds.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
    seconds.extend(stage_seconds(&records));
    seconds.insert("measure".into(), measuring.elapsed().as_secs_f64());
    seconds.insert("total".into(), began.elapsed().as_secs_f64());
    let report = report(&measured, best, seconds)?;
    let verdict = verdict(&measured, best)?;
    let charts = curves::draw(&records, measured.dev_bm25);
    create_dir(&out.join("curves"))?;
    for (name, svg) in &charts {
        svg.write(&out.join("curves").join(format!("{name}.svg")))?;
    }
    page(&report, &verdict, &charts, &measured).write(&out.join("report.html"))?;
    report.write(&out.join(JSON))?;
    print(out, &report, &verdict, &measured)
}

/// The held-out passages, to be searched at once.
fn collection(out: &Path, measured: &Measured, embedder: &Remembering<'_>, context: &Context) -> Result<()> {
    let path = out.join("collection");
    if path.exists() {
        // Of an earlier attempt that ended before its report.
        std::fs::remove_dir_all(&path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    let passages = measured.test.documents().iter().map(|document| {
        let (id, title, text) = (document.id.clone(), document.title.clone(), document.text.clone());
        Ok::<_, std::io::Error>(Passage { id, title, text })
    });
    let builder = CollectionBuilder::new(&path).analyser(Analyser::Code);
    builder.build(passages, Some(embedder), &context.progress, &context.interrupt)?;
    Ok(())
}

/// Seconds of training steps in each stage.
fn stage_seconds(records: &[Record]) -> IndexMap<String, f64> {
    let mut seconds = IndexMap::new();
    for record in records {
        if let Record::Step(step) = record {
            seconds.insert(step.stage.clone(), step.seconds);
        }
    }
    seconds
}

fn report(measured: &Measured, best: &Best, seconds: IndexMap<String, f64>) -> Result<Report> {
    let split = measured.test.split();
    let kept = format!("step {} of stage {}", best.step, best.stage);
    let more = [
        ("kept", kept.into()),
        ("kept_dev_ndcg@10", best.score.into()),
        ("fusion_bm25_weight", measured.bm25_weight.into()),
    ];
    let dataset = DatasetSummary {
        name: "held-out part of the corpus".into(),
        split: super::held_out::TEST_SPLIT.into(),
        documents: split.documents,
        queries: split.queries.len() as u64,
        more: more.map(|(key, value)| (key.to_owned(), value)).into(),
    };
    let mut systems = IndexMap::new();
    for (name, evaluation) in &measured.systems {
        systems.insert((*name).to_owned(), evaluation.intervals(&Resampling::default())?);
    }
    Ok(Report { dataset, systems, seconds })
}

/// What the numbers say, in sentences.
fn verdict(measured: &Measured, best: &Best) -> Result<Vec<String>> {
    let mut lines = vec![kept_line(best)];
    let pairs = [
        (recipe::CONTRASTIVE, FRESH),
        (recipe::REVELA, UNTRAINED),
        (recipe::REVELA, recipe::CONTRASTIVE),
        (FUSED, BM25),
    ];
    for (system, baseline) in pairs.into_iter().filter(|(_, b)| measured.systems.contains_key(b)) {
        lines.push(comparison_line(&comparison(measured, system, baseline)?));
    }
    lines.push(format!(
        "In the fusion BM25 weighs {} and the retriever 1 (min-max normalised scores); the dev split chose.",
        measured.bm25_weight
    ));
    if measured.systems.contains_key(FRESH) {
        lines.push(LEGEND.to_owned());
    }
    Ok(lines)
}

fn kept_line(best: &Best) -> String {
    if best.step == 0 && best.stage == recipe::CONTRASTIVE {
        "Training did not improve on the retriever it began with, by the dev split; that one is what remains."
            .into()
    } else if best.stage == recipe::REVELA && best.step > 0 {
        format!("Kept, by the dev split: the retriever after step {} of the Revela stage.", best.step)
    } else {
        format!(
            "Kept, by the dev split: the retriever after step {} of stage {}; the Revela stage did not improve on \
             it at this size and in this time.",
            best.step, best.stage
        )
    }
}

fn comparison(measured: &Measured, system: &str, baseline: &str) -> Result<Comparison> {
    let result = |name: &str| measured.result(name).with_context(|| format!("{name} was not measured"));
    let (first, second) = (result(baseline)?, result(system)?);
    let options = CompareOptions::default();
    let rows = compare(&[(baseline, &first), (system, &second)], &[Metric::NDCG_10], &options)?;
    rows.into_iter().next().context("nothing was compared")
}

fn comparison_line(row: &Comparison) -> String {
    let points = |fraction: f64| 100.0 * fraction;
    format!(
        "{} against {}: {:+.1} [{:+.1}, {:+.1}] nDCG@10, p = {:.4} (paired randomisation test).",
        row.system,
        row.baseline,
        points(row.difference.mean),
        points(row.difference.low),
        points(row.difference.high),
        row.p_randomisation.raw
    )
}

fn page(report: &Report, verdict: &[String], charts: &[(&str, Svg)], measured: &Measured) -> Page {
    let mut page = Page::new("Revela quickstart");
    let dataset = &report.dataset;
    page.paragraph(&format!(
        "{} queries over {} passages from parts of the corpus that training never saw.",
        dataset.queries, dataset.documents
    ));
    page.table(&report.table(), "Points of 100, with 95% bootstrap intervals over the queries.");
    verdict.iter().for_each(|line| {
        page.paragraph(line);
    });
    page.figure(&report.chart("Held-out queries").to_svg(), "");
    page.heading("Training");
    for (_, svg) in charts {
        page.figure(svg, "");
    }
    page.heading("Some queries, and what the kept retriever found").queries(&cases(measured));
    let times = report.seconds.iter().map(|(name, seconds)| format!("{name:<12} {seconds:>8.1} s"));
    page.heading("Time").preformatted(&times.collect::<Vec<_>>().join("\n"));
    page
}

/// Queries spread evenly over the collection.
fn cases(measured: &Measured) -> Vec<QueryCase> {
    let (documents, split) = (measured.test.documents(), measured.test.split());
    let excerpt = |row: usize| {
        let document = documents.get(row)?;
        Some(Excerpt { id: document.id.clone(), text: document.text.clone() })
    };
    let every = (split.queries.len() / CASES).max(1);
    let asked = split.queries.iter().zip(&measured.kept).step_by(every).take(CASES);
    let case = |(query, ranking): (&revela_eval::dataset::Query, &Vec<_>)| {
        let is_relevant = |id: &str| split.qrels.get(&query.id).is_some_and(|grades| grades.contains_key(id));
        let relevant = documents.iter().filter(|d| is_relevant(&d.id)).take(SHOWN);
        QueryCase {
            id: query.id.clone(),
            text: query.text.clone(),
            scores: scores(measured, &query.id),
            relevant: relevant.map(|d| Excerpt { id: d.id.clone(), text: d.text.clone() }).collect(),
            retrieved: ranking
                .iter()
                .take(SHOWN)
                .filter_map(|hit: &revela_index::topk::Scored<u32>| excerpt(hit.id as usize))
                .collect(),
        }
    };
    asked.map(case).collect()
}

/// A query's nDCG@10 under every system.
fn scores(measured: &Measured, query: &str) -> Vec<(String, f64)> {
    let of = |(name, evaluation): (&&'static str, &revela_eval::metrics::Evaluation)| {
        Some(((*name).to_owned(), *evaluation.per_query.get(&Metric::NDCG_10)?.get(query)?))
    };
    measured.systems.iter().filter_map(of).collect()
}

fn print(out: &Path, report: &Report, verdict: &[String], measured: &Measured) -> Result<()> {
    let dataset = &report.dataset;
    say(format_args!("{} held-out queries over {} passages", dataset.queries, dataset.documents))?;
    say(report.table().to_text(WIDTH))?;
    for line in verdict {
        say(line)?;
    }
    say(format_args!("report: {}", out.join("report.html").display()))?;
    let example = measured.test.split().queries.first().map_or("...", |query| query.text.as_str());
    say(format_args!("search: revela search {} \"{example}\"", out.join("collection").display()))?;
    Ok(())
}
