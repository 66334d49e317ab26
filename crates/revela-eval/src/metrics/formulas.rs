//! One function per metric, over what a query's judgements say about its ranking.

use std::num::NonZeroUsize;

use super::Metric;
use crate::qrels::Grade;

/// What is known of the document at one rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Judged for this query.
    Graded(Grade),
    /// Judged, but only for other queries.
    ForOthers,
    /// Judged for no query.
    Nowhere,
}

impl Judgement {
    fn relevant(self) -> bool {
        matches!(self, Self::Graded(grade) if grade >= 1)
    }

    fn gain(self) -> f64 {
        match self {
            Self::Graded(grade) => f64::from(grade.max(0)),
            Self::ForOthers | Self::Nowhere => 0.0,
        }
    }
}

/// One query's ranking, as far as the metrics look, and its judgements.
pub(super) struct Ranking {
    /// What is known at each rank, best first.
    pub(super) ranks: Vec<Judgement>,
    /// The grades of all relevant documents, retrieved or not, highest first.
    pub(super) ideal: Vec<Grade>,
}

/// The metric's value for one query.
pub(super) fn value(metric: Metric, ranking: &Ranking) -> f64 {
    match metric {
        Metric::Ndcg(k) => ndcg(ranking, k),
        Metric::Map(k) => average_precision(ranking, k),
        Metric::Mrr(k) => reciprocal_rank(ranking, k),
        Metric::Recall(k) => ratio(found(ranking, k.get()), ranking.ideal.len()),
        Metric::Precision(k) => ratio(found(ranking, k.get()), k.get()),
        Metric::Success(k) => ratio(found(ranking, k.get()).min(1), 1),
        Metric::RPrecision => ratio(found(ranking, ranking.ideal.len()), ranking.ideal.len()),
        Metric::RecallCap(k) => ratio(found(ranking, k.get()), ranking.ideal.len().min(k.get())),
        Metric::Hole(k) => ratio(count(ranking, k.get(), |j| j == Judgement::Nowhere), k.get()),
        Metric::Judged(k) => {
            let judged = count(ranking, k.get(), |j| matches!(j, Judgement::Graded(_)));
            ratio(judged, ranking.ranks.len().min(k.get()))
        }
    }
}

/// The ranks down to a depth.
fn top(ranking: &Ranking, depth: usize) -> &[Judgement] {
    ranking.ranks.get(..depth).unwrap_or(&ranking.ranks)
}

fn count(ranking: &Ranking, depth: usize, which: impl Fn(Judgement) -> bool) -> usize {
    top(ranking, depth).iter().filter(|&&judgement| which(judgement)).count()
}

/// Relevant documents down to a depth.
fn found(ranking: &Ranking, depth: usize) -> usize {
    count(ranking, depth, Judgement::relevant)
}

/// A fraction; nothing of nothing is 0, as in trec_eval.
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn limit(depth: Option<NonZeroUsize>) -> usize {
    depth.map_or(usize::MAX, NonZeroUsize::get)
}

/// A sum that is 0 where there is nothing; the standard library's is then -0.
fn sum(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |sum, number| sum + number)
}

fn discounted(gains: impl Iterator<Item = f64>) -> f64 {
    // Most gains are 0, and a logarithm is dear.
    let gains = gains.enumerate().filter(|&(_, gain)| gain != 0.0);
    sum(gains.map(|(index, gain)| gain / ((index + 2) as f64).log2()))
}

fn ndcg(ranking: &Ranking, depth: Option<NonZeroUsize>) -> f64 {
    let ideal = discounted(ranking.ideal.iter().take(limit(depth)).map(|&grade| f64::from(grade)));
    if ideal == 0.0 {
        return 0.0;
    }
    discounted(top(ranking, limit(depth)).iter().map(|judgement| judgement.gain())) / ideal
}

fn average_precision(ranking: &Ranking, depth: Option<NonZeroUsize>) -> f64 {
    if ranking.ideal.is_empty() {
        return 0.0;
    }
    let relevant = top(ranking, limit(depth)).iter().enumerate().filter(|(_, j)| j.relevant());
    let precisions = relevant.zip(1usize..).map(|((index, _), found)| ratio(found, index + 1));
    sum(precisions) / ranking.ideal.len() as f64
}

fn reciprocal_rank(ranking: &Ranking, depth: Option<NonZeroUsize>) -> f64 {
    let first = top(ranking, limit(depth)).iter().position(|judgement| judgement.relevant());
    first.map_or(0.0, |index| ratio(1, index + 1))
}
