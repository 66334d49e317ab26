//! Plain Rust: what the fast forms are tested against, what does their edges, and what runs where there
//! are no instructions for bf16.

use half::bf16;

use crate::operand::{Left, Order, PANEL, Source};
use crate::product::{Start, Tile};

fn bits(x: f32) -> u16 {
    bf16::from_f32(x).to_bits()
}

fn value(bits: u16) -> f32 {
    f32::from(bf16::from_bits(bits))
}

/// Rounds numbers to the nearest, ties to even.
pub(crate) fn round(from: &[f32], to: &mut [u16]) {
    for (x, y) in from.iter().zip(to) {
        *y = bits(*x);
    }
}

/// Squared length of what rounding takes away.
pub(crate) fn lost(x: &[f32]) -> f32 {
    x.iter().map(|x| (x - value(bits(*x))).powi(2)).sum()
}

/// Fills rows of `left` from columns, from this row and this number of each row on.
pub(crate) fn transpose(x: &[f32], across: usize, left: &mut Left, [first, from]: [usize; 2]) {
    for (row, to) in left.data.chunks_exact_mut(left.stride).enumerate().skip(first) {
        for (p, y) in to[..left.k].iter_mut().enumerate().skip(from) {
            *y = bits(x[p * across + row]);
        }
    }
}

/// Fills the first columns of a panel, from number `from` of each on.
pub(crate) fn fill_panel(source: Source<'_>, k: usize, columns: usize, from: usize, to: &mut [u16]) {
    for column in 0..columns {
        for p in from..k {
            let x = match source.order {
                Order::Along => source.data[column * source.stride + p],
                Order::Across => source.data[p * source.stride + column],
            };
            to[(p / 2 * PANEL + column) * 2 + p % 2] = bits(x);
        }
    }
}

/// A block of rows times one panel.
pub(crate) fn tile(tile: &Tile<'_>, c: &mut [f32]) {
    for row in 0..tile.rows {
        let mut sums = [0.0; PANEL];
        let a = &tile.a[row * tile.stride..][..tile.panel.len() / PANEL];
        for (a, b) in a.as_chunks::<2>().0.iter().zip(tile.panel.as_chunks::<{ 2 * PANEL }>().0) {
            let [even, odd] = a.map(value);
            for (sum, b) in sums.iter_mut().zip(b.as_chunks::<2>().0) {
                *sum += odd * value(b[1]) + even * value(b[0]);
            }
        }
        let to = &mut c[row * tile.width..][..tile.columns];
        for (i, (to, sum)) in to.iter_mut().zip(sums).enumerate() {
            *to = match tile.start {
                Start::Zero => sum,
                Start::Bias(bias) => bias[i] + sum,
                Start::Add => *to + sum,
            };
        }
    }
}
