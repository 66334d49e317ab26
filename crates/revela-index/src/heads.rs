//! Telling by the beginnings of vectors most of those that a walk need not read to their ends.
//!
//! For vectors of length 1, let `h` be the first numbers of a query `q`, `g` as many of a row `x`, and
//! `s = |h|^2`. A row is `x = (q.x) q + y` with `y` at right angles to `q`, so
//!
//! ```text
//! h.g = s (q.x) + h.y        and        q.x is about h.g / s
//! ```
//!
//! Were the directions of `y` equally likely, the error would have the variance
//! `(1 - (q.x)^2) (1 - s) / (s n)` for `n` numbers. In real vectors some directions matter more, so the root
//! of `1 / n` is not reckoned but measured, on some pairs of rows, when a shard is made. To compare first
//! numbers first is the idea of ADSampling (Gao and Long, 2023), which turns the vectors for it; here they
//! stay what they are. Estimates decide only which rows are worth comparing, never how they rank.

use crate::distance::{kernels, prefetch};
use crate::vectors::{Rows, dot};

/// Shorter vectors are read at once.
const LEAST_DIMENSIONS: usize = 192;

/// One number in so many belongs to the beginning.
const SHARE: usize = 3;

/// Beginnings are whole lines of so many numbers.
const LINE: usize = 16;

/// A row is left out when its estimate is so many times the usual error below what is wanted.
const CAUTION: f32 = 1.75;

/// Rows that stand for queries, and rows that each is compared with, when the usual error is measured.
const MEASURED: (usize, usize) = (256, 32);

/// Numbers of a beginning.
fn length(dim: usize) -> usize {
    dim / SHARE / LINE * LINE
}

/// The beginnings of rows of length 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads<'a> {
    rows: Rows<'a>,
    usual_error: f32,
}

/// A query's beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadQuery<'a> {
    heads: Heads<'a>,
    head: &'a [f32],
    /// `|h|^2`.
    share: f32,
    /// What is reckoned with, for rows at right angles to the query.
    error: f32,
}

/// How wrong estimates are as a rule, where judging by beginnings pays: the root of `1 / n` above.
pub(crate) fn usual_error(rows: Rows<'_>) -> Option<f32> {
    if rows.dim() < LEAST_DIMENSIONS || rows.len() < 2 {
        return None;
    }
    let (queries, others) = (MEASURED.0.min(rows.len()), MEASURED.1.min(rows.len() - 1));
    let heads = Heads { rows, usual_error: 0.0 };
    let (mut squares, mut count) = (0.0f64, 0u32);
    for number in 0..queries {
        let from = number * rows.len() / queries;
        let Some(query) = rows.get(from).and_then(|row| heads.query(row)) else { continue };
        for step in 1..=others {
            // Steps of different sizes, so that neither neighbours nor any period is preferred.
            let to = (from + step * step * 7919) % rows.len();
            if let (Some(square), true) = (query.square(rows, from, to), to != from) {
                (squares, count) = (squares + f64::from(square), count + 1);
            }
        }
    }
    (count > 0).then(|| (squares / f64::from(count)).sqrt() as f32)
}

impl<'a> Heads<'a> {
    /// Rows of length 1 with what [`usual_error`] told of them.
    pub(crate) fn new(rows: Rows<'a>, usual_error: f32) -> Self {
        Self { rows, usual_error }
    }

    /// Begins with a query of length 1; nothing where its beginning tells nothing.
    pub(crate) fn query(self, query: &'a [f32]) -> Option<HeadQuery<'a>> {
        let head = query.get(..length(self.rows.dim())).filter(|_| query.len() == self.rows.dim())?;
        let share = (dot(head, head) as f32).min(1.0);
        let error = CAUTION * self.usual_error * ((1.0 - share) / share).sqrt();
        (share > 0.0 && error.is_finite()).then_some(HeadQuery { heads: self, head, share, error })
    }
}

impl HeadQuery<'_> {
    /// The square of an estimate's error, in the unit of the usual error.
    fn square(&self, rows: Rows<'_>, from: usize, to: usize) -> Option<f32> {
        let (query, row) = (rows.get(from)?, rows.get(to)?);
        let exact = dot(query, row) as f32;
        let unit = (1.0 - exact * exact).max(0.0) * (1.0 - self.share) / self.share;
        let left = exact - dot(self.head, row.get(..self.head.len())?) as f32 / self.share;
        (unit > 1e-6).then(|| left * left / unit)
    }

