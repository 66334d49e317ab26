//! Vectors as one byte per number, and how far that is from the vectors.
//!
//! A vector `x` becomes `scale * code`, with whole numbers from -127 to 127 and one scale per vector, such
//! that its largest number becomes 127. Next to the scale stands the length of `x - scale * code`, from
//! which follows how wrong a dot product of codes can be:
//!
//! ```text
//! q.x - q'.x' = q.(x - x') + (q - q').x'
//! |q.x - q'.x'| <= |q| |x - x'| + |q - q'| |x'|
//! ```
//!
//! A scan of the codes can thus tell which rows may be among the best, and is exact once those are
//! compared in full.

use bytemuck::{Pod, Zeroable};

use crate::distance::{CODE_BIAS, CODE_BLOCK, kernels, prefetch, widely};
use crate::hnsw::Scorer;
use crate::row_order::{RowOrder, picked};
use crate::signs::{Sieve, SignsView};
use crate::vectors::{Rows, dot, extremes};

/// The largest code.
const LARGEST: f32 = 127.0;

/// Adding it leaves no bits for what is behind the point.
const ROUNDER: f32 = 12_582_912.0;

/// Numbers that are coded at once.
const EIGHT: usize = 8;

/// The most numbers that a vector may have: products of more could overflow 32 bits.
pub(crate) const MOST_DIMENSIONS: usize = 1 << 16;

/// Bytes from one row of codes to the next.
pub(crate) fn stride(dim: usize) -> usize {
    dim.next_multiple_of(CODE_BLOCK)
}

/// What belongs to one row's codes.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Scale {
    /// What a code is multiplied by.
    pub(crate) scale: f32,
    /// The length of what the codes leave out, rounded up.
    pub(crate) error: f32,
}

/// The codes of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Codes {
    stride: usize,
    pub(crate) data: Vec<u8>,
    pub(crate) scales: Vec<Scale>,
    /// Length of the longest vector, rounded up.
    pub(crate) longest: f32,
}

/// Borrowed codes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodesView<'a> {
    stride: usize,
    data: &'a [u8],
    scales: &'a [Scale],
    longest: f32,
    signs: Option<SignsView<'a>>,
}

/// Codes one vector into as many bytes.
#[inline(always)]
fn encode(row: &[f32], codes: &mut [i8]) -> Scale {
    let (low, high) = extremes(row);
    let largest = high.max(-low);
    // Numbers so small that the scale has no inverse are as good as zero.
    let scale = if largest / LARGEST < f32::MIN_POSITIVE { 0.0 } else { largest / LARGEST };
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut squares = [0.0f64; EIGHT];
    let (eights, rest) = row.as_chunks::<EIGHT>();
    let (coded, last) = codes.split_at_mut((EIGHT * eights.len()).min(codes.len()));
    for (eight, codes) in eights.iter().zip(coded.as_chunks_mut().0) {
        encode_eight(eight, (scale, inverse), codes, &mut squares);
    }
    let (mut padded, mut codes) = ([0.0; EIGHT], [0; EIGHT]);
    padded.iter_mut().zip(rest).for_each(|(to, &x)| *to = x);
    encode_eight(&padded, (scale, inverse), &mut codes, &mut squares);
    last.iter_mut().zip(codes).take(rest.len()).for_each(|(to, code)| *to = code);
    Scale { scale, error: up(squares.iter().sum::<f64>().sqrt()) }
}

/// Codes numbers, and adds the squares of what the codes leave out.
#[inline(always)]
fn encode_eight(
    numbers: &[f32; EIGHT],
    (scale, inverse): (f32, f32),
    codes: &mut [i8; EIGHT],
    squares: &mut [f64; EIGHT],
) {
    for ((square, &x), code) in squares.iter_mut().zip(numbers).zip(codes) {
        // Rounds, and leaves the whole number in the lowest bits.
        let near = (x * inverse).clamp(-LARGEST, LARGEST) + ROUNDER;
        let left = f64::from(x) - f64::from(near - ROUNDER) * f64::from(scale);
        *square += left * left;
        *code = near.to_bits() as i8;
    }
}

