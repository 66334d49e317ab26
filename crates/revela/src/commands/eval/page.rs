//! Results as pages: tables, charts, and queries with their texts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Result;
use indexmap::IndexMap;
use revela_eval::chart::{Axis, LineChart, Series};
use revela_eval::dataset::Document;
use revela_eval::html::{Excerpt, Page, QueryCase};
use revela_eval::metrics::{Evaluation, Metric};
use revela_eval::statistics::{Interval, Resampling};
use revela_eval::{DatasetSummary, EvalResult, Report, Run, Table, query_scatter};

use crate::evaluation::HeldOut;

/// Queries shown on a page, in each list.
const CASES: usize = 15;

/// Documents shown of each ranking, and of what is relevant.
const SHOWN: usize = 5;

/// What intervals are, for captions.
const INTERVALS: &str = "Points of 100, with 95% bootstrap intervals over the queries.";

/// One system on one split.
pub(super) fn of_result(
    name: &str,
    result: &EvalResult,
    intervals: &[(Metric, Interval)],
    held_out: &HeldOut,
    run: &Run,
) -> Result<Page> {
    let mut page = Page::new(format!("{name} on {}", title(result)));
    let split = held_out.split();
    page.paragraph(&format!("{} queries over {} documents.", split.queries.len(), split.documents));
    for note in result.settings.get("notes").and_then(|notes| notes.as_array()).into_iter().flatten() {
        page.paragraph(note.as_str().unwrap_or_default());
    }
    let systems = IndexMap::from([(name.to_owned(), intervals.iter().copied().collect())]);
    let report = Report { dataset: DatasetSummary::default(), systems, seconds: IndexMap::new() };
    page.table(&report.table(), INTERVALS).figure(&report.chart("Means").to_svg(), "");
    curves(&mut page, &[(name, result)]);
    let texts = Texts::new(held_out);
    if let Some(metric) = result.metrics.keys().next().copied() {
        let worst = result.worst(name, metric, CASES)?;
        let cases = worst.iter().map(|(query, _)| {
            let mut case = texts.case(query, &[(name, result)], metric);
            let hits = run.get(query).unwrap_or_default().iter().take(SHOWN);
            case.retrieved = hits.filter_map(|hit| texts.excerpt(&hit.document)).collect();
            case
        });
        let cases: Vec<QueryCase> = cases.collect();
        page.heading(&format!("The worst queries by {metric}")).queries(&cases);
    }
    settings(&mut page, &[(name, result)]);
    Ok(page)
}

/// Several systems, the first of which is the one compared with.
pub(super) fn of_comparison(
    named: &[(&str, &EvalResult)],
    metrics: &[Metric],
    comparison: &Table,
    held_out: Option<&HeldOut>,
) -> Result<Page> {
    let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
    let on = named.first().map_or_else(String::new, |(_, result)| title(result));
    let mut page = Page::new(format!("{} on {on}", names.join(", ")));
    let report = means(named, metrics)?;
    page.table(&report.table(), INTERVALS).figure(&report.chart("Means").to_svg(), "");
    page.heading("Differences");
    page.table(comparison, "p-values corrected by Holm's method over all rows of this table.");
    curves(&mut page, named);
    let (Some(&first), Some(&metric)) = (named.first(), metrics.first()) else { return Ok(page) };
    page.heading("Query by query");
    for &other in named.iter().skip(1) {
        page.figure(
            &query_scatter(metric, first, other)?.to_svg(),
            "Above the diagonal, the system upwards is better.",
        );
    }
    let texts = held_out.map(Texts::new).unwrap_or_default();
    for &other in named.iter().skip(1) {
        let differences = differences(first.1, other.1, metric);
        let (losses, gains) = (differences.iter(), differences.iter().rev());
        let pair = [first, other];
        let case = |(query, _): &(&str, f64)| texts.case(query, &pair, metric);
        let losses: Vec<QueryCase> = losses.filter(|(_, d)| *d < 0.0).take(CASES).map(case).collect();
        let gains: Vec<QueryCase> = gains.filter(|(_, d)| *d > 0.0).take(CASES).map(case).collect();
        page.heading(&format!("Where {} loses most against {}", other.0, first.0)).queries(&losses);
        page.heading("Where it gains most").queries(&gains);
    }
    settings(&mut page, named);
    Ok(page)
}

