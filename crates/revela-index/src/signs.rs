//! Vectors as one bit per number: enough to tell most of the rows that a walk need not compare.
//!
//! A row `x` is kept as the signs of `r = x - c`, where `c` is the mean of all rows. With `s` the signs as
//! 1 and -1, `|r|_1` the sum of the sizes of its numbers, and `p = q - c` for a query `q`,
//!
//! ```text
//! q.x = q.c + c.r + p.r        and        p.r is about (|r|^2 / |r|_1) (p.s)
//! ```
//!
//! (the factor makes it exact for `p = r`). What the estimate leaves out grows like the factor times `|p|`;
//! how much it is as a rule is measured on some pairs of rows when the signs are made. `p` itself is
//! rounded to [`PLANES`] bits per number, one plane of bits each, so that `p.s` is a few ands and counts of
//! bits. Signs decide only which rows are worth comparing, never how they rank.

use crate::distance::{LINE_WORDS, PLANES, SIFTED, SignTail, SignTest, kernels, prefetch, widely};
use crate::row_order::RowOrder;
use crate::vectors::{Rows, dot, extremes, sum};

/// Vectors with fewer numbers get no signs: a few signs tell too little.
const LEAST_DIMENSIONS: usize = 64;

/// A row is left out when its estimate is so many times the usual error below what is wanted.
const CAUTION: f32 = 1.0;

/// Rows that stand for queries, and rows that each is compared with, when the usual error is measured.
const MEASURED: (usize, usize) = (256, 32);

/// Steps of a query's numbers.
const STEPS: f32 = ((1 << PLANES) - 1) as f32;

/// Words of 64 signs.
fn sign_words(dim: usize) -> usize {
    dim.div_ceil(64)
}

/// Words from one row to the next. After the signs stand two words: `c.r` and the factor as f32, then
/// how many signs are positive.
pub(crate) fn stride(dim: usize) -> usize {
    (sign_words(dim) + 2).next_multiple_of(LINE_WORDS)
}

/// Whether rows of this length get signs.
pub(crate) fn pays(dim: usize) -> bool {
    dim >= LEAST_DIMENSIONS
}

/// Numbers that belong to all signs of a shard: the mean of the rows, then the usual error.
pub(crate) fn frame_length(dim: usize) -> usize {
    dim + 1
}

/// The signs of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Signs {
    pub(crate) data: Vec<u64>,
    /// See [`frame_length`].
    pub(crate) frame: Vec<f32>,
}

/// Borrowed signs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignsView<'a> {
    data: &'a [u64],
    centre: &'a [f32],
    usual_error: f32,
}

impl Signs {
    /// Signs every row; nothing where that does not pay.
    pub(crate) fn of(rows: Rows<'_>) -> Option<Self> {
        let dim = rows.dim();
        if !pays(dim) || rows.is_empty() {
            return None;
        }
        let centre = mean(rows);
        let mut data = vec![0; rows.len() * stride(dim)];
        for (row, signs) in rows.iter().zip(data.chunks_exact_mut(stride(dim))) {
            draw(row, &centre, signs);
        }
        let mut frame = centre;
        let view = SignsView { data: &data, centre: &frame, usual_error: 0.0 };
        let usual_error = view.measure(rows);
        frame.push(usual_error);
        Some(Self { data, frame })
    }

    /// The same rows in another order.
    pub(crate) fn arranged(self, order: &RowOrder) -> Self {
        let stride = stride(self.frame.len() - 1);
        Self { data: order.apply(&self.data, stride), ..self }
    }

    pub(crate) fn view(&self) -> SignsView<'_> {
        SignsView::new(&self.data, &self.frame)
    }
}

fn mean(rows: Rows<'_>) -> Vec<f32> {
    let mut sums = vec![0.0f64; rows.dim()];
    for row in rows.iter() {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sums.iter().map(|sum| (sum / rows.len() as f64) as f32).collect()
}

fn draw(row: &[f32], centre: &[f32], signs: &mut [u64]) {
    let (mut sizes, mut square, mut along) = (0.0f64, 0.0f64, 0.0f64);
    let mut positive = 0;
    for (at, (x, c)) in row.iter().zip(centre).enumerate() {
        let r = f64::from(*x) - f64::from(*c);
        (sizes, square, along) = (sizes + r.abs(), square + r * r, along + r * f64::from(*c));
        if r > 0.0 {
            signs[at / 64] |= 1 << (at % 64);
            positive += 1;
        }
    }
    let factor = if sizes > 0.0 { square / sizes } else { 0.0 };
    let words = sign_words(row.len());
    let tail = SignTail { along: along as f32, factor: factor as f32, positive };
    signs[words..words + 2].copy_from_slice(&tail.words());
}

impl<'a> SignsView<'a> {
    /// Borrows signs whose lengths were checked to belong together.
    pub(crate) fn new(data: &'a [u64], frame: &'a [f32]) -> Self {
        let (&usual_error, centre) = frame.split_last().unwrap_or((&0.0, &[]));
        Self { data, centre, usual_error }
    }

    /// Asks for rows to be brought near.
    #[inline]
    pub(crate) fn fetch(&self, rows: impl Iterator<Item = u32>) {
        let stride = stride(self.centre.len());
        rows.for_each(|row| prefetch(self.data, row as usize * stride, stride));
    }

    /// The root of the mean square of what estimates leave out, per factor and length of the query.
    fn measure(&self, rows: Rows<'_>) -> f32 {
        let (queries, others) = MEASURED;
        let mut sieve = Sieve::default();
        let (mut squares, mut count) = (0.0f64, 0u32);
        for number in 0..queries.min(rows.len()) {
            let from = number * rows.len() / queries.min(rows.len());
            let Some(query) = rows.get(from) else { continue };
            sieve.fill(*self, query);
            for step in 1..=others.min(rows.len() - 1) {
                // Steps of different sizes, so that neither neighbours nor any period is preferred.
                let to = (from + step * step * 7919) % rows.len();
                let (Some(other), true) = (rows.get(to), to != from) else { continue };
                let (estimate, unit) = sieve.estimate(*self, to as u32);
                if unit > 0.0 {
                    squares += ((dot(query, other) - f64::from(estimate)) / f64::from(unit)).powi(2);
                    count += 1;
                }
            }
        }
        (squares / f64::from(count.max(1))).sqrt() as f32
    }
}

/// A query as planes of bits, and what turns counts into estimates; filled again for each query so that its
/// memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Sieve {
    difference: Vec<f32>,
    /// [`PLANES`] times as many words as a row has; plane `i` has bit `i` of every number.
    planes: Vec<u64>,
    /// `q.c`.
    base: f32,
    /// `p.s` is `per_sum` times the weighted count, plus `per_positive` times the positive signs, plus `rest`.
    per_sum: f32,
    per_positive: f32,
    rest: f32,
    /// `|p|`.
    length: f32,
    /// What a factor must be multiplied by to give the error that is reckoned with.
    per_factor: f32,
    filled: bool,
}

