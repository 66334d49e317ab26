//! What rounding takes away.

use crate::plain;

/// Length of the difference between a vector and what it is rounded to.
pub fn lost(x: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if let Some(square) = crate::wide::lost(x) {
        return square.sqrt();
    }
    plain::lost(x).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition() {
        for n in [0, 1, 15, 16, 33, 200] {
            let x: Vec<f32> = (0..n).map(|i| ((i * 7919 % 1013) as f32).sin()).collect();
            let want: f64 = x.iter().map(|x| f64::from(x - half::bf16::from_f32(*x).to_f32()).powi(2)).sum();
            for got in [lost(&x), plain::lost(&x).sqrt()] {
                assert!((f64::from(got) - want.sqrt()).abs() <= 1e-5 * want.sqrt(), "{n}: {got}");
            }
        }
        assert_eq!(lost(&[1.0, -0.5, 0.0]), 0.0);
    }
}
