//! How much a mean over queries can be trusted, and whether a difference between two systems is real.
//!
//! The unit is the query: intervals resample queries, tests pair the two systems' values of each query
//! (Smucker, Allan and Carterette 2007 compare such tests for retrieval). Everything random is fixed by
//! a seed.

mod bootstrap;
mod correction;
mod paired;

use revela_base::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::error::EvalError;

pub use bootstrap::bootstrap_mean;
pub use correction::holm;
pub use paired::{Outcomes, TTest, effect_size, outcomes, paired_t_test, randomisation_test};

/// A mean with its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether the two intervals share no point.
    pub fn is_apart_from(&self, other: &Self) -> bool {
        self.high < other.low || other.high < self.low
    }
}

/// How often and with which randomness values are resampled, and how wide intervals are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ResamplingSettings", into = "ResamplingSettings")]
pub struct Resampling {
    resamples: u32,
    confidence: f64,
    seed: Seed,
}

impl Resampling {
    /// Checked settings: at least 100 resamples, a confidence such as 0.95.
    ///
    /// # Errors
    /// A setting out of its range.
    pub fn new(resamples: u32, confidence: f64, seed: Seed) -> Result<Self, EvalError> {
        if resamples < 100 {
            let value = resamples.to_string();
            return Err(EvalError::BadSetting { name: "resamples", value, expected: "at least 100" });
        }
        if !(confidence > 0.0 && confidence < 1.0) {
            let (value, expected) = (confidence.to_string(), "between 0 and 1, such as 0.95");
            return Err(EvalError::BadSetting { name: "the confidence", value, expected });
        }
        Ok(Self { resamples, confidence, seed })
    }

    /// Number of resamples.
    pub fn resamples(&self) -> u32 {
        self.resamples
    }

    /// The share of resampled means that an interval holds.
    pub fn confidence(&self) -> f64 {
        self.confidence
    }

    /// The seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }
}

impl Default for Resampling {
    /// 10,000 resamples, 95%, seed 0.
    fn default() -> Self {
        Self { resamples: 10_000, confidence: 0.95, seed: Seed(0) }
    }
}

#[derive(Serialize, Deserialize)]
struct ResamplingSettings {
    resamples: u32,
    confidence: f64,
    seed: Seed,
}

impl TryFrom<ResamplingSettings> for Resampling {
    type Error = EvalError;

    fn try_from(s: ResamplingSettings) -> Result<Self, EvalError> {
        Self::new(s.resamples, s.confidence, s.seed)
    }
}

impl From<Resampling> for ResamplingSettings {
    fn from(r: Resampling) -> Self {
        Self { resamples: r.resamples, confidence: r.confidence, seed: r.seed }
    }
}

/// The mean of values; 0 for none.
pub fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    if count == 0 { 0.0 } else { values.sum::<f64>() / count as f64 }
}

/// Refuses too few values and values that are not finite.
fn check(statistic: &'static str, needed: usize, values: &[f64]) -> Result<(), EvalError> {
    if values.len() < needed {
        return Err(EvalError::TooFew { statistic, needed, found: values.len() });
    }
    if values.iter().any(|value| !value.is_finite()) {
        return Err(EvalError::NotFinite { statistic });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
