//! Dot products, with the best instructions that the machine has.
//!
//! One file per instruction set; [`kernels`] chooses once, at run time. All sets are tested against
//! the plain one. Within one set a pair of vectors always gives the same bits, however it is batched;
//! between sets the last bits differ, because the order of the additions does.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use std::sync::OnceLock;

/// The functions of one instruction set. Both arguments must have the same length; if they don't, the
/// rest of the longer one is ignored.
#[derive(Debug)]
pub(crate) struct Kernels {
    /// The instruction set, for reports.
    pub name: &'static str,
    /// Dot product of f32 vectors.
    pub dot: fn(&[f32], &[f32]) -> f32,
}

/// What this machine runs best.
pub(crate) fn kernels() -> &'static Kernels {
    static CHOSEN: OnceLock<&'static Kernels> = OnceLock::new();
    CHOSEN.get_or_init(|| available().first().copied().unwrap_or(&scalar::KERNELS))
}

/// The name of the instruction set in use: `avx512`, `avx2`, `neon` or `scalar`.
pub fn instruction_set() -> &'static str {
    kernels().name
}

/// Everything this machine runs, best first, the plain one last.
fn available() -> Vec<&'static Kernels> {
    #[cfg(target_arch = "x86_64")]
    let fast = [avx512::available(), avx2::available()];
    #[cfg(target_arch = "aarch64")]
    let fast = [neon::available()];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let fast: [Option<&'static Kernels>; 0] = [];
    fast.into_iter().flatten().chain([&scalar::KERNELS]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use revela_base::seed::Seed;

    /// Lengths around every unrolling and tail.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..200).chain([255, 256, 257, 384, 768, 1000, 1536, 4096])
    }

    fn numbers(name: &str, length: usize) -> Vec<f32> {
        let mut stream = Seed(1).stream(name);
        (0..length).map(|_| stream.random_range(-1.0f32..1.0)).collect()
    }

    #[test]
    fn dot_agrees_with_f64_on_every_instruction_set() {
        for length in lengths() {
            let (a, b) = (numbers("a", length), numbers("b", length));
            let exact: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            for kernels in available() {
                let found = f64::from((kernels.dot)(&a, &b));
                let tolerance = 1e-6 * (length as f64).sqrt().max(1.0);
                assert!((found - exact).abs() < tolerance, "{} {length}: {found} {exact}", kernels.name);
            }
        }
    }

    #[test]
    fn unaligned_and_unequal_lengths_are_harmless() {
        let (a, b) = (numbers("a", 300), numbers("b", 300));
        for kernels in available() {
            for start in 0..17 {
                let whole = (kernels.dot)(&a[start..], &b[start..]);
                assert_eq!(whole, (kernels.dot)(&a[start..], &[&b[start..], &[9.0][..]].concat()));
            }
        }
    }

    #[test]
    fn the_plain_one_is_always_there() {
        assert_eq!(available().last().map(|k| k.name), Some("scalar"));
        assert_eq!(instruction_set(), available()[0].name);
    }
}
