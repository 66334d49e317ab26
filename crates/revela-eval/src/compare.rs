//! Whether one system is better than another: paired statistics over the queries they share.

use std::collections::BTreeMap;

use crate::chart::{QueryPoint, ScatterChart};
use crate::error::EvalError;
use crate::metrics::Metric;
use crate::result::EvalResult;
use crate::statistics::{
    Interval, Outcomes, Resampling, bootstrap_mean, effect_size, holm, mean, outcomes, paired_t_test,
    randomisation_test,
};
use crate::table::{Best, Cell, Column, Table};

/// What to do when results cover different queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuerySets {
    /// Refuse: means over different queries say nothing about the systems.
    #[default]
    MustMatch,
    /// Compare on the queries that both have.
    Intersect,
}

/// Which systems are compared with which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pairs {
    /// Each with the first.
    #[default]
    WithFirst,
    /// Each with every one before it.
    All,
}

/// How results are compared.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CompareOptions {
    /// Intervals and the randomisation test.
    pub resampling: Resampling,
    /// Results over different queries.
    pub queries: QuerySets,
    /// Which pairs.
    pub pairs: Pairs,
}

/// A p-value as it came out, and corrected for the number of comparisons made in one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PValue {
    /// Of this comparison alone.
    pub raw: f64,
    /// After Holm's correction over all rows.
    pub holm: f64,
}

/// One system against another on one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The metric.
    pub metric: Metric,
    /// The system compared with.
    pub baseline: String,
    /// The system compared.
    pub system: String,
    /// Number of queries that both were measured on.
    pub queries: usize,
    /// The baseline's mean on them.
    pub baseline_mean: f64,
    /// The system's mean on them.
    pub system_mean: f64,
    /// System minus baseline, with its bootstrap interval over the queries.
    pub difference: Interval,
    /// Queries where the metric's value is higher, equal and lower than the baseline's.
    pub outcomes: Outcomes,
    /// Cohen's d of the paired differences; `None` when they are all the same.
    pub effect_size: Option<f64>,
    /// Paired randomisation test.
    pub p_randomisation: PValue,
    /// Paired t-test; `None` for a single query.
    pub p_t: Option<PValue>,
}

/// Compares named results on each of the metrics. All rows are one family for Holm's correction.
///
/// # Errors
/// Fewer than two results, a metric that one of them lacks, different queries where they must match, or
/// no query that two of them share.
pub fn compare(
    results: &[(&str, &EvalResult)],
    metrics: &[Metric],
    options: &CompareOptions,
) -> Result<Vec<Comparison>, EvalError> {
    if results.len() < 2 {
        let value = results.len().to_string();
        return Err(EvalError::BadSetting { name: "the number of results", value, expected: "at least 2" });
    }
    let mut rows = Vec::new();
    for &metric in metrics {
        for (index, &system) in results.iter().enumerate().skip(1) {
            let last = if options.pairs == Pairs::All { index } else { 1 };
            for &baseline in results.iter().take(last) {
                rows.push(row(metric, baseline, system, options)?);
            }
        }
    }
    correct(&mut rows);
    Ok(rows)
}

fn row(
    metric: Metric,
    (baseline, baseline_result): (&str, &EvalResult),
    (system, system_result): (&str, &EvalResult),
    options: &CompareOptions,
) -> Result<Comparison, EvalError> {
    let left = baseline_result.values(baseline, metric)?;
    let right = system_result.values(system, metric)?;
    let pairs: Vec<(f64, f64)> = left.iter().filter_map(|(q, &a)| Some((a, *right.get(q)?))).collect();
    let different = pairs.len() != left.len() || pairs.len() != right.len();
    if pairs.is_empty() || (different && options.queries == QuerySets::MustMatch) {
        return Err(different_queries(baseline, left, system, right, pairs.len()));
    }
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
    let uncorrected = |raw| PValue { raw, holm: raw };
    Ok(Comparison {
        metric,
        baseline: baseline.to_owned(),
        system: system.to_owned(),
        queries: pairs.len(),
        baseline_mean: mean(pairs.iter().map(|pair| pair.0)),
        system_mean: mean(pairs.iter().map(|pair| pair.1)),
        difference: bootstrap_mean(&differences, &options.resampling)?,
        outcomes: outcomes(&differences),
        effect_size: effect_size(&differences),
        p_randomisation: uncorrected(randomisation_test(&differences, &options.resampling)?),
        p_t: paired_t_test(&differences).ok().map(|test| uncorrected(test.p)),
    })
}

