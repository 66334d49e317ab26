//! Recall: what searches promise, and how hard a shard must be searched to keep it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Ten-thousandths of the whole.
const WHOLE: u16 = 10_000;

/// The share of the true nearest rows that a search finds, 0 to 1, in steps of a ten-thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Recall(u16);

impl Recall {
    /// What graphs are built for unless something else is asked for: 0.99.
    pub const USUAL: Self = Self(9900);

    /// The nearest step; what is outside counts as 0 or 1.
    pub(crate) fn rounded(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * f64::from(WHOLE)).round() as u16)
    }

    /// Whether nothing may be missed.
    pub(crate) fn is_whole(self) -> bool {
        self.0 == WHOLE
    }

    /// The recall that is sure when this one was measured with such an error.
    pub(crate) fn less(self, error: Self) -> Self {
        Self(self.0.saturating_sub(error.0))
    }

    /// The share that is missed.
    pub(crate) fn missed(self) -> f64 {
        1.0 - f64::from(self)
    }
}

impl From<Recall> for f64 {
    fn from(recall: Recall) -> Self {
        Self::from(recall.0) / Self::from(WHOLE)
    }
}

impl TryFrom<f64> for Recall {
    type Error = Error;

    fn try_from(value: f64) -> Result<Self, Error> {
        if (0.0..=1.0).contains(&value) {
            return Ok(Self::rounded(value));
        }
        Err(Error::Option { option: "recall", value: value.to_string(), rule: "it must be 0 to 1" })
    }
}

impl FromStr for Recall {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |_| Error::Option {
            option: "recall",
            value: text.to_owned(),
            rule: "it must be a number from 0 to 1, such as 0.95",
        };
        text.parse::<f64>().map_err(wrong)?.try_into()
    }
}

impl fmt::Display for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&f64::from(*self), f)
    }
}

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

    #[test]
    fn recall_is_a_share() {
        assert_eq!("0.95".parse::<Recall>().unwrap(), Recall(9500));
        assert_eq!(Recall(9500).to_string(), "0.95");
        assert_eq!(serde_json::to_string(&Recall(9931)).unwrap(), "0.9931");
        assert_eq!(serde_json::from_str::<Recall>("0.9931").unwrap(), Recall(9931));
        for wrong in ["1.01", "-0.1", "nan", "inf", "much"] {
            assert!(wrong.parse::<Recall>().is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Recall>("2").is_err());
    }
}
