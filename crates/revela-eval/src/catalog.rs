//! The catalogue: what is known of public test collections, and figures that others published on them.
//!
//! The entries are the files of `datasets/` at the root of the repository. They state facts with their
//! sources; what could not be looked up is left out.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Deserialize;

use crate::error::EvalError;
use crate::exclusions::SelfMatches;
use crate::metrics::Metric;

mod entries;

/// Where a data set, or a part of it, lies on the Hugging Face hub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// The task's part that lies here; nothing where it is the whole task.
    pub part: Option<String>,
    /// Its name, `org/name`.
    pub repo: String,
    /// The commit whose files are meant.
    pub revision: String,
    /// The subset of the data set, where it holds several.
    pub subset: Option<String>,
}

/// A data set as one archive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Where it is.
    pub url: String,
    /// The MD5 checksum that its publishers state.
    pub md5: String,
}

/// How MTEB calls a task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MtebEntry {
    /// The task's name.
    pub task: String,
    /// Its languages, such as `eng-Latn`.
    #[serde(default)]
    pub languages: Vec<String>,
}

/// One task of a benchmark.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Task {
    /// Its short name, by which commands know it.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// The benchmark that it belongs to.
    pub benchmark: String,
    /// The split on which results are published.
    pub split: String,
    /// The metric that is published.
    pub metric: Metric,
    /// Its licence, where one is stated.
    pub licence: Option<String>,
    /// Number of documents.
    pub documents: Option<u64>,
    /// Number of documents where only a rounded figure is published, in its words.
    pub documents_about: Option<String>,
    /// Number of queries of the split.
    pub queries: Option<u64>,
    /// What is put before a query or said of the task to models that take instructions.
    pub query_prompt: Option<String>,
    /// How the task's own figure is formed where it is a mean of parts.
    pub average: Option<String>,
    /// The parts of which it is the mean.
    #[serde(default)]
    pub parts: Vec<String>,
    /// What happens to a result that has the query's id.
    #[serde(default)]
    pub self_matches: SelfMatches,
    /// Its place on the hub, or those of its parts; empty where it is not there.
    #[serde(default)]
    pub hub: Vec<HubSource>,
    /// Its archive, where it has one.
    pub archive: Option<Archive>,
    /// Its name in MTEB, where it is there.
    pub mteb: Option<MtebEntry>,
    /// Where each of these facts was read.
    pub sources: Vec<String>,
}

/// Figures that somebody published.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The publication.
    pub source: String,
    /// Its tables.
    pub tables: Vec<PublishedTable>,
}

/// Several systems by one metric.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedTable {
    /// The benchmark.
    pub benchmark: String,
    /// The task; nothing where the figures are means over the benchmark.
    pub task: Option<String>,
    /// The metric.
    pub metric: Metric,
    /// Each system's figure in points of 100.
    pub percent: IndexMap<String, f64>,
}

/// All tasks, sorted by benchmark and name.
///
/// # Errors
/// An entry is malformed, which the tests of this crate rule out.
pub fn tasks() -> Result<Vec<Task>, EvalError> {
    let mut tasks =
        entries::TASKS.iter().map(|(name, text)| parse(name, text)).collect::<Result<Vec<Task>, _>>()?;
    tasks.sort_by(|a, b| (&a.benchmark, &a.name).cmp(&(&b.benchmark, &b.name)));
    Ok(tasks)
}

/// The task of this name.
///
/// # Errors
/// [`EvalError::UnknownTask`] with those that there are.
pub fn task(name: &str) -> Result<Task, EvalError> {
    let tasks = tasks()?;
    let available = || tasks.iter().map(|task| task.name.clone()).collect();
    tasks
        .iter()
        .find(|task| task.name == name)
        .cloned()
        .ok_or_else(|| EvalError::UnknownTask { name: name.to_owned(), available: available() })
}