/// The next f32 that is not smaller.
#[inline(always)]
fn up(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) < x { near.next_up() } else { near }
}

#[inline(always)]
fn length(row: &[f32]) -> f32 {
    up(dot(row, row).sqrt())
}

impl Codes {
    /// Codes every row.
    pub(crate) fn of(rows: Rows<'_>) -> Self {
        let stride = stride(rows.dim());
        let mut data = vec![CODE_BIAS; rows.len() * stride];
        let mut signed = vec![0; stride];
        let code = |(row, codes): (&[f32], &mut [u8])| {
            let scale = encode(row, &mut signed);
            codes.iter_mut().zip(&signed).for_each(|(out, &code)| *out = (code as u8) ^ CODE_BIAS);
            scale
        };
        let scales = rows.iter().zip(data.chunks_exact_mut(stride)).map(code).collect();
        let longest = rows.iter().map(length).fold(0.0, f32::max);
        Self { stride, data, scales, longest }
    }

    /// The same rows in another order.
    pub(crate) fn arranged(&self, order: &RowOrder) -> Self {
        self.picked(order.places())
    }

    /// Some of the rows, in the order in which they are named.
    pub(crate) fn picked(&self, rows: &[u32]) -> Self {
        let (data, scales) = (picked(&self.data, self.stride, rows), picked(&self.scales, 1, rows));
        Self { data, scales, ..*self }
    }

    pub(crate) fn view(&self) -> CodesView<'_> {
        CodesView {
            stride: self.stride,
            data: &self.data,
            scales: &self.scales,
            longest: self.longest,
            signs: None,
        }
    }
}

impl<'a> CodesView<'a> {
    /// Borrows codes whose lengths were checked to belong together.
    pub(crate) fn new(dim: usize, data: &'a [u8], scales: &'a [Scale], longest: f32) -> Self {
        Self { stride: stride(dim), data, scales, longest, signs: None }
    }

    /// With the signs of the same rows beside them, walks compare fewer codes.
    pub(crate) fn with_signs(self, signs: SignsView<'a>) -> Self {
        Self { signs: Some(signs), ..self }
    }

    pub(crate) fn len(&self) -> usize {
        self.scales.len()
    }

    /// Adds a multiple of what a row's codes stand for.
    pub(crate) fn add(&self, row: u32, weight: f32, to: &mut [f32]) {
        let weight = weight * self.scale(row);
        let number = |&code: &u8| f32::from((code ^ CODE_BIAS) as i8);
        to.iter_mut().zip(self.row(row)).for_each(|(to, code)| *to += weight * number(code));
    }