impl Sieve {
    /// Lets everything through until it is filled.
    pub(crate) fn reset(&mut self) {
        self.filled = false;
    }

    /// Asks for rows near to `query`.
    pub(crate) fn fill(&mut self, signs: SignsView<'_>, query: &[f32]) {
        self.filled = signs.centre.len() == query.len();
        if !self.filled {
            return;
        }
        widely(
            #[inline(always)]
            || self.fill_plainly(signs, query),
        );
    }

    #[inline(always)]
    fn fill_plainly(&mut self, signs: SignsView<'_>, query: &[f32]) {
        let centre = signs.centre;
        self.difference.clear();
        self.difference.extend(query.iter().zip(centre).map(|(q, c)| q - c));
        let p = &self.difference;
        let (low, high) = extremes(p);
        let step = ((high - low) / STEPS).max(f32::MIN_POSITIVE);
        let words = stride(query.len());
        self.planes.clear();
        self.planes.resize(PLANES * words, 0);
        let inverse = 1.0 / step;
        for (word, numbers) in p.chunks(64).enumerate() {
            let mut steps = [0u8; 64];
            steps.iter_mut().zip(numbers).for_each(|(out, x)| *out = round((x - low) * inverse));
            for (plane, bits) in self.planes.chunks_exact_mut(words).enumerate() {
                bits[word] = bits_of(&steps, plane);
            }
        }
        (self.length, self.base) = (dot(p, p).sqrt() as f32, dot(query, centre) as f32);
        (self.per_sum, self.per_positive, self.rest) = (2.0 * step, 2.0 * low, -sum(p) as f32);
        self.per_factor = CAUTION * signs.usual_error * self.length;
    }

    /// The estimate for a row, and the unit in which its error is measured.
    fn estimate(&self, signs: SignsView<'_>, row: u32) -> (f32, f32) {
        let (mut sum, test) = ([0], SignTest { rest: self.rest, ..self.test(0.0) });
        (kernels().sign_sums)(&self.planes, signs.data, &[row], &mut sum);
        let Some(tail) = test.tail(signs.data, row).map(SignTail::of) else { return (0.0, 0.0) };
        (self.base + test.estimate(sum[0], tail), tail.factor * self.length)
    }

    /// What finds out whether rows may be as similar as `least`.
    #[inline]
    fn test(&self, least: f32) -> SignTest<'_> {
        SignTest {
            planes: &self.planes,
            tail_at: sign_words(self.difference.len()),
            per_sum: self.per_sum,
            per_positive: self.per_positive,
            rest: self.rest + self.per_factor,
            wanted: least - self.base,
        }
    }

    /// Removes rows whose similarity is hardly as large as `least`, in place. What stays is made known to
    /// `near` while the rest is still looked at.
    #[inline]
    pub(crate) fn sift(&mut self, signs: SignsView<'_>, rows: &mut Vec<u32>, least: f32, near: impl Fn(u32)) {
        if !self.filled {
            return rows.iter().for_each(|&row| near(row));
        }
        let (test, sift) = (self.test(least), kernels().sift);
        let mut kept = 0;
        for first in (0..rows.len()).step_by(SIFTED) {
            let before = kept;
            let judged = first..rows.len().min(first + SIFTED);
            kept = sift(&test, signs.data, rows, judged, kept);
            rows[before..kept].iter().for_each(|&row| near(row));
        }
        rows.truncate(kept);
    }
}

/// Rounds a number from 0 to [`STEPS`]: adding 2^23 leaves no bits for what is behind the point.
#[inline(always)]
fn round(x: f32) -> u8 {
    (x.clamp(0.0, STEPS) + 8_388_608.0).to_bits() as u8
}

/// One bit of each of 64 numbers, the first one lowest.
#[inline(always)]
fn bits_of(numbers: &[u8; 64], bit: usize) -> u64 {
    let (eights, _) = numbers.as_chunks::<8>();
    eights.iter().rev().fold(0, |bits, &eight| {
        let ones = u64::from_le_bytes(eight) >> bit & 0x0101_0101_0101_0101;
        // Moves bit `8 i` to bit `56 + i`.
        bits << 8 | ones.wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

#[cfg(test)]
mod tests;