/// All published figures.
///
/// # Errors
/// As [`tasks`].
pub fn published() -> Result<Vec<Published>, EvalError> {
    entries::PUBLISHED.iter().map(|(name, text)| parse(name, text)).collect()
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, EvalError> {
    toml::from_str(text).map_err(|e| EvalError::BadEntry { name: name.to_owned(), detail: e.to_string() })
}

/// Published figures that stand beside a measurement: for a task its own, for a whole benchmark the means.
///
/// Returns (source, system, fraction), the best first within a publication.
///
/// # Errors
/// As [`tasks`].
pub fn figures(
    benchmark: &str,
    task: Option<&str>,
    metric: Metric,
) -> Result<Vec<(String, String, f64)>, EvalError> {
    let mut rows = Vec::new();
    for published in published()? {
        for mut table in published.tables {
            if table.benchmark == benchmark && table.task.as_deref() == task && table.metric == metric {
                table.percent.sort_by(|_, a, _, b| b.total_cmp(a));
                let row =
                    |(system, percent): (String, f64)| (published.source.clone(), system, percent / 100.0);
                rows.extend(table.percent.into_iter().map(row));
            }
        }
    }
    Ok(rows)
}

/// A benchmark's figure from those of its tasks: the mean over the tasks, where a task that has parts is the
/// mean of these. `values` holds a value for a task's name, or for each `NAME/PART` of one that has parts.
///
/// Returns the mean over those tasks that have all their values, and the names of the others.
///
/// # Errors
/// As [`tasks`].
pub fn benchmark_mean(
    benchmark: &str,
    values: &BTreeMap<String, f64>,
) -> Result<(Option<f64>, Vec<String>), EvalError> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for task in tasks()?.into_iter().filter(|task| task.benchmark == benchmark) {
        let parts: Option<Vec<f64>> =
            task.parts.iter().map(|part| values.get(&format!("{}/{part}", task.name)).copied()).collect();
        let of_parts = parts.filter(|parts| !parts.is_empty()).map(|parts| mean(&parts));
        match values.get(&task.name).copied().or(of_parts) {
            Some(value) => found.push(value),
            None => missing.push(task.name),
        }
    }
    Ok(((!found.is_empty()).then(|| mean(&found)), missing))
}

fn mean(values: &[f64]) -> f64 {
    crate::statistics::mean(values.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets")
    }

    #[test]
    fn every_file_is_an_entry_and_every_entry_a_task_by_its_files_name() {
        let files = |dir: &Path| -> BTreeSet<String> {
            let names =
                std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            names.filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned())).collect()
        };
        let names = |entries: &[(&str, &str)]| entries.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files(&folder()), names(entries::TASKS));
        assert_eq!(files(&folder().join("published")), names(entries::PUBLISHED));
        assert!(tasks().unwrap().iter().all(|task| files(&folder()).contains(&task.name)));
        assert!(tasks().unwrap().iter().all(|task| !task.sources.is_empty()));
    }

    #[test]
    fn the_benchmarks_are_whole() {
        let tasks = tasks().unwrap();
        let count = |benchmark: &str| tasks.iter().filter(|task| task.benchmark == benchmark).count();
        assert_eq!((count("BEIR"), count("CoIR"), count("BRIGHT"), tasks.len()), (18, 10, 12, 40));
        let scifact = task("scifact").unwrap();
        assert_eq!((scifact.documents, scifact.queries), (Some(5_183), Some(300)));
        assert_eq!(task("arguana").unwrap().self_matches, SelfMatches::Drop);
        let error = task("scifakt").unwrap_err().to_string();
        assert!(error.contains("scifakt") && error.contains("revela data tasks"), "{error}");
    }

    #[test]
    fn published_means_are_those_of_the_paper() {
        let figures = figures("CoIR", None, Metric::NDCG_10).unwrap();
        let of = |name: &str| figures.iter().find(|(_, system, _)| system == name).unwrap().2;
        assert_eq!((of("Revela-3B"), of("BM25")), (0.601, 0.42));
        assert_eq!(
            figures.first().map(|(_, system, _)| system.as_str()),
            Some("Revela-3B"),
            "the best first"
        );
    }

    #[test]
    fn a_task_of_parts_counts_once() {
        let beir: Vec<Task> = tasks().unwrap().into_iter().filter(|task| task.benchmark == "BEIR").collect();
        let parts = &beir.iter().find(|task| task.name == "cqadupstack").unwrap().parts;
        assert_eq!(parts.len(), 12);
        let mut values: BTreeMap<String, f64> =
            parts.iter().map(|part| (format!("cqadupstack/{part}"), 0.2)).collect();
        values.insert("scifact".into(), 0.6);
        let (mean, missing) = benchmark_mean("BEIR", &values).unwrap();
        assert!((mean.unwrap() - 0.4).abs() < 1e-12);
        assert_eq!(missing.len(), 16);
        values.remove("cqadupstack/gis");
        assert_eq!(
            benchmark_mean("BEIR", &values).unwrap(),
            (Some(0.6), {
                let mut all = missing.clone();
                all.push("cqadupstack".into());
                all.sort();
                all
            })
        );
        assert_eq!(benchmark_mean("BRIGHT", &values).unwrap().0, None);
    }
}
