//! What one system scored on one split, as a file.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use revela_base::sealed::{self, Format};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::EvalError;
use crate::metrics::{Evaluation, Metric};

const FORMAT: Format = Format { name: "revela.result", version: 1 };

/// How many queries a result rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QueryCounts {
    /// Queries that were scored.
    pub scored: usize,
    /// Judged queries that the run does not answer.
    pub missing: usize,
    /// Answered queries without judgements, which were ignored.
    pub unjudged: usize,
    /// Scored queries that no document answers.
    pub without_relevant: usize,
}

/// The result of one evaluation. Metrics are fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalResult {
    /// The mean over the queries, for each metric.
    pub metrics: IndexMap<Metric, f64>,
    /// How many queries that is.
    pub queries: QueryCounts,
    /// What was measured and how: data, split, encoder, mode, ...
    pub settings: BTreeMap<String, Value>,
    /// Mean recall over depth: pairs of a depth and the recall of that many results; empty in older files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recall_curve: Vec<(usize, f64)>,
    /// For each metric, the value of each query by id.
    pub per_query: IndexMap<Metric, BTreeMap<String, f64>>,
}

impl EvalResult {
    /// Joins what was scored with the settings under which it was.
    pub fn new(evaluation: Evaluation, settings: BTreeMap<String, Value>) -> Self {
        let Evaluation { missing, unjudged, without_relevant, .. } = evaluation;
        let scored = evaluation.per_query.first().map_or(0, |(_, values)| values.len());
        let queries = QueryCounts { scored, missing, unjudged, without_relevant };
        let (metrics, per_query) = (evaluation.means(), evaluation.per_query);
        Self { metrics, queries, settings, recall_curve: Vec::new(), per_query }
    }

    /// Adds what [`recall_curve`](crate::metrics::recall_curve) found.
    #[must_use]
    pub fn with_recall_curve(mut self, curve: Vec<(usize, f64)>) -> Self {
        self.recall_curve = curve;
        self
    }

    /// Writes the file.
    ///
    /// # Errors
    /// A file system error.
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

    /// The queries with the lowest values of a metric, lowest first, ties by id.
    ///
    /// # Errors
    /// The metric was not measured; `system` is what the error calls this result.
    pub fn worst(&self, system: &str, metric: Metric, count: usize) -> Result<Vec<(&str, f64)>, EvalError> {
        let values = self.values(system, metric)?;
        let mut worst: Vec<(&str, f64)> =
            values.iter().map(|(query, &value)| (query.as_str(), value)).collect();
        worst.sort_by(|a, b| {
            let by_value = a.1.total_cmp(&b.1);
            if metric.higher_is_better() { by_value } else { by_value.reverse() }
        });
        worst.truncate(count);
        Ok(worst)
    }

    /// The values of a metric by query.
    pub(crate) fn values(&self, system: &str, metric: Metric) -> Result<&BTreeMap<String, f64>, EvalError> {
        self.per_query.get(&metric).ok_or_else(|| EvalError::MissingMetric {
            system: system.to_owned(),
            metric,
            available: self.per_query.keys().map(Metric::to_string).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> EvalResult {
        let values = BTreeMap::from([("q1".to_owned(), 0.5), ("q2".to_owned(), 0.0), ("q0".to_owned(), 0.0)]);
        let evaluation = Evaluation {
            per_query: IndexMap::from([(Metric::RECALL_100, values.clone()), (Metric::NDCG_10, values)]),
            missing: 1,
            ..Evaluation::default()
        };
        EvalResult::new(evaluation, BTreeMap::from([("split".to_owned(), "test".into())]))
    }

    #[test]
    fn the_file_has_the_promised_shape_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        let result = || result().with_recall_curve(vec![(1, 0.25), (10, 0.5)]);
        result().write(&path).unwrap();
        let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(json["metrics"]["ndcg@10"], 0.5 / 3.0);
        assert_eq!(json["per_query"]["recall@100"]["q1"], 0.5);
        assert_eq!(json["recall_curve"][1][1], 0.5);
        assert_eq!((&json["settings"]["split"], &json["queries"]["missing"]), (&"test".into(), &1.into()));
        let read = EvalResult::read(&path).unwrap();
        assert_eq!(read, result());
        assert!(read.metrics.keys().eq([&Metric::RECALL_100, &Metric::NDCG_10]), "the order is kept");
    }

    #[test]
    fn the_worst_queries_come_first() {
        let result = result();
        assert_eq!(result.worst("a", Metric::NDCG_10, 2).unwrap(), [("q0", 0.0), ("q2", 0.0)]);
        let error = result.worst("bm25", Metric::MRR_10, 2).unwrap_err().to_string();
        assert!(error.contains("bm25 has no values for mrr@10; it has recall@100, ndcg@10"), "{error}");
    }
}
