//! Systems on collections with judgements.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use revela_base::progress::Progress as _;
use revela_eval::dataset::{Query as Asked, Selection, UnknownIdPolicy};
use revela_eval::metrics::{EvaluationOptions, Metric, UnjudgedQueries, evaluate};
use revela_eval::statistics::{Interval, Resampling};
use revela_eval::{
    CompareOptions, EvalResult, Hit, Pairs, QuerySets, Run, SelfMatches, compare as compare_results,
    comparison_table,
};
use revela_index::fusion::Fusion;
use revela_pipeline::evaluation::{HeldOut, Rankings};
use serde_json::Value;

use crate::call::{self, Caller, Desk};
use crate::collection::PyCollection;
use crate::encoder::{PyEncoder, Stoppable};
use crate::error::Failure;
use crate::json;
use crate::options::{analyser, named};
use crate::query::{Asking, Options};

/// Queries between two looks for Ctrl-C; the program searches for as many at a time.
const QUERIES: usize = 32;

/// Width of tables in characters.
const WIDTH: u16 = 160;

/// A collection with judgements, and what is measured on it.
#[pyclass(frozen, module = "revela._revela", name = "TestCollection")]
pub(crate) struct PyTestCollection {
    held_out: HeldOut,
    metrics: Vec<Metric>,
    settings: BTreeMap<String, Value>,
}

#[pymethods]
impl PyTestCollection {
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        data: PathBuf,
        split: String,
        subset: Option<String>,
        self_matches: Option<&str>,
        metrics: Vec<String>,
        depth: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        if depth == 0 {
            return Err(
                Failure::input("depth is 0, but at least one result per query must be asked for").into()
            );
        }
        let metrics = parse_metrics(&metrics)?;
        let rule = self_matches.map(|rule| named("self_matches", rule)).transpose()?;
        let self_matches = rule.unwrap_or(SelfMatches::UNKNOWN_TASK);
        let settings = BTreeMap::from([
            ("data".to_owned(), data.display().to_string().into()),
            ("split".to_owned(), split.as_str().into()),
            ("depth".to_owned(), depth.into()),
        ]);
        let selection = Selection { split, subset, self_matches };
        let caller = Caller { progress, ..Caller::default() };
        let held_out = call::long(py, 0, caller, |desk| {
            let unknown = UnknownIdPolicy::Report;
            let held_out = HeldOut::load(&data, &selection, unknown, Vec::new(), desk, &desk.interrupt)?;
            Ok(held_out.with_depth(depth))
        })?;
        Ok(Self { held_out, metrics, settings })
    }

    /// Ids and texts of the queries.
    fn queries(&self) -> Vec<(&str, &str)> {
        self.held_out.split().queries.iter().map(|query| (query.id.as_str(), query.text.as_str())).collect()
    }

    /// Ids, titles and texts of the documents.
    fn documents(&self) -> Vec<(&str, &str, &str)> {
        let documents = self.held_out.documents().iter();
        documents.map(|d| (d.id.as_str(), d.title.as_str(), d.text.as_str())).collect()
    }

    /// How deep systems must search.
    #[getter]
    fn search_depth(&self) -> usize {
        self.held_out.search_depth()
    }

    /// Measures an encoder by exact search, BM25, or both fused.
    fn measure(
        &self,
        py: Python<'_>,
        encoder: Option<PyRef<'_, PyEncoder>>,
        mode: &str,
        analyser_name: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<PyReport> {
        let analyser = analyser(analyser_name)?;
        let with_words = matches!(mode, "bm25" | "hybrid");
        let encoder = encoder.as_deref().filter(|_| mode != "bm25");
        let caller = Caller { progress, ..Caller::default() };
        call::long(py, encoder.map_or(0, PyEncoder::threads), caller, |desk| {
            let interrupt = &desk.interrupt;
            let dense = encoder.map(|encoder| {
                self.held_out.dense(&Stoppable { encoder: encoder.encoder(), interrupt }, desk, interrupt)
            });
            let words = with_words.then(|| self.held_out.bm25(analyser));
            let rankings: Rankings = match (dense.transpose()?, words.transpose()?) {
                (Some(dense), Some(words)) => {
                    self.held_out.fused(Fusion::default(), &[(&dense, 1.0), (&words, 1.0)])
                }
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => return Err(Failure::input("dense and hybrid need an encoder")),
            };
            self.report(self.held_out.run(&rankings)?, mode)
        })
    }

    /// Measures what a collection finds.
    fn measure_collection(
        &self,
        py: Python<'_>,
        collection: PyRef<'_, PyCollection>,
        options: Options,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<PyReport> {
        let mode = options.1.clone();
        let asking = Asking::new(options)?;
        let caller = Caller { progress, ..Caller::default() };
        let collection = &*collection;
        call::long(py, collection.threads(), caller, |desk| {
            let run = self.search(collection, &asking, desk)?;
            self.report(self.held_out.counting(run), &mode)
        })
    }

    /// Measures a run: scores of documents by query.
    fn measure_run(
        &self,
        py: Python<'_>,
        found: HashMap<String, HashMap<String, f32>>,
        name: &str,
    ) -> PyResult<PyReport> {
        call::short(py, || {
            let mut run = Run::new();
            for (query, documents) in found {
                let hit = |(document, score)| Hit::new(document, score);
                run.insert(&query, documents.into_iter().map(hit).collect())?;
            }
            self.report(self.held_out.counting(run), name)
        })
    }
}

impl PyTestCollection {
    fn search(&self, collection: &PyCollection, asking: &Asking, desk: &Desk) -> Result<Run, Failure> {
        let searcher = collection.snapshot()?;
        let queries: &[Asked] = &self.held_out.split().queries;
        let task = desk.task("searching", "queries", Some(queries.len() as u64));
        let mut run = Run::new();
        for block in queries.chunks(QUERIES) {
            desk.interrupt.check()?;
            let asked = block.iter().map(|query| asking.query(Some(query.text.clone()), None));
            let asked = asked.collect::<Result<Vec<_>, _>>()?;
            for (query, found) in block.iter().zip(searcher.find_batch(&asked)?) {
                run.insert(
                    &query.id,
                    found.into_iter().map(|found| Hit::new(found.id, found.score)).collect(),
                )?;
            }
            task.advance(block.len() as u64);
        }
        Ok(run)
    }

    fn report(&self, run: Run, mode: &str) -> Result<PyReport, Failure> {
        // As the program does: what has no judgements does not count.
        let options = EvaluationOptions { unjudged: UnjudgedQueries::Ignore, ..EvaluationOptions::default() };
        let qrels = &self.held_out.split().qrels;
        let evaluation = evaluate(qrels, &run, &self.metrics, &options)?;
        let judged = qrels.len();
        if evaluation.missing == judged {
            let detail = "is it of another split?";
            return Err(Failure::input(format!(
                "the run answers none of the {judged} judged queries; {detail}"
            )));
        }
        let intervals = evaluation.intervals(&Resampling::default())?.into_iter().collect();
        let mut settings = self.settings.clone();
        settings.insert("mode".to_owned(), mode.into());
        Ok(PyReport { result: EvalResult::new(evaluation, settings), intervals, run: Some(Arc::new(run)) })
    }
}

fn parse_metrics(names: &[String]) -> Result<Vec<Metric>, Failure> {
    names.iter().map(|name| Ok(name.parse::<Metric>()?)).collect()
}

/// What a system scored.
#[pyclass(frozen, module = "revela._revela", name = "Report")]
pub(crate) struct PyReport {
    result: EvalResult,
    intervals: Vec<(Metric, Interval)>,
    run: Option<Arc<Run>>,
}

#[pymethods]
impl PyReport {
    /// Reads what `save` or `revela eval --json` wrote.
    #[staticmethod]
    fn read(path: PathBuf) -> Result<Self, Failure> {
        Ok(Self { result: EvalResult::read(&path)?, intervals: Vec::new(), run: None })
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        call::short(py, || Ok(self.result.write(&path)?))
    }

    /// Means by metric.
    #[getter]
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        self.result.metrics.iter().try_for_each(|(metric, mean)| dict.set_item(metric.to_string(), mean))?;
        Ok(dict)
    }

    /// 95% intervals of the means by metric; empty for a report that was read.
    #[getter]
    fn intervals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (metric, interval) in &self.intervals {
            dict.set_item(metric.to_string(), (interval.low, interval.high))?;
        }
        Ok(dict)
    }

    /// Values by metric and query.
    #[getter]
    fn per_query(&self) -> HashMap<String, BTreeMap<String, f64>> {
        self.result.per_query.iter().map(|(metric, values)| (metric.to_string(), values.clone())).collect()
    }

    /// Scores by query and document, best first; nothing for a report that was read.
    #[getter]
    fn run<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(run) = &self.run else { return Ok(None) };
        let queries = PyDict::new(py);
        for (query, hits) in run.iter() {
            let documents = PyDict::new(py);
            hits.iter().try_for_each(|hit| documents.set_item(&hit.document, hit.score))?;
            queries.set_item(query, documents)?;
        }
        Ok(Some(queries))
    }

    /// What was measured and how.
    #[getter]
    fn settings(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        json::to_python(py, &Value::Object(self.result.settings.clone().into_iter().collect()))
    }

    /// How many queries were scored, and how many the run did not answer.
    #[getter]
    fn queries(&self) -> (usize, usize) {
        (self.result.queries.scored, self.result.queries.missing)
    }
}