    /// Asks for a row's beginning to be brought near.
    #[inline]
    pub(crate) fn fetch(&self, row: u32) {
        let rows = self.heads.rows;
        prefetch(rows.data(), row as usize * rows.dim(), self.head.len());
    }

    /// Removes rows whose similarity is hardly as large as `least`, in place; `row_of` tells which row each
    /// number stands for. Rows that do not exist are kept. What stays is made known to `near`.
    pub(crate) fn sift(
        &self,
        numbers: &mut Vec<u32>,
        least: f32,
        row_of: impl Fn(u32) -> u32,
        near: impl Fn(u32),
    ) {
        let across = (1.0 - least * least).max(0.0).sqrt();
        let wanted = self.share * (least - self.error * across);
        let dot = kernels().dot;
        let mut kept = 0;
        for at in 0..numbers.len() {
            let number = numbers[at];
            let row = self.heads.rows.get(row_of(number) as usize);
            let below = row.is_some_and(|row| dot(self.head, row) < wanted);
            numbers[kept] = number;
            kept += usize::from(!below);
            if !below {
                near(number);
            }
        }
        numbers.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::Vectors;
    use rand::RngExt;
    use revela_base::seed::Seed;

    /// Rows of length 1 around a common direction; `fading` of the numbers matter less and less.
    fn rows(count: usize, dim: usize, seed: u64, fading: f32) -> Vectors {
        let mut stream = Seed(seed).stream("rows");
        let mut number = |at: usize| {
            let place = (at % dim) as f32;
            (stream.random_range(-1.0f32..1.0) + 0.3 * place.sin()) * (-fading * place / dim as f32).exp()
        };
        let mut vectors = Vectors::new("rows", dim, (0..count * dim).map(&mut number).collect()).unwrap();
        vectors.normalise("rows").unwrap();
        vectors
    }

    #[test]
    fn the_usual_error_of_even_rows_is_that_of_random_ones() {
        for dim in [192, 384, 1000] {
            let found = usual_error(rows(400, dim, 1, 0.0).view()).unwrap();
            let expected = 1.0 / (dim as f32).sqrt();
            assert!((0.9..1.2).contains(&(found / expected)), "{dim}: {found}");
        }
        assert_eq!(usual_error(rows(400, 191, 1, 0.0).view()), None);
        assert_eq!(usual_error(rows(1, 192, 1, 0.0).view()), None);
    }

    #[test]
    fn sifting_keeps_what_is_near_and_drops_most_of_the_rest() {
        for fading in [0.0, 3.0] {
            let (rows, queries) = (rows(2000, 384, 1, fading), rows(30, 384, 2, fading));
            let heads = Heads::new(rows.view(), usual_error(rows.view()).unwrap());
            let (mut lost, mut wanted, mut kept) = (0, 0, 0);
            for query in queries.view().iter() {
                let scores: Vec<f32> = rows.view().iter().map(|row| dot(row, query) as f32).collect();
                let mut sorted = scores.clone();
                sorted.sort_by(f32::total_cmp);
                let least = sorted[1900];
                let mut numbers: Vec<u32> = (0..2000).rev().collect();
                heads.query(query).unwrap().sift(&mut numbers, least, |number| 1999 - number, |_| ());
                assert!(numbers.is_sorted_by(|a, b| a > b));
                let good = |number: &u32| scores[1999 - *number as usize] >= least;
                kept += numbers.len();
                wanted += 100;
                lost += 100 - numbers.iter().filter(|number| good(number)).count();
            }
            assert!(lost * 20 < wanted, "{fading}: {lost} of {wanted}");
            assert!(kept < 30 * 1500, "{fading}: {kept}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_kept() {
        let rows = rows(3, 192, 1, 0.0);
        let heads = Heads::new(rows.view(), 0.05);
        assert!(heads.query(&[0.0; 192]).is_none() && heads.query(&[1.0; 191]).is_none());
        let mut numbers = vec![0, 3, u32::MAX];
        let query = rows.view().get(0).unwrap();
        heads.query(query).unwrap().sift(&mut numbers, 1.5, |number| number, |_| ());
        assert_eq!(numbers, [3, u32::MAX]);
        let mut numbers = vec![0, 1, 2];
        heads.query(query).unwrap().sift(&mut numbers, -1.0, |number| number, |_| ());
        assert_eq!(numbers, [0, 1, 2]);
    }
}
