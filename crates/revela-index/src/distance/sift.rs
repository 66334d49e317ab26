//! Which rows may be near enough, told by their signs (see [`crate::signs`]).

use std::ops::Range;

use super::{Gather, PLANES};

/// Rows that are judged at a time.
pub(crate) const SIFTED: usize = 16;

/// The signs of a row end with these numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SignTail {
    /// `c.r`.
    pub(crate) along: f32,
    pub(crate) factor: f32,
    /// How many signs are positive.
    pub(crate) positive: u32,
}

impl SignTail {
    /// The two words of a tail.
    pub(crate) fn words(self) -> [u64; 2] {
        let along = u64::from(self.along.to_bits());
        [along | u64::from(self.factor.to_bits()) << 32, u64::from(self.positive)]
    }

    #[inline(always)]
    pub(crate) fn of([numbers, positive]: [u64; 2]) -> Self {
        let (along, factor) = (f32::from_bits(numbers as u32), f32::from_bits((numbers >> 32) as u32));
        Self { along, factor, positive: positive as u32 }
    }
}

/// What is wanted of rows: `along + factor (per_sum s + per_positive n + rest) >= wanted`, where `s` is the
/// sum of the signs under the planes, and `n` how many are positive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignTest<'a> {
    /// [`PLANES`] times as many words as a row has.
    pub(crate) planes: &'a [u64],
    /// Words before a row's tail.
    pub(crate) tail_at: usize,
    pub(crate) per_sum: f32,
    pub(crate) per_positive: f32,
    pub(crate) rest: f32,
    pub(crate) wanted: f32,
}

impl SignTest<'_> {
    /// Words from one row to the next.
    #[inline(always)]
    pub(crate) fn stride(&self) -> usize {
        self.planes.len() / PLANES
    }

    /// A row's tail; nothing past the end.
    #[inline(always)]
    pub(crate) fn tail(&self, data: &[u64], row: u32) -> Option<[u64; 2]> {
        data.get(row as usize * self.stride() + self.tail_at..)?.first_chunk().copied()
    }

    /// The left side of what is wanted.
    #[inline(always)]
    pub(crate) fn estimate(&self, sum: u32, SignTail { along, factor, positive }: SignTail) -> f32 {
        let product = self.per_sum * sum as i32 as f32 + self.per_positive * positive as i32 as f32;
        along + factor * (product + self.rest)
    }

    /// Whether a row is not wanted, as far as can be told.
    #[inline(always)]
    fn refuses(&self, sum: u32, tail: Option<[u64; 2]>) -> bool {
        tail.is_some_and(|tail| self.estimate(sum, SignTail::of(tail)) < self.wanted)
    }
}

/// Moves those of the rows in `judged` that are wanted to `kept` and behind it. Returns where the last one's
/// end is.
#[inline(always)]
pub(super) fn sift_by(
    sums: Gather<u64, u64, u32>,
    test: &SignTest<'_>,
    data: &[u64],
    rows: &mut [u32],
    judged: Range<usize>,
    mut kept: usize,
) -> usize {
    let mut found = [0; SIFTED];
    for first in judged.clone().step_by(SIFTED) {
        let end = judged.end.min(first + SIFTED);
        sums(test.planes, data, &rows[first..end], &mut found);
        for (at, &sum) in (first..end).zip(&found) {
            let row = rows[at];
            rows[kept] = row;
            kept += usize::from(!test.refuses(sum, test.tail(data, row)));
        }
    }
    kept
}
