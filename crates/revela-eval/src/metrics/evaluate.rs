//! Scores a run against judgements.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use indexmap::IndexMap;

use super::Metric;
use super::formulas::{Judgement, Ranking, value};
use crate::error::EvalError;
use crate::qrels::{Grade, Qrels};
use crate::run::{Hit, Run};
use crate::statistics::{Interval, Resampling, bootstrap_mean, mean};

/// What a query with judgements scores when the run does not answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingQueries {
    /// It scores 0 (trec_eval with `-c`): a system gains nothing by staying silent.
    #[default]
    Zero,
    /// It is left out of the means (trec_eval's default, and pytrec_eval's).
    Skip,
}

/// What to do when the run answers queries that have no judgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnjudgedQueries {
    /// Fail with [`EvalError::UnjudgedQueries`]: most often it is the run of another split.
    #[default]
    Refuse,
    /// Leave them out, and count them.
    Ignore,
}

/// How a run is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EvaluationOptions {
    /// Judged queries that the run does not answer.
    pub missing: MissingQueries,
    /// Answered queries that are not judged.
    pub unjudged: UnjudgedQueries,
}

/// What a run scored.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// For each metric, in the order asked for, the value of each query by id.
    pub per_query: IndexMap<Metric, BTreeMap<String, f64>>,
    /// Judged queries that the run does not answer.
    pub missing: usize,
    /// Answered queries that are not judged, and were ignored.
    pub unjudged: usize,
    /// Queries that no document answers; they score 0, and count in the means as in trec_eval.
    pub without_relevant: usize,
}

impl Evaluation {
    /// The mean over the queries, for each metric.
    pub fn means(&self) -> IndexMap<Metric, f64> {
        self.per_query.iter().map(|(&metric, values)| (metric, mean(values.values().copied()))).collect()
    }

    /// The means with bootstrap intervals over the queries. Every metric sees the same resamples.
    ///
    /// # Errors
    /// There are no queries.
    pub fn intervals(&self, resampling: &Resampling) -> Result<IndexMap<Metric, Interval>, EvalError> {
        let interval = |values: &BTreeMap<String, f64>| {
            let values: Vec<f64> = values.values().copied().collect();
            bootstrap_mean(&values, resampling)
        };
        self.per_query.iter().map(|(&metric, values)| Ok((metric, interval(values)?))).collect()
    }
}

/// Scores a run: every metric for every judged query.
///
/// # Errors
/// There are no judgements, no judged query is answered under [`MissingQueries::Skip`], or the run
/// answers queries without judgements and they are refused.
pub fn evaluate(
    qrels: &Qrels,
    run: &Run,
    metrics: &[Metric],
    options: &EvaluationOptions,
) -> Result<Evaluation, EvalError> {
    let mut evaluation =
        Evaluation { unjudged: unjudged(qrels, run, options.unjudged)?, ..Default::default() };
    let lens = Lens::new(qrels, metrics);
    let mut rows: Vec<BTreeMap<String, f64>> = vec![BTreeMap::new(); metrics.len()];
    for (query, judged) in qrels.iter() {
        let hits = run.get(query);
        evaluation.missing += usize::from(hits.is_none());
        if hits.is_none() && options.missing == MissingQueries::Skip {
            continue;
        }
        let ranking = lens.ranking(hits.unwrap_or_default(), judged);
        evaluation.without_relevant += usize::from(ranking.ideal.is_empty());
        for (row, &metric) in rows.iter_mut().zip(metrics) {
            row.insert(query.to_owned(), value(metric, &ranking));
        }
    }
    if qrels.len() == evaluation.missing && (qrels.is_empty() || options.missing == MissingQueries::Skip) {
        return Err(EvalError::NoJudgements { origin: "what this run answers".to_owned() });
    }
    evaluation.per_query = metrics.iter().copied().zip(rows).collect();
    Ok(evaluation)
}

/// Depths of recall curves, as far as a run is deep.
const CURVE: [usize; 12] = [1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000];

/// Mean recall of the first `k` results for growing `k` up to `depth`, as pairs of the two.
///
/// # Errors
/// As [`evaluate`].
pub fn recall_curve(
    qrels: &Qrels,
    run: &Run,
    depth: usize,
    options: &EvaluationOptions,
) -> Result<Vec<(usize, f64)>, EvalError> {
    let depths: Vec<NonZeroUsize> =
        CURVE.iter().filter(|&&k| k <= depth).filter_map(|&k| NonZeroUsize::new(k)).collect();
    let metrics: Vec<Metric> = depths.iter().copied().map(Metric::Recall).collect();
    let means = evaluate(qrels, run, &metrics, options)?.means();
    Ok(depths.iter().map(|k| k.get()).zip(means.into_values()).collect())
}

/// The number of answered queries without judgements, if they are allowed.
fn unjudged(qrels: &Qrels, run: &Run, policy: UnjudgedQueries) -> Result<usize, EvalError> {
    let strangers: Vec<&str> = run.iter().map(|(q, _)| q).filter(|q| qrels.get(q).is_none()).collect();
    if policy == UnjudgedQueries::Ignore || strangers.is_empty() {
        return Ok(strangers.len());
    }
    let examples = strangers.iter().take(8).map(|&q| q.to_owned()).collect();
    Err(EvalError::UnjudgedQueries { count: strangers.len(), examples })
}

/// Looks at rankings no deeper than the metrics do.
struct Lens<'a> {
    depth: usize,
    /// How deep `hole@k` looks, and the documents judged for any query, if it is asked for.
    holes: Option<(usize, BTreeSet<&'a str>)>,
}

impl<'a> Lens<'a> {
    fn new(qrels: &'a Qrels, metrics: &[Metric]) -> Self {
        let depth = |metric: &Metric| metric.depth().map_or(usize::MAX, NonZeroUsize::get);
        let holes = metrics.iter().filter(|metric| matches!(metric, Metric::Hole(_))).map(depth).max();
        Self {
            depth: metrics.iter().map(depth).max().unwrap_or(0),
            holes: holes.map(|depth| (depth, qrels.judged_documents())),
        }
    }

    fn ranking(&self, hits: &[Hit], judged: &BTreeMap<String, Grade>) -> Ranking {
        let mut ideal: Vec<Grade> = judged.values().copied().filter(|&grade| grade >= 1).collect();
        ideal.sort_unstable_by(|a, b| b.cmp(a));
        let hits = hits.iter().take(self.depth).enumerate();
        Ranking { ranks: hits.map(|(index, hit)| self.judgement(index, hit, judged)).collect(), ideal }
    }

    fn judgement(&self, index: usize, hit: &Hit, judged: &BTreeMap<String, Grade>) -> Judgement {
        if let Some(&grade) = judged.get(&hit.document) {
            return Judgement::Graded(grade);
        }
        match &self.holes {
            Some((depth, anywhere)) if index < *depth && anywhere.contains(hit.document.as_str()) => {
                Judgement::ForOthers
            }
            // Deeper than any hole is looked for, it does not matter which.
            _ => Judgement::Nowhere,
        }
    }
}
