//! Drawing weights: the same on every device, from one seed.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use revela_base::seed::Seed;

use crate::params::{Parameter, map_named};

/// Standard deviation of freshly drawn matrices, as Llama and GPT-2 use.
pub const STANDARD_DEVIATION: f64 = 0.02;

/// Standard deviation of the matrices whose result is added to the residual stream. Small, so that a fresh
/// model's states are close to its token embeddings: drawn like the others, two layers of width 256 bury a
/// token's identity, and contrast begins near chance (docs/experiments.md).
pub const RESIDUAL_DEVIATION: f64 = 0.002;

/// Names of those matrices.
const RESIDUAL: [&str; 2] = ["o_proj.weight", "down_proj.weight"];

/// Fills every matrix with normal numbers, each from a stream of its own name; norms and biases keep
/// their ones and zeros.
pub fn draw<M: Module>(module: M, seed: Seed, device: &Device) -> M {
    map_named(module, &mut |name, parameter| match parameter {
        Parameter::Matrix(matrix) => {
            let [rows, cols] = matrix.dims();
            let residual = RESIDUAL.iter().any(|end| name.ends_with(end));
            let deviation = if residual { RESIDUAL_DEVIATION } else { STANDARD_DEVIATION };
            let data = TensorData::new(normal(seed, name, rows * cols, deviation), [rows, cols]);
            Parameter::Matrix(Tensor::from_data(data, device))
        }
        vector => vector,
    })
}

/// Normal numbers of mean 0 from the stream of this name (Box-Muller).
pub(crate) fn normal(seed: Seed, name: &str, n: usize, deviation: f64) -> Vec<f32> {
    let mut stream = seed.stream(name);
    // 53 random bits in (0, 1]: never 0, whose logarithm is infinite.
    let mut uniform = || ((stream.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
    let mut numbers = Vec::with_capacity(n + 1);
    while numbers.len() < n {
        let (radius, angle) = ((-2.0 * uniform().ln()).sqrt(), 2.0 * std::f64::consts::PI * uniform());
        numbers.push((radius * angle.cos() * deviation) as f32);
        numbers.push((radius * angle.sin() * deviation) as f32);
    }
    numbers.truncate(n);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_normal_and_repeat() {
        let x = normal(Seed(1), "w", 40_001, 0.5);
        assert_eq!(x, normal(Seed(1), "w", 40_001, 0.5));
        assert_ne!(x, normal(Seed(1), "v", 40_001, 0.5));
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 0.01 && (variance.sqrt() - 0.5).abs() < 0.01);
    }
}
