//! Recall: what searches promise, and how hard a shard must be searched to keep it.

pub use revela_search::Recall;
use serde::{Deserialize, Serialize};

/// What a curve was measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MeasuredWith {
    /// Rows of the shard, each left out of the graph while it was the query.
    Rows,
    /// Queries that somebody gave.
    Queries,
}

/// One point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecallPoint {
    /// Hits per query, of which recall counts.
    pub k: u32,
    /// Candidates that walks kept.
    pub ef: u32,
    /// The mean over the queries.
    pub recall: Recall,
    /// Its standard error.
    pub error: Recall,
}

/// What walks through a shard's graph find, measured against exact search in the shard. A hit counts when it is as
/// similar as the last of the true hits, so that equal rows are as good as each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecallCurve {
    /// What was asked.
    pub with: MeasuredWith,
    /// How many queries there were.
    pub queries: u32,
    /// Rows that could be found.
    pub rows: u32,
    /// In ascending order of `k`, then of `ef`.
    pub points: Vec<RecallPoint>,
}

impl RecallCurve {
    /// Candidates that a walk must keep so that it finds, as far as is known, this share of the `k` nearest;
    /// nothing where no walk was seen to find it.
    pub(crate) fn ef(&self, k: usize, wanted: Recall) -> Option<usize> {
        if wanted.is_whole() {
            return None;
        }
        let mut measured = self.points.iter().map(|point| point.k as usize);
        let of = measured.clone().find(|&of| of >= k).or(measured.next_back())?;
        let enough =
            |point: &&RecallPoint| point.k as usize == of && point.recall.less(point.error) >= wanted;
        let ef = self.points.iter().find(enough)?.ef as usize;
        // More hits than were measured need more candidates, in proportion.
        Some(if k > of { (ef * k).div_ceil(of) } else { ef.max(k) })
    }

    /// The curve of this many hits.
    pub fn of(&self, k: u32) -> impl Iterator<Item = &RecallPoint> {
        self.points.iter().filter(move |point| point.k == k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve() -> RecallCurve {
        let point = |(k, ef, recall, error): (u32, u32, f64, f64)| RecallPoint {
            k,
            ef,
            recall: recall.try_into().unwrap(),
            error: error.try_into().unwrap(),
        };
        let points =
            [(10, 10, 0.9, 0.01), (10, 32, 0.985, 0.002), (10, 64, 0.996, 0.001), (100, 100, 0.97, 0.001)];
        let points = points.into_iter().map(point).collect();
        RecallCurve { with: MeasuredWith::Rows, queries: 256, rows: 9, points }
    }

    #[test]
    fn effort_follows_from_the_curve() {
        let ef = |k, wanted: f64| curve().ef(k, wanted.try_into().unwrap());
        assert_eq!(ef(10, 0.89), Some(10));
        assert_eq!(ef(10, 0.895), Some(32));
        assert_eq!(ef(3, 0.99), Some(64));
        assert_eq!(ef(10, 0.999), None);
        assert_eq!(ef(10, 1.0), None);
        assert_eq!(ef(40, 0.9), Some(100));
        assert_eq!(ef(250, 0.9), Some(250));
        assert_eq!(RecallCurve { points: Vec::new(), ..curve() }.ef(10, Recall::USUAL), None);
    }
}
