//! Plain Rust: what the others are tested against, and what runs where nothing better does.

use super::Kernels;

/// Independent sums, so that the compiler may use whatever vectors the target has.
const LANES: usize = 16;

pub(super) static KERNELS: Kernels = Kernels { name: "scalar", dot };

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a, b) = (a.chunks(LANES), b.chunks(LANES));
    for (a, b) in a.zip(b) {
        for (sum, (x, y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += x * y;
        }
    }
    sums.iter().sum()
}
