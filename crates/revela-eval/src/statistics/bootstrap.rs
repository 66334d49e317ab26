//! Percentile bootstrap (Efron 1979) of a mean over queries.

use rand::Rng;

use super::{Interval, Resampling, check, mean};
use crate::error::EvalError;

/// The mean of the values, and between which quantiles of resampled means it lies.
///
/// Each resample draws as many values as there are, with replacement. The interval holds the middle
/// [`Resampling::confidence`] of the resampled means; with one value it is that value.
///
/// # Errors
/// There are no values, or one is not finite.
pub fn bootstrap_mean(values: &[f64], resampling: &Resampling) -> Result<Interval, EvalError> {
    check("a bootstrap interval", 1, values)?;
    let mut rng = resampling.seed().stream("bootstrap");
    let mut means: Vec<f64> =
        (0..resampling.resamples()).map(|_| resampled_sum(values, &mut rng) / values.len() as f64).collect();
    means.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - resampling.confidence()) / 2.0;
    Ok(Interval {
        mean: mean(values.iter().copied()),
        low: quantile(&means, tail),
        high: quantile(&means, 1.0 - tail),
    })
}

/// The sum of as many random values as there are. Every draw of the generator picks two.
fn resampled_sum(values: &[f64], rng: &mut impl Rng) -> f64 {
    let mut sum = 0.0;
    for _ in 0..values.len() / 2 {
        let bits = rng.next_u64();
        sum += pick(values, bits as u32) + pick(values, (bits >> 32) as u32);
    }
    if values.len() % 2 == 1 {
        sum += pick(values, rng.next_u32());
    }
    sum
}

/// Maps 32 random bits to a value by multiplication; no value is favoured by more than n / 2^32.
fn pick(values: &[f64], bits: u32) -> f64 {
    let index = (u64::from(bits) * values.len() as u64) >> 32;
    values.get(index as usize).copied().unwrap_or(0.0)
}

/// The quantile of sorted values, linear between its neighbours (R's type 7, numpy's default).
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let position = q * last as f64;
    let below = (position as usize).min(last);
    let (Some(&low), Some(&high)) = (sorted.get(below), sorted.get((below + 1).min(last))) else {
        return 0.0;
    };
    low + (high - low) * (position - below as f64)
}