    /// Numbers of a row, padding included.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// A row's codes; nothing past the end.
    pub(crate) fn row(&self, row: u32) -> &'a [u8] {
        let start = row as usize * self.stride;
        self.data.get(start..start + self.stride).unwrap_or_default()
    }

    pub(crate) fn scale(&self, row: u32) -> f32 {
        self.scales.get(row as usize).map_or(0.0, |scale| scale.scale)
    }

    /// Approximate dot product of two rows.
    #[inline]
    pub(crate) fn dot(&self, a: u32, b: u32) -> f32 {
        let dot = (kernels().dot_codes)(self.row(a), self.row(b));
        dot as f32 * self.scale(a) * self.scale(b)
    }

    /// Asks for a row to be brought near.
    #[inline]
    pub(crate) fn fetch(&self, row: u32) {
        prefetch(self.scales, row as usize, 1);
        prefetch(self.data, row as usize * self.stride, self.stride);
    }

    pub(crate) fn longest(&self) -> f32 {
        self.longest
    }

    /// Approximate dot products with these rows, which should have been fetched.
    #[inline]
    pub(crate) fn scores(&self, query: &CodedQuery, rows: &[u32], raw: &mut Vec<i32>, out: &mut [f32]) {
        if raw.len() < rows.len() {
            raw.resize(rows.len(), 0);
        }
        (kernels().gather_codes)(&query.code, self.data, rows, &mut raw[..rows.len()]);
        for ((&row, &raw), out) in rows.iter().zip(raw.iter()).zip(out) {
            *out = raw.wrapping_sub(query.bias) as f32 * self.scale(row) * query.scale;
        }
    }

    /// How wrong a score may be, as a rule: three standard deviations of what the codes leave out, were that
    /// random. A bound for all cases, as [`scan`](Self::scan) has, is `sqrt(dim) / 3` times as large.
    #[inline]
    pub(crate) fn doubt(&self, query: &CodedQuery, row: u32) -> f32 {
        let error = self.scales.get(row as usize).map_or(0.0, |scale| scale.error);
        (error * (query.length + query.error) + query.error * self.longest) * query.per_bound
    }

    /// Approximate dot products with rows from `first` on, as many as `raw` has room for, each with how
    /// wrong it may be, are handed to `each`.
    #[inline]
    pub(crate) fn scan(
        &self,
        query: &CodedQuery,
        first: usize,
        raw: &mut [i32],
        mut each: impl FnMut(u32, f32, f32),
    ) {
        let scales = self.scales.get(first..).unwrap_or_default();
        let codes = self.data.get(first * self.stride..).unwrap_or_default();
        (kernels().scan_codes)(&query.code, codes, raw);
        let constant = query.error * self.longest + query.rounding * self.longest;
        let per_error = query.length + query.error;
        for ((row, scale), &raw) in (first as u32..).zip(scales).zip(raw.iter()) {
            let score = raw.wrapping_sub(query.bias) as f32 * scale.scale * query.scale;
            each(row, score, scale.error * per_error + constant);
        }
    }
}

/// A query as codes; filled again for each query so that its memory is used again.
#[derive(Debug, Default)]
pub(crate) struct CodedQuery {
    /// The query itself; empty where a row asks.
    vector: Vec<f32>,
    code: Vec<i8>,
    /// What the bias of stored codes adds to a dot product.
    bias: i32,
    scale: f32,
    /// Length of what the codes leave out.
    error: f32,
    length: f32,
    /// How wrong f32 arithmetic may be, per length of a row.
    rounding: f32,
    /// How wrong a score is as a rule, per how wrong it is at most.
    per_bound: f32,
}

impl CodedQuery {
    /// Asks with a row's own codes. Scores are only good for ranking.
    pub(crate) fn fill_from(&mut self, codes: &CodesView<'_>, row: u32) {
        self.code.clear();
        self.code.extend(codes.row(row).iter().map(|&code| (code ^ CODE_BIAS) as i8));
        self.bias = i32::from(CODE_BIAS) * self.code.iter().map(|&x| i32::from(x)).sum::<i32>();
        (self.scale, self.error, self.length) = (codes.scale(row), 0.0, 0.0);
        self.vector.clear();
    }

    pub(crate) fn fill(&mut self, query: &[f32]) {
        widely(
            #[inline(always)]
            || self.fill_plainly(query),
        );
    }

    #[inline(always)]
    fn fill_plainly(&mut self, query: &[f32]) {
        self.code.clear();
        self.code.resize(stride(query.len()), 0);
        let Scale { scale, error } = encode(query, &mut self.code);
        self.vector.clear();
        self.vector.extend_from_slice(query);
        self.bias = i32::from(CODE_BIAS) * self.code.iter().map(|&x| i32::from(x)).sum::<i32>();
        (self.scale, self.error, self.length) = (scale, error, length(query));
        self.per_bound = 3.0 / (query.len() as f32).sqrt().max(3.0);
        self.rounding = 2.0 * f32::EPSILON * query.len() as f32 * self.length;
    }
}

/// Compares a query with rows by their codes.
pub(crate) struct Coded<'a> {
    pub(crate) codes: &'a CodesView<'a>,
    pub(crate) query: &'a CodedQuery,
    pub(crate) raw: &'a mut Vec<i32>,
}