/// What a result was measured on.
fn title(result: &EvalResult) -> String {
    let setting = |name: &str| result.settings.get(name).and_then(|value| value.as_str());
    let data = setting("task").or_else(|| setting("data")).unwrap_or("a collection");
    format!("{data}, {}", setting("split").unwrap_or("?"))
}

fn means(named: &[(&str, &EvalResult)], metrics: &[Metric]) -> Result<Report> {
    let mut systems = IndexMap::new();
    for (name, result) in named {
        let per_query = metrics.iter().filter_map(|m| Some((*m, result.per_query.get(m)?.clone()))).collect();
        let evaluation = Evaluation { per_query, ..Evaluation::default() };
        systems.insert((*name).to_owned(), evaluation.intervals(&Resampling::default())?);
    }
    Ok(Report { dataset: DatasetSummary::default(), systems, seconds: IndexMap::new() })
}

fn curves(page: &mut Page, named: &[(&str, &EvalResult)]) {
    let series = |(name, result): &(&str, &EvalResult)| {
        let points = result.recall_curve.iter().map(|&(depth, recall)| (depth as f64, 100.0 * recall));
        Series::new(*name, points)
    };
    let series: Vec<Series> = named.iter().map(series).filter(|series| !series.points.is_empty()).collect();
    if !series.is_empty() {
        let (x, y) = (Axis::log("depth k"), Axis::linear("recall@k (points of 100)"));
        let chart = LineChart { title: "Recall over depth".into(), x, y, series, levels: vec![] };
        page.figure(&chart.to_svg(), "");
    }
}

/// Queries that both have, by the second's value minus the first's.
fn differences<'a>(first: &'a EvalResult, second: &EvalResult, metric: Metric) -> Vec<(&'a str, f64)> {
    let empty = BTreeMap::new();
    let values = second.per_query.get(&metric).unwrap_or(&empty);
    let of_first = first.per_query.get(&metric).into_iter().flatten();
    let mut all: Vec<(&str, f64)> =
        of_first.filter_map(|(query, a)| Some((query.as_str(), values.get(query)? - a))).collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(b.0)));
    all
}

fn settings(page: &mut Page, named: &[(&str, &EvalResult)]) {
    let lines = named.iter().map(|(name, result)| {
        let settings = result.settings.iter().filter(|(key, _)| *key != "notes");
        let settings: Vec<String> = settings.map(|(key, value)| format!("  {key}: {value}")).collect();
        format!("{name}\n{}", settings.join("\n"))
    });
    page.heading("Settings").preformatted(&lines.collect::<Vec<_>>().join("\n"));
}

/// Looks up texts by their ids.
#[derive(Default)]
struct Texts<'a> {
    held_out: Option<&'a HeldOut>,
    documents: HashMap<&'a str, &'a Document>,
    queries: HashMap<&'a str, &'a str>,
}

impl<'a> Texts<'a> {
    fn new(held_out: &'a HeldOut) -> Self {
        let documents = held_out.documents().iter().map(|document| (document.id.as_str(), document));
        let queries = held_out.split().queries.iter().map(|query| (query.id.as_str(), query.text.as_str()));
        Self { held_out: Some(held_out), documents: documents.collect(), queries: queries.collect() }
    }

    fn excerpt(&self, id: &str) -> Option<Excerpt> {
        let document = self.documents.get(id)?;
        let text = match document.title.as_str() {
            "" => document.text.clone(),
            title => format!("{title}\n{}", document.text),
        };
        Some(Excerpt { id: id.to_owned(), text })
    }

    /// A query with its scores and relevant documents, best grades first.
    fn case(&self, query: &str, systems: &[(&str, &EvalResult)], metric: Metric) -> QueryCase {
        let judged = self.held_out.and_then(|held_out| held_out.split().qrels.get(query));
        let relevant = judged.into_iter().flatten().filter(|(_, grade)| **grade > 0);
        let relevant: BTreeSet<(i32, &str)> = relevant.map(|(id, grade)| (-grade, id.as_str())).collect();
        let score = |(name, result): &(&str, &EvalResult)| {
            Some(((*name).to_owned(), *result.per_query.get(&metric)?.get(query)?))
        };
        QueryCase {
            id: query.to_owned(),
            text: self.queries.get(query).copied().unwrap_or(query).to_owned(),
            scores: systems.iter().filter_map(score).collect(),
            relevant: relevant.iter().take(SHOWN).filter_map(|(_, id)| self.excerpt(id)).collect(),
            retrieved: Vec::new(),
        }
    }
}
