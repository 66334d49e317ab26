//! Exact search by way of products of rounded numbers.
//!
//! Rounding to bf16 changes a product by a bounded amount. A row whose rounded product is more than twice that
//! below the k-th best cannot be among the best; the few others are compared in full in the end. Results have
//! the bits of the full comparison.

use revela_bf16::{Left, Right, Source, Start, Target, lost, multiply};

use crate::distance::kernels;
use crate::topk::Scored;
use crate::vectors::Rows;

/// Queries that one thread takes at a time; rounded they fill half of a second-level cache.
pub(super) const QUERY_BLOCK: usize = 512;

/// Rows that are laid out and compared with all queries of a block before the next are read.
const ROW_BLOCK: usize = 64;

/// Queries from which on laying out the rows pays.
const WORTH: usize = 8;

/// Scores that are looked at together.
const LANES: usize = 16;

/// Lengths from which on rounded products might overflow.
const LONGEST: f32 = 1e15;

/// Whether this way is quicker for so many queries.
pub(super) fn pays(queries: usize) -> bool {
    queries >= WORTH && revela_bf16::native()
}

/// What is known of a vector's numbers, or of those of many: upper bounds.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    length: f32,
    lost: f32,
}

impl Extent {
    fn of(row: &[f32]) -> Self {
        Self { length: (kernels().dot)(row, row).sqrt(), lost: lost(row) }
    }

    fn max(self, other: Self) -> Self {
        Self { length: self.length.max(other.length), lost: self.lost.max(other.lost) }
    }

    /// What the rounded product of vectors like these may be wrong by, compared with that in f32.
    fn doubt(self, other: Self, dim: usize) -> f32 {
        let rounding = self.length * other.lost + self.lost * (other.length + other.lost);
        // Each of `dim` additions on either side is off by 2^-24 of what the lengths bound (Higham, Accuracy and
        // Stability of Numerical Algorithms, 3.1).
        let additions = 2.0 * (dim as f32 + 8.0) * f32::EPSILON * self.length * other.length;
        // Numbers below the smallest normal one count as zero.
        let tiny = dim as f32 * f32::MIN_POSITIVE * (1.0 + self.length + other.length);
        // The factor covers the roundings of the bounds themselves.
        (rounding + additions + tiny) * 1.01
    }
}

/// Finds what [`super::search_block`] finds.
pub(super) fn search_block(
    rows: Rows<'_>,
    queries: &[f32],
    k: usize,
    keep: &(dyn Fn(u32) -> bool + Sync),
) -> Vec<Vec<Scored<u32>>> {
    let found = candidates(rows, queries, k, keep);
    found.map_or_else(|| super::search_block(rows, queries, k, keep), |found| decide(rows, queries, k, found))
}

/// Rows that may be among the k best of each query; nothing where numbers are too large for rounded products.
fn candidates(
    rows: Rows<'_>,
    queries: &[f32],
    k: usize,
    keep: &(dyn Fn(u32) -> bool + Sync),
) -> Option<Vec<Vec<Scored<u32>>>> {
    let dim = rows.dim();
    let extents: Vec<Extent> = queries.chunks_exact(dim).map(Extent::of).collect();
    let count = extents.len();
    let left = Left::new(Source::along(queries, dim), count, dim);
    let mut found: Vec<Candidates> = extents.iter().map(|_| Candidates::new(k)).collect();
    let (mut right, mut scores, mut seen) = (Right::default(), Vec::new(), Extent::default());
    for (number, block) in rows.data().chunks(ROW_BLOCK * dim).enumerate() {
        let width = block.len() / dim;
        right.fill(Source::along(block, dim), width, dim);
        scores.resize(count * width, 0.0);
        multiply(&left, &right, Start::Zero, Target::new(&mut scores, width, width));
        seen = block.chunks_exact(dim).map(Extent::of).fold(seen, Extent::max);
        for ((scores, extent), found) in scores.chunks_exact(width).zip(&extents).zip(&mut found) {
            if extent.length.max(seen.length) >= LONGEST {
                return None;
            }
            // Bounds of all rows so far, since any of them may be the k-th best.
            found.doubt = extent.doubt(seen, dim);
            found.offer(scores, (number * ROW_BLOCK) as u32, keep);
        }
    }
    Some(found.into_iter().map(Candidates::finish).collect())
}

/// Compares candidates in full, those of neighbouring rows together, so that rows are read once for all queries.
fn decide(
    rows: Rows<'_>,
    queries: &[f32],
    k: usize,
    mut found: Vec<Vec<Scored<u32>>>,
) -> Vec<Vec<Scored<u32>>> {
    let dot = kernels().dot;
    let (data, dim) = (rows.data(), rows.dim());
    for (query, at) in by_block(&found, rows.len()) {
        let (candidate, row) = (&mut found[query as usize][at as usize], query as usize * dim);
        let place = candidate.id as usize * dim;
        candidate.score = dot(&queries[row..row + dim], &data[place..place + dim]);
    }
    for found in &mut found {
        if found.len() > k {
            found.select_nth_unstable(k.saturating_sub(1));
            found.truncate(k);
        }
        found.sort_unstable();
    }
    found
}