impl Scorer for Coded<'_> {
    fn start(&mut self, sieve: &mut Sieve) {
        match self.codes.signs {
            Some(signs) => sieve.fill(signs, &self.query.vector),
            None => sieve.reset(),
        }
    }

    #[inline]
    fn fetch(&self, rows: impl Iterator<Item = u32>) {
        rows.for_each(|row| self.codes.fetch(row));
    }

    #[inline]
    fn fetch_for_sifting(&self, rows: impl Iterator<Item = u32>) {
        if let Some(signs) = self.codes.signs {
            signs.fetch(rows);
        }
    }

    #[inline]
    fn sift(&mut self, sieve: &mut Sieve, rows: &mut Vec<u32>, least: f32) {
        match self.codes.signs {
            Some(signs) => sieve.sift(signs, rows, least, |row| self.codes.fetch(row)),
            None => self.fetch(rows.iter().copied()),
        }
    }

    #[inline]
    fn scores(&mut self, rows: &[u32], out: &mut [f32]) {
        self.codes.scores(self.query, rows, self.raw, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::Vectors;
    use proptest::prelude::*;

    fn rows(dim: usize, data: Vec<f32>) -> Vectors {
        let whole = data.len() / dim * dim;
        Vectors::new("rows", dim, data[..whole].to_vec()).unwrap()
    }

    proptest! {
        /// The bound holds for every pair, and codes are never further than half a step from the numbers.
        #[test]
        fn products_are_within_their_bound(
            dim in 1usize..150,
            data in proptest::collection::vec(-1f32..1.0, 150..600),
            zoom in -30i32..30,
        ) {
            let data = data.into_iter().map(|x| x * (zoom as f32).exp2()).collect();
            let rows = rows(dim, data);
            let codes = Codes::of(rows.view());
            let view = codes.view();
            let mut query = CodedQuery::default();
            let ids: Vec<u32> = (0..rows.len() as u32).collect();
            for (number, vector) in rows.view().iter().enumerate() {
                query.fill_from(&view, number as u32);
                let (mut raw, mut own) = (vec![0], [0.0]);
                view.scores(&query, &[number as u32], &mut raw, &mut own);
                prop_assert!((own[0] - view.dot(number as u32, number as u32)).abs() <= 1e-6 * own[0]);
                query.fill(vector);
                let mut raw = vec![0; rows.len()];
                let mut scanned = Vec::new();
                view.scan(&query, 0, &mut raw, |row, score, bound| scanned.push((row, score, bound)));
                prop_assert_eq!(scanned.len(), rows.len());
                let mut gathered = vec![0.0; rows.len()];
                view.scores(&query, &ids, &mut raw, &mut gathered);
                for ((row, score, bound), again) in scanned.into_iter().zip(gathered) {
                    let other = rows.view().get(row as usize).unwrap();
                    let exact: f64 = vector.iter().zip(other).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                    prop_assert!((f64::from(score) - exact).abs() <= f64::from(bound), "{score} {exact} {bound}");
                    prop_assert_eq!(score, again);
                    let between = view.dot(number as u32, row);
                    prop_assert!((between - score).abs() <= 1e-5 * score.abs().max(f32::MIN_POSITIVE));
                }
            }
        }
    }

    #[test]
    fn extremes_are_coded_without_harm() {
        let data = vec![0.0, 0.0, 1e-44, -1e-44, f32::MAX / 4.0, -1.0, 1e-30, 1e-30];
        let rows = rows(2, data);
        let codes = Codes::of(rows.view());
        assert!(codes.scales.iter().all(|s| s.scale.is_finite() && s.error.is_finite()));
        assert_eq!(codes.view().dot(0, 2), 0.0);
        assert_eq!(codes.view().row(4), &[0u8; 0]);
        assert_eq!(&codes.view().row(3)[..3], &[255, 255, 128]);
        assert_eq!(codes.view().row(2)[0], 255);
        assert_eq!(codes.view().len(), 4);
    }
}
