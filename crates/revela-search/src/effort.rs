//! How hard dense search looks, and how much of the nearest it is to find.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::QueryError;

/// How hard to look for near vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effort {
    /// Walks through graphs keep this many candidates (ef of the HNSW paper; never fewer than are asked
    /// for): more find more and take longer. Flat shards are always searched exactly.
    Ef(usize),
    /// As hard as each shard must be searched, by what was measured when it was built or since, to find this
    /// share of the nearest. A shard that was not measured, or never found that much, is searched exactly.
    Recall(Recall),
    /// Exactly the nearest, whatever it takes.
    Exact,
}

impl Effort {
    /// What follows from the three ways to ask for it; the first that is given counts.
    pub fn chosen(exact: bool, recall: Option<Recall>, ef: usize) -> Self {
        match (exact, recall) {
            (true, _) => Self::Exact,
            (false, Some(recall)) => Self::Recall(recall),
            (false, None) => Self::Ef(ef),
        }
    }
}

impl Default for Effort {
    fn default() -> Self {
        Self::Ef(64)
    }
}

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
    pub fn rounded(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * f64::from(WHOLE)).round() as u16)
    }

    /// Whether nothing may be missed.
    pub fn is_whole(self) -> bool {
        self.0 == WHOLE
    }

    /// The recall that is sure when this one was measured with such an error.
    pub fn less(self, error: Self) -> Self {
        Self(self.0.saturating_sub(error.0))
    }

    /// The share that is missed.
    pub fn missed(self) -> f64 {
        1.0 - f64::from(self)
    }
}

impl From<Recall> for f64 {
    fn from(recall: Recall) -> Self {
        Self::from(recall.0) / Self::from(WHOLE)
    }
}

impl TryFrom<f64> for Recall {
    type Error = QueryError;

    fn try_from(value: f64) -> Result<Self, QueryError> {
        if (0.0..=1.0).contains(&value) {
            return Ok(Self::rounded(value));
        }
        Err(QueryError::Option { option: "recall", value: value.to_string(), rule: "it must be 0 to 1" })
    }
}

impl FromStr for Recall {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let wrong = |_| QueryError::Option {
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

#[cfg(test)]
mod tests {
    use super::*;

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