/// Rows and a table of whether systems are better than the first.
#[pyfunction]
pub(crate) fn compare(
    py: Python<'_>,
    names: Vec<String>,
    reports: Vec<Py<PyReport>>,
    metrics: Vec<String>,
    intersect: bool,
) -> PyResult<(Vec<Py<PyAny>>, String)> {
    let metrics = parse_metrics(&metrics)?;
    let results: Vec<(&str, &EvalResult)> =
        names.iter().map(String::as_str).zip(reports.iter().map(|report| &report.get().result)).collect();
    let queries = if intersect { QuerySets::Intersect } else { QuerySets::MustMatch };
    let options = CompareOptions { queries, pairs: Pairs::WithFirst, ..CompareOptions::default() };
    let rows = call::short(py, || Ok(compare_results(&results, &metrics, &options)?))?;
    let table = comparison_table(&rows).to_text(WIDTH);
    let row = |row: &revela_eval::Comparison| -> PyResult<Py<PyAny>> {
        let dict = PyDict::new(py);
        dict.set_item("metric", row.metric.to_string())?;
        dict.set_item("baseline", &row.baseline)?;
        dict.set_item("system", &row.system)?;
        dict.set_item("queries", row.queries)?;
        dict.set_item("baseline_mean", row.baseline_mean)?;
        dict.set_item("system_mean", row.system_mean)?;
        dict.set_item("difference", row.difference.mean)?;
        dict.set_item("interval", (row.difference.low, row.difference.high))?;
        dict.set_item("p", row.p_randomisation.raw)?;
        dict.set_item("p_holm", row.p_randomisation.holm)?;
        Ok(dict.into_any().unbind())
    };
    Ok((rows.iter().map(row).collect::<PyResult<_>>()?, table))
}
