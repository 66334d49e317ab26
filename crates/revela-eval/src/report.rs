//! What quickstart tells at its end: every system on one collection, with intervals.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::{IndexMap, IndexSet};
use revela_base::sealed::{self, Format};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chart::{BarChart, BarSeries};
use crate::error::EvalError;
use crate::metrics::Metric;

use crate::statistics::Interval;
use crate::table::{Best, Cell, Column, Table};

const FORMAT: Format = Format { name: "revela.report", version: 1 };

/// The collection that systems were measured on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DatasetSummary {
    /// Its name.
    pub name: String,
    /// The split.
    pub split: String,
    /// Number of documents.
    pub documents: u64,
    /// Number of queries.
    pub queries: u64,
    /// Anything else worth telling: where it came from, what was held out.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// Several systems on one collection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The collection.
    pub dataset: DatasetSummary,
    /// By system, in the order they were added: each metric's mean as a fraction, with its interval.
    pub systems: IndexMap<String, IndexMap<Metric, Interval>>,
    /// What took how long.
    pub seconds: IndexMap<String, f64>,
}

impl Report {
    /// Writes the file.
    ///
    /// # Errors
    /// A file system error, or a number that is not finite.
    pub fn write(&self, path: &Path) -> Result<(), EvalError> {
        Ok(sealed::write(path, FORMAT, self)?)
    }

    /// Reads a file that [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// It is not such a file, of another version, or damaged.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        Ok(sealed::read(path, FORMAT)?)
    }

    /// The metrics of all systems, in order of first use.
    fn metrics(&self) -> IndexSet<Metric> {
        self.systems.values().flat_map(IndexMap::keys).copied().collect()
    }

    /// One row a system, one column a metric, in points of 100; the best of each metric is marked.
    pub fn table(&self) -> Table {
        let metrics = self.metrics();
        let best = |metric: &Metric| if metric.higher_is_better() { Best::Highest } else { Best::Lowest };
        let heads = metrics.iter().map(|metric| Column::new(metric.to_string(), best(metric)));
        let mut table = Table::new(std::iter::once(Column::new("system", Best::NotMarked)).chain(heads));
        for (system, values) in &self.systems {
            let cells = metrics.iter().map(|metric| values.get(metric).map_or(Cell::Empty, Cell::interval));
            table.push(std::iter::once(Cell::text(system)).chain(cells));
        }
        table
    }

    /// The same as bars with whiskers.
    pub fn chart(&self, title: &str) -> BarChart {
        let metrics = self.metrics();
        let points =
            |i: &Interval| Interval { mean: 100.0 * i.mean, low: 100.0 * i.low, high: 100.0 * i.high };
        let series = self.systems.iter().map(|(system, values)| BarSeries {
            name: system.clone(),
            values: metrics.iter().map(|metric| values.get(metric).map(points)).collect(),
        });
        BarChart {
            title: title.to_owned(),
            y_label: "points of 100; whiskers: bootstrap interval over the queries".to_owned(),
            groups: metrics.iter().map(Metric::to_string).collect(),
            series: series.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let interval = |mean| Interval { mean, low: mean - 0.01, high: mean + 0.01 };
        let mut report = Report::default();
        report.dataset.name = "held-out crates".to_owned();
        report.dataset.more.insert("crates".to_owned(), 12.into());
        for (system, ndcg) in [("untrained", 0.05), ("bm25", 0.6), ("revela", 0.7)] {
            let values =
                IndexMap::from([(Metric::NDCG_10, interval(ndcg)), (Metric::MRR_10, interval(ndcg))]);
            report.systems.insert(system.to_owned(), values);
        }
        report.seconds.insert("train".to_owned(), 12.5);
        report
    }

    #[test]
    fn systems_keep_their_order_through_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        report().write(&path).unwrap();
        let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(json["systems"]["bm25"]["ndcg@10"]["mean"], 0.6);
        assert_eq!((&json["dataset"]["crates"], &json["seconds"]["train"]), (&12.into(), &12.5.into()));
        let read = Report::read(&path).unwrap();
        assert!(read.systems.keys().eq(["untrained", "bm25", "revela"]));
        assert_eq!(read, report());
    }

    #[test]
    fn the_table_marks_the_best() {
        let text = report().table().to_text(100);
        assert!(text.lines().any(|l| l.contains("revela") && l.matches('*').count() == 2), "{text}");
        assert!(text.contains("60.0 [59.0, 61.0]"), "{text}");
    }
}