fn different_queries(
    left: &str,
    left_values: &BTreeMap<String, f64>,
    right: &str,
    right_values: &BTreeMap<String, f64>,
    both: usize,
) -> EvalError {
    let (left, right) = (left.to_owned(), right.to_owned());
    let (only_left, only_right) = (left_values.len() - both, right_values.len() - both);
    EvalError::DifferentQueries { left, right, only_left, only_right, both }
}

/// Fills in Holm's correction; the two tests are corrected apart.
fn correct(rows: &mut [Comparison]) {
    let raw: Vec<f64> = rows.iter().map(|row| row.p_randomisation.raw).collect();
    for (row, corrected) in rows.iter_mut().zip(holm(&raw)) {
        row.p_randomisation.holm = corrected;
    }
    let raw: Vec<f64> = rows.iter().filter_map(|row| row.p_t).map(|p| p.raw).collect();
    for (p, corrected) in rows.iter_mut().filter_map(|row| row.p_t.as_mut()).zip(holm(&raw)) {
        p.holm = corrected;
    }
}

/// The queries that two named results share as a scatter chart of one metric, in points of 100.
///
/// # Errors
/// One of them lacks the metric.
pub fn query_scatter(
    metric: Metric,
    (baseline, baseline_result): (&str, &EvalResult),
    (system, system_result): (&str, &EvalResult),
) -> Result<ScatterChart, EvalError> {
    let left = baseline_result.values(baseline, metric)?;
    let right = system_result.values(system, metric)?;
    let points = left.iter().filter_map(|(query, &x)| {
        let y = *right.get(query)?;
        Some(QueryPoint { query: query.clone(), x: 100.0 * x, y: 100.0 * y })
    });
    Ok(ScatterChart {
        title: format!("{metric}, query by query"),
        x_name: baseline.to_owned(),
        y_name: system.to_owned(),
        quantity: format!("{metric}, points of 100"),
        points: points.collect(),
    })
}

/// The comparisons as a table: means and differences in points of 100.
pub fn comparison_table(rows: &[Comparison]) -> Table {
    let mut table = Table::new(
        [
            "metric",
            "baseline",
            "system",
            "queries",
            "baseline",
            "system",
            "difference [interval]",
            "wins/ties/losses",
            "d",
            "p (random.)",
            "Holm",
            "p (t)",
            "Holm",
        ]
        .map(|name| Column::new(name, Best::NotMarked)),
    );
    for row in rows {
        let p = |p: f64| Cell::number(p, p_value(p));
        let Interval { mean, low, high } = row.difference;
        let Outcomes { wins, ties, losses } = row.outcomes;
        table.push([
            Cell::text(row.metric.to_string()),
            Cell::text(&row.baseline),
            Cell::text(&row.system),
            Cell::number(row.queries as f64, row.queries.to_string()),
            Cell::percent(row.baseline_mean),
            Cell::percent(row.system_mean),
            Cell::number(mean, format!("{:+.1} [{:+.1}, {:+.1}]", 100.0 * mean, 100.0 * low, 100.0 * high)),
            Cell::number(wins as f64, format!("{wins}/{ties}/{losses}")),
            row.effect_size.map_or(Cell::Empty, |d| Cell::number(d, format!("{d:.2}"))),
            p(row.p_randomisation.raw),
            p(row.p_randomisation.holm),
            row.p_t.map_or(Cell::Empty, |value| p(value.raw)),
            row.p_t.map_or(Cell::Empty, |value| p(value.holm)),
        ]);
    }
    table
}