/// Query and place of every candidate, by blocks of rows (a counting sort: within a block the order does not matter).
fn by_block(found: &[Vec<Scored<u32>>], rows: usize) -> Vec<(u32, u32)> {
    let block = |candidate: &Scored<u32>| candidate.id as usize / ROW_BLOCK;
    let mut next = vec![0; rows.div_ceil(ROW_BLOCK) + 1];
    for candidate in found.iter().flatten() {
        next[block(candidate) + 1] += 1;
    }
    for at in 1..next.len() {
        next[at] += next[at - 1];
    }
    let mut order = vec![(0, 0); next.last().copied().unwrap_or(0)];
    for (query, found) in (0..).zip(found) {
        for (at, candidate) in (0..).zip(found) {
            let next = &mut next[block(candidate)];
            order[*next] = (query, at);
            *next += 1;
        }
    }
    order
}

/// The largest of finite scores.
#[inline]
fn largest(scores: &[f32]) -> f32 {
    // Independent, so that they fit a vector.
    let mut lanes = [f32::NEG_INFINITY; 4];
    let (fours, rest) = scores.as_chunks::<4>();
    for four in fours {
        for (lane, &score) in lanes.iter_mut().zip(four) {
            *lane = if score > *lane { score } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |most, &score| if score > most { score } else { most })
}

/// Rows that may be among the k best of a query, with their rounded scores.
struct Candidates {
    k: usize,
    gathered: Vec<Scored<u32>>,
    /// The k-th best rounded score when last looked at.
    last: f32,
    /// What rounded scores may be wrong by.
    doubt: f32,
    /// How many may gather before those that are out are removed.
    limit: usize,
}

impl Candidates {
    fn new(k: usize) -> Self {
        let last = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self { k, gathered: Vec::new(), last, doubt: 0.0, limit: k.saturating_mul(3).max(64) }
    }

    /// What a rounded score must reach.
    fn least(&self) -> f32 {
        self.last - 2.0 * self.doubt
    }

    fn offer(&mut self, scores: &[f32], first: u32, keep: &(dyn Fn(u32) -> bool + Sync)) {
        for (number, scores) in scores.chunks(LANES).enumerate() {
            let least = self.least();
            if largest(scores) < least {
                continue;
            }
            let first = first + (number * LANES) as u32;
            // Without a branch per score, since none would be foreseen.
            let (mut reached, mut count) = ([0; LANES], 0);
            for (at, score) in scores.iter().enumerate() {
                reached[count] = at;
                count += usize::from(*score >= least);
            }
            let reached =
                reached[..count].iter().map(|&at| Scored { score: scores[at], id: first + at as u32 });
            self.gathered.extend(reached.filter(|candidate| keep(candidate.id)));
            if self.gathered.len() >= self.limit {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if self.k > 0 && self.gathered.len() > self.k {
            self.last = self.gathered.select_nth_unstable(self.k - 1).1.score;
            let least = self.least();
            self.gathered.retain(|candidate| candidate.score >= least);
            // Where many are close, the next look is later.
            self.limit = self.limit.max(self.gathered.len().saturating_mul(2));
        }
    }

    fn finish(mut self) -> Vec<Scored<u32>> {
        self.cut();
        self.gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::Vectors;
    use rand::RngExt;
    use revela_base::seed::Seed;

    fn same(dim: usize, data: Vec<f32>, k: usize) {
        let rows = Vectors::new("rows", dim, data).unwrap();
        let keep = |id: u32| id % 7 != 3;
        let queries = &rows.view().data()[..rows.len().min(40) * dim];
        let plain = super::super::search_block(rows.view(), queries, k, &keep);
        assert_eq!(search_block(rows.view(), queries, k, &keep), plain, "{dim} numbers");
    }

    #[test]
    fn finds_what_the_full_comparison_finds_to_the_last_bit() {
        let mut stream = Seed(9).stream("rounded");
        for (dim, rows, k) in [(1, 300, 5), (33, 500, 20), (64, 1000, 100), (384, 400, 1), (50, 200, 500)] {
            let numbers = (0..dim * rows).map(|_| stream.random_range(-1.0f32..1.0));
            same(dim, numbers.collect(), k);
        }
    }

    #[test]
    fn few_candidates_are_left_of_many_rows() {
        let mut stream = Seed(11).stream("rounded");
        let data = (0..5000 * 64).map(|_| stream.random_range(-1.0f32..1.0)).collect();
        let rows = Vectors::new("rows", 64, data).unwrap();
        let found = candidates(rows.view(), &rows.view().data()[..64 * 20], 10, &|_| true).unwrap();
        let most = found.iter().map(Vec::len).max().unwrap();
        assert!((10..40).contains(&most), "{most}");
    }

    /// Near neighbours that differ by less than rounding takes away, and scales at which bf16 gives up.
    #[test]
    fn hard_numbers() {
        let mut stream = Seed(10).stream("rounded");
        let mut close = |scale: f32, spread: f32| -> Vec<f32> {
            (0..40 * 300).map(|i| scale * (1.0 + (i % 40) as f32 + spread * stream.random::<f32>())).collect()
        };
        for (scale, spread) in [(1.0, 1e-4), (1e-21, 1e-3), (1e-40, 1.0), (1e12, 1e-3), (1e17, 1e-3)] {
            same(40, close(scale, spread), 10);
        }
        let mut huge = vec![0.0; 40 * 300];
        huge.iter_mut().step_by(41).for_each(|x| *x = f32::MAX);
        huge.iter_mut().skip(1).step_by(41).for_each(|x| *x = 1e-38);
        assert!(candidates(Rows::new("huge", 40, &huge).unwrap(), &huge[..80], 10, &|_| true).is_none());
        same(40, huge, 10);
    }
}
