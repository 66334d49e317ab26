//! Tests on paired values: one difference per query, system minus baseline.

use rand::Rng;
use statrs::function::beta::beta_reg;

use super::{Resampling, check, mean};
use crate::error::EvalError;

/// Differences up to this are taken for rounding, not for a win.
const TIE: f64 = 1e-9;

/// On how many queries a system is better, equal and worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// Queries where it is better.
    pub wins: usize,
    /// Queries where the two are equal.
    pub ties: usize,
    /// Queries where it is worse.
    pub losses: usize,
}

/// Counts the signs of differences.
pub fn outcomes(differences: &[f64]) -> Outcomes {
    let wins = differences.iter().filter(|&&d| d > TIE).count();
    let losses = differences.iter().filter(|&&d| d < -TIE).count();
    Outcomes { wins, ties: differences.len() - wins - losses, losses }
}

/// A paired t-test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TTest {
    /// The statistic; infinite when all differences are the same and not 0.
    pub t: f64,
    /// Degrees of freedom.
    pub degrees_of_freedom: usize,
    /// The two-sided p-value.
    pub p: f64,
}

/// Student's t-test that the mean difference is 0, two-sided.
///
/// # Errors
/// Fewer than two differences, or one that is not finite.
pub fn paired_t_test(differences: &[f64]) -> Result<TTest, EvalError> {
    check("a t-test", 2, differences)?;
    let degrees_of_freedom = differences.len() - 1;
    let mean = mean(differences.iter().copied());
    if mean == 0.0 {
        return Ok(TTest { t: 0.0, degrees_of_freedom, p: 1.0 });
    }
    let t = mean / (deviation(differences, mean) / (differences.len() as f64).sqrt());
    Ok(TTest { t, degrees_of_freedom, p: two_sided_tail(t, degrees_of_freedom as f64) })
}

/// The chance that Student's t with this many degrees of freedom is at least as far from 0 as `t`.
pub(super) fn two_sided_tail(t: f64, freedom: f64) -> f64 {
    // The incomplete beta function of the small side keeps the relative precision of tiny tails.
    let x = freedom / (freedom + t * t);
    if x <= 0.0 { 0.0 } else { beta_reg(freedom / 2.0, 0.5, x.min(1.0)) }
}

/// The standard deviation, with n - 1.
fn deviation(values: &[f64], mean: f64) -> f64 {
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}

/// Cohen's d of paired differences: their mean over their standard deviation.
///
/// `None` for fewer than two, or when all are the same: the standard deviation is then 0 (or what
/// rounding makes of it).
pub fn effect_size(differences: &[f64]) -> Option<f64> {
    check("an effect size", 2, differences).ok()?;
    let mean = mean(differences.iter().copied());
    let deviation = deviation(differences, mean);
    (deviation > 1e-12 * mean.abs()).then(|| mean / deviation)
}

/// Fisher's paired randomisation test that the two systems are interchangeable, two-sided.
///
/// If they were, swapping the two values of any query would change nothing, so each difference could
/// have had either sign. The p-value is the share of sign patterns whose sum is at least as far from 0
/// as the one observed. All patterns are tried when they are no more than the resamples asked for;
/// else that many are drawn, and the observed one is counted among them (Phipson and Smyth 2010), so
/// that the value is never 0.
///
/// # Errors
/// There are no differences, or one is not finite.
pub fn randomisation_test(differences: &[f64], resampling: &Resampling) -> Result<f64, EvalError> {
    check("a randomisation test", 1, differences)?;
    // Queries without a difference have no sign to flip.
    let differences: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
    let size: f64 = differences.iter().map(|d| d.abs()).sum();
    let observed = differences.iter().sum::<f64>().abs();
    // Sums of the same numbers in another order of signs differ by rounding alone.
    let threshold = observed - 1e-12 * size;
    let resamples = u64::from(resampling.resamples());
    if differences.len() < 32 && 1u64 << differences.len() <= resamples {
        let patterns = 1u64 << differences.len();
        let extreme = (0..patterns).filter(|&bits| signed_sum(&differences, || bits).abs() >= threshold);
        return Ok(extreme.count() as f64 / patterns as f64);
    }
    let mut rng = resampling.seed().stream("randomisation");
    let extreme = (0..resamples).filter(|_| signed_sum(&differences, || rng.next_u64()).abs() >= threshold);
    Ok((extreme.count() + 1) as f64 / (resamples + 1) as f64)
}

/// The sum with random signs: each call of `bits` gives the signs of 64 differences.
fn signed_sum(differences: &[f64], mut bits: impl FnMut() -> u64) -> f64 {
    let mut sum = 0.0;
    for block in differences.chunks(64) {
        let mut signs = bits();
        for difference in block {
            // Moves the lowest bit into the sign: no branch to mispredict.
            sum += f64::from_bits(difference.to_bits() ^ (signs << 63));
            signs >>= 1;
        }
    }
    sum
}
