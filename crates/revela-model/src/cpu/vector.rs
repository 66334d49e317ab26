//! Element-wise mathematics and reductions, written so that the compiler vectorises them.
//!
//! Call them inside [`super::vectorised`]: there they are compiled for the machine's instruction set.
//! Reductions add in [`LANES`] interleaved sums whatever the instruction set, so that every machine of
//! one kind of arithmetic gives the same bytes; products are not fused with additions for the same reason.

/// Interleaved partial sums of a reduction.
pub const LANES: usize = 16;

/// e^x with a relative error under 2e-7; x is clamped to -87..88, NaN stays NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Cody-Waite: x = n ln 2 + r, with ln 2 in two parts and n rounded by adding 1.5 * 2^23.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Not `clamp`, which is slower where NaN must pass.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    // Minimax polynomial of (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2 (Cephes expf).
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    // The low bits of `rounded` are n in two's complement: shifted into the exponent they give 2^n.
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    (p * r * r + r + 1.0) * power
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function to 6e-7 (Abramowitz and Stegun 1964, 7.1.26).
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = 1.061_405_4_f32;
    let p = p * t - 1.453_152;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    (1.0 - p * t * exp(-a * a)).copysign(x)
}

/// The largest element; -inf for none.
#[inline(always)]
pub fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m })
}

/// The sum of a slice.
#[inline(always)]
pub fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] += chunk[l];
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

/// Sum of the products of two slices of one length.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            lanes[l] += a[l] * b[l];
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Turns scores into `exp(scale * x - max)` in place and returns the sum.
#[inline(always)]
pub fn exp_scores(x: &mut [f32], scale: f32) -> f32 {
    let top = max(x) * scale;
    exp_shifted(x, scale, -top)
}

/// Turns scores into `exp(scale * x + shift)` in place and returns the sum.
#[inline(always)]
pub fn exp_shifted(x: &mut [f32], scale: f32, shift: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            chunk[l] = exp(chunk[l] * scale + shift);
            lanes[l] += chunk[l];
        }
    }
    let mut sum = lanes.iter().sum::<f32>();
    for value in rest {
        *value = exp(*value * scale + shift);
        sum += *value;
    }
    sum
}

/// `x *= factor`.
#[inline(always)]
pub fn scale(x: &mut [f32], factor: f32) {
    for value in x {
        *value *= factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_over_its_range() {
        for i in 0..200_000 {
            let x = -86.9 + 0.000_87 * i as f32;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!(((got - want) / want).abs() < 2e-7, "exp({x}) = {got}, not {want}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(f32::INFINITY) > 1e38);
        assert!(exp(f32::NAN).is_nan());
        assert!(sigmoid(-1e9) >= 0.0 && sigmoid(-1e9) < 1e-37 && sigmoid(1e9) == 1.0);
    }

    #[test]
    fn erf_is_accurate_over_its_range() {
        // Its Taylor series, which converges everywhere and in f64 is exact enough up to 5.
        let series = |x: f64| {
            let mut term = x;
            let mut sum = x;
            for n in 1..200 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * std::f64::consts::FRAC_2_SQRT_PI
        };
        for i in -5000..=5000 {
            let x = 0.001 * i as f32;
            let (got, want) = (f64::from(erf(x)), series(f64::from(x)));
            assert!((got - want).abs() < 6e-7, "erf({x}) = {got}, not {want}");
        }
        assert_eq!((erf(9.0), erf(-9.0)), (1.0, -1.0));
        assert!(erf(f32::NAN).is_nan());
    }

    #[test]
    fn reductions_agree_with_plain_loops() {
        let x: Vec<f32> = (0..37).map(|i| ((i * 7919) % 101) as f32 / 50.0 - 1.0).collect();
        assert_eq!(max(&x), x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        assert_eq!(max(&[]), f32::NEG_INFINITY);
        let plain: f32 = x.iter().map(|v| v * v).sum();
        assert!((dot(&x, &x) - plain).abs() < 1e-5);
        assert!((sum(&x) - x.iter().sum::<f32>()).abs() < 1e-5);
        let mut soft = x.clone();
        let sum = exp_scores(&mut soft, 0.5);
        let top = max(&x) * 0.5;
        let want: f32 = x.iter().map(|v| (v * 0.5 - top).exp()).sum();
        assert!((sum - want).abs() < 1e-4);
        assert!((soft.iter().sum::<f32>() - sum).abs() < 1e-4);
    }
}