/// Three decimals, or that it is less.
fn p_value(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Evaluation;
    use indexmap::IndexMap;

    fn result(values: &[f64]) -> EvalResult {
        let values: BTreeMap<String, f64> =
            values.iter().enumerate().map(|(i, &value)| (format!("q{i:03}"), value)).collect();
        let per_query = IndexMap::from([(Metric::NDCG_10, values.clone()), (Metric::MRR_10, values)]);
        EvalResult::new(Evaluation { per_query, ..Evaluation::default() }, BTreeMap::new())
    }

    fn base() -> Vec<f64> {
        (0..100).map(|i| f64::from(i % 10) / 20.0).collect()
    }

    #[test]
    fn a_clear_difference_is_found_and_an_absent_one_is_not() {
        let better: Vec<f64> = base().iter().enumerate().map(|(i, v)| v + 0.01 * (i % 7) as f64).collect();
        let shuffled: Vec<f64> = base().iter().rev().copied().collect();
        let (a, b, c) = (result(&base()), result(&better), result(&shuffled));
        let rows = compare(
            &[("bm25", &a), ("revela", &b), ("other", &c)],
            &[Metric::NDCG_10],
            &CompareOptions::default(),
        )
        .unwrap();
        let [revela, other] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(
            (revela.baseline.as_str(), revela.system.as_str(), revela.queries),
            ("bm25", "revela", 100)
        );
        assert!(revela.difference.low > 0.0 && revela.p_randomisation.holm < 0.001);
        assert!((revela.system_mean - revela.baseline_mean - revela.difference.mean).abs() < 1e-12);
        assert_eq!(revela.outcomes, Outcomes { wins: 85, ties: 15, losses: 0 });
        assert!(other.difference.low < 0.0 && other.difference.high > 0.0);
        assert!(other.p_randomisation.raw > 0.5 && other.p_t.unwrap().raw > 0.5);
        assert_eq!(revela.p_randomisation.holm, 2.0 * revela.p_randomisation.raw, "two comparisons");
        let text = comparison_table(&rows).to_text(160);
        assert!(text.contains("85/15/0") && text.contains("<0.001"), "{text}");
    }

    #[test]
    fn every_pair_and_metric_gets_a_row() {
        let (a, b) = (result(&base()), result(&base()));
        let options = CompareOptions { pairs: Pairs::All, ..CompareOptions::default() };
        let named = [("a", &a), ("b", &b), ("c", &a)];
        let rows = compare(&named, &[Metric::NDCG_10, Metric::MRR_10], &options).unwrap();
        let pairs: Vec<_> = rows.iter().map(|r| format!("{}{}", r.baseline, r.system)).collect();
        assert_eq!(pairs, ["ab", "ac", "bc", "ab", "ac", "bc"]);
        assert!(rows.iter().all(|r| r.p_randomisation.holm == 1.0 && r.effect_size.is_none()));
    }

    #[test]
    fn different_queries_are_refused_unless_told_to_intersect() {
        let (a, b) = (result(&base()), result(&base()[..60]));
        let named = [("a", &a), ("b", &b)];
        let error = compare(&named, &[Metric::NDCG_10], &CompareOptions::default()).unwrap_err().to_string();
        assert!(error.contains("40 only in the first, 0 only in the second, 60 in both"), "{error}");
        let options = CompareOptions { queries: QuerySets::Intersect, ..CompareOptions::default() };
        assert_eq!(compare(&named, &[Metric::NDCG_10], &options).unwrap()[0].queries, 60);
        let chart = query_scatter(Metric::NDCG_10, named[0], named[1]).unwrap();
        assert_eq!((chart.points.len(), chart.points[3].x), (60, 15.0));
        let none = result(&[]);
        assert!(compare(&[("a", &a), ("b", &none)], &[Metric::NDCG_10], &options).is_err());
        assert!(compare(&named[..1], &[Metric::NDCG_10], &options).is_err());
        assert!(matches!(
            compare(&named, &[Metric::RECALL_100], &options),
            Err(EvalError::MissingMetric { .. })
        ));
    }
}
