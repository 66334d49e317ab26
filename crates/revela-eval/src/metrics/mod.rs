//! What a ranking is worth: metrics by name, and the scoring of whole runs.
//!
//! The conventions are trec_eval's: results are ranked by score, ties by falling document id; a grade
//! of 1 or more is relevant; unjudged documents are not; the gain in nDCG is the grade itself, divided
//! by log2(rank + 1). Per query the values equal trec_eval's where it has the metric.

mod evaluate;
mod formulas;

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::EvalError;

pub use evaluate::{Evaluation, EvaluationOptions, MissingQueries, UnjudgedQueries, evaluate, recall_curve};

/// A metric of one query's ranking, in `[0, 1]`; that of a run is the mean over its queries.
///
/// Written and parsed as `ndcg@10`, `recall@100`, `map`; a depth of `None` means the whole ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    /// Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002, with trec_eval's linear
    /// gain). trec_eval: `ndcg`, `ndcg_cut`.
    Ndcg(Option<NonZeroUsize>),
    /// Average precision: the precision at each relevant document found, summed and divided by the
    /// number of relevant documents. trec_eval: `map`, `map_cut`.
    Map(Option<NonZeroUsize>),
    /// One divided by the rank of the first relevant document. trec_eval: `recip_rank`.
    Mrr(Option<NonZeroUsize>),
    /// The share of the relevant documents among the first k results. trec_eval: `recall`.
    Recall(NonZeroUsize),
    /// The share of relevant documents in the first k ranks, empty ranks included. trec_eval: `P`.
    Precision(NonZeroUsize),
    /// 1 if any of the first k results is relevant. trec_eval: `success`.
    Success(NonZeroUsize),
    /// Precision at rank R, where R is the number of relevant documents. trec_eval: `Rprec`.
    RPrecision,
    /// Recall, but of at most k documents: relevant ones among the first k, divided by k or by the
    /// number of relevant documents if that is less (capped recall of BEIR, Thakur et al. 2021).
    RecallCap(NonZeroUsize),
    /// The share of the first k ranks that hold a document which is judged for no query at all, as
    /// BEIR's evaluation counts it. The higher, the less the other metrics can be trusted.
    Hole(NonZeroUsize),
    /// The share of the first k results (of those there are) that are judged for this query; ir-measures:
    /// `Judged`.
    Judged(NonZeroUsize),
}

const fn depth(k: usize) -> NonZeroUsize {
    match NonZeroUsize::new(k) {
        Some(depth) => depth,
        None => NonZeroUsize::MIN,
    }
}

impl Metric {
    /// nDCG of the first 10 results, BEIR's main metric.
    pub const NDCG_10: Self = Self::Ndcg(Some(depth(10)));
    /// Recall of the first 100 results.
    pub const RECALL_100: Self = Self::Recall(depth(100));
    /// Reciprocal rank within the first 10 results.
    pub const MRR_10: Self = Self::Mrr(Some(depth(10)));

    /// How metrics are written.
    pub const FORMS: [&str; 13] = [
        "ndcg",
        "ndcg@k",
        "map",
        "map@k",
        "mrr",
        "mrr@k",
        "recall@k",
        "precision@k",
        "success@k",
        "r_precision",
        "r_cap@k",
        "hole@k",
        "judged@k",
    ];

    /// How many of the first results matter; `None` means all.
    pub fn depth(self) -> Option<NonZeroUsize> {
        match self {
            Self::Ndcg(k) | Self::Map(k) | Self::Mrr(k) => k,
            Self::Recall(k) | Self::Precision(k) | Self::Success(k) => Some(k),
            Self::RecallCap(k) | Self::Hole(k) | Self::Judged(k) => Some(k),
            Self::RPrecision => None,
        }
    }

    /// Whether a higher value is better. Not so for `hole@k`.
    pub fn higher_is_better(self) -> bool {
        !matches!(self, Self::Hole(_))
    }

    /// The name without the depth.
    fn name(self) -> &'static str {
        match self {
            Self::Ndcg(_) => "ndcg",
            Self::Map(_) => "map",
            Self::Mrr(_) => "mrr",
            Self::Recall(_) => "recall",
            Self::Precision(_) => "precision",
            Self::Success(_) => "success",
            Self::RPrecision => "r_precision",
            Self::RecallCap(_) => "r_cap",
            Self::Hole(_) => "hole",
            Self::Judged(_) => "judged",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.depth() {
            Some(k) => write!(f, "{}@{k}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

impl FromStr for Metric {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        let unknown = || EvalError::UnknownMetric { text: text.to_owned() };
        let lower = text.trim().to_ascii_lowercase();
        let (name, depth) = match lower.split_once('@') {
            Some((name, depth)) => (name, Some(depth.parse().map_err(|_| unknown())?)),
            None => (lower.as_str(), None),
        };
        match (name, depth) {
            ("ndcg", k) => Ok(Self::Ndcg(k)),
            ("map" | "ap", k) => Ok(Self::Map(k)),
            ("mrr" | "rr", k) => Ok(Self::Mrr(k)),
            ("recall" | "r", Some(k)) => Ok(Self::Recall(k)),
            ("precision" | "p", Some(k)) => Ok(Self::Precision(k)),
            ("success", Some(k)) => Ok(Self::Success(k)),
            ("r_precision" | "rprec", None) => Ok(Self::RPrecision),
            ("r_cap", Some(k)) => Ok(Self::RecallCap(k)),
            ("hole", Some(k)) => Ok(Self::Hole(k)),
            ("judged", Some(k)) => Ok(Self::Judged(k)),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for Metric {
    type Error = EvalError;

    fn try_from(text: String) -> Result<Self, EvalError> {
        text.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

#[cfg(test)]
mod tests;
