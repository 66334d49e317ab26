//! Operands rounded and laid out for [`multiply`](crate::multiply).

use crate::plain;

/// Columns of a panel of the right operand: two AVX-512 vectors of pairs.
pub(crate) const PANEL: usize = 32;

/// Numbers in a cache line.
const LINE: usize = 32;

/// Where an operand's numbers are.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) order: Order,
}

/// Which numbers lie after each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Those that are multiplied and added.
    Along,
    /// Those of one place in the sums.
    Across,
}

impl<'a> Source<'a> {
    /// The numbers that are multiplied and added lie after each other, in rows `stride` apart: `[m, k]` for the
    /// left operand, `[n, k]` for the right one (a linear layer's weight).
    pub fn along(data: &'a [f32], stride: usize) -> Self {
        Self { data, stride, order: Order::Along }
    }

    /// They lie in columns of rows `stride` apart: `[k, m]` for the left operand, `[k, n]` for the right one.
    pub fn across(data: &'a [f32], stride: usize) -> Self {
        Self { data, stride, order: Order::Across }
    }

    /// The same source from the `first` of its `m` or `n` on.
    pub(crate) fn from(self, first: usize) -> Self {
        let at = match self.order {
            Order::Along => first * self.stride,
            Order::Across => first,
        };
        Self { data: self.data.get(at..).unwrap_or_default(), ..self }
    }

    fn check(&self, count: usize, k: usize) {
        let (rows, columns) = match self.order {
            Order::Along => (count, k),
            Order::Across => (k, count),
        };
        let needed = if rows * columns == 0 { 0 } else { (rows - 1) * self.stride + columns };
        assert!(self.data.len() >= needed, "an operand of {count} x {k} numbers reaches outside its slice");
    }
}

/// The left operand, `[m, k]`: rows of bf16, padded with zeros.
#[derive(Debug, Clone, Default)]
pub struct Left {
    pub(crate) data: Vec<u16>,
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) stride: usize,
}

impl Left {
    /// Rounds `m` rows of `k` numbers.
    ///
    /// # Panics
    /// When the source has fewer numbers: a bug in the caller.
    pub fn new(source: Source<'_>, m: usize, k: usize) -> Self {
        let mut left = Self::default();
        left.fill(source, m, k);
        left
    }

    /// The same in the memory of an operand that is no longer needed.
    ///
    /// # Panics
    /// As [`Left::new`].
    pub fn fill(&mut self, source: Source<'_>, m: usize, k: usize) {
        source.check(m, k);
        // An odd number of cache lines, so that rows which are read together do not share the cache's sets.
        let lines = k.div_ceil(LINE) | 1;
        (self.m, self.k, self.stride) = (m, k, lines * LINE);
        self.data.clear();
        self.data.resize(m * self.stride, 0);
        if m * k == 0 {
            return;
        }
        match source.order {
            Order::Along => self.fill_along(source),
            Order::Across => self.fill_across(source),
        }
    }

    fn fill_along(&mut self, source: Source<'_>) {
        for (row, to) in self.data.chunks_exact_mut(self.stride).enumerate() {
            let from = &source.data[row * source.stride..][..self.k];
            #[cfg(target_arch = "x86_64")]
            if crate::wide::round(from, to) {
                continue;
            }
            plain::round(from, to);
        }
    }

    fn fill_across(&mut self, source: Source<'_>) {
        #[cfg(target_arch = "x86_64")]
        if crate::wide::transpose(source.data, source.stride, self) {
            return;
        }
        plain::transpose(source.data, source.stride, self, [0, 0]);
    }
}

/// The right operand, `[k, n]`: panels of 32 columns, in each of which the pairs of one column's numbers
/// lie beside those of the next column, padded with zeros.
#[derive(Debug, Clone, Default)]
pub struct Right {
    /// `[panels, pairs, PANEL, 2]`.
    pub(crate) data: Vec<u16>,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

impl Right {
    /// Rounds and lays out `n` columns of `k` numbers.
    ///
    /// # Panics
    /// When the source has fewer numbers: a bug in the caller.
    pub fn new(source: Source<'_>, n: usize, k: usize) -> Self {
        let mut right = Self::default();
        right.fill(source, n, k);
        right
    }

    /// The same in the memory of an operand that is no longer needed.
    ///
    /// # Panics
    /// As [`Right::new`].
    pub fn fill(&mut self, source: Source<'_>, n: usize, k: usize) {
        use rayon::prelude::*;
        source.check(n, k);
        (self.n, self.k) = (n, k);
        let panel = Self::panel_len(k);
        let len = n.div_ceil(PANEL) * panel;
        // What pads must be zero; whole panels of whole pairs are written in full.
        if !n.is_multiple_of(PANEL) || !k.is_multiple_of(2) {
            self.data.clear();
        }
        self.data.resize(len, 0);
        let fill = |(number, to): (usize, &mut [u16])| {
            fill_panel(source.from(number * PANEL), k, PANEL.min(n - number * PANEL), to)
        };
        if n * k < PARALLEL {
            self.data.chunks_exact_mut(panel.max(1)).enumerate().for_each(fill);
        } else {
            self.data.par_chunks_exact_mut(panel.max(1)).enumerate().for_each(fill);
        }
    }

    pub(crate) fn panel_len(k: usize) -> usize {
        k.div_ceil(2) * 2 * PANEL
    }
}

/// Numbers under which threads cost more than they save.
const PARALLEL: usize = 1 << 18;

fn fill_panel(source: Source<'_>, k: usize, columns: usize, to: &mut [u16]) {
    #[cfg(target_arch = "x86_64")]
    if columns == PANEL && crate::wide::fill_panel(source, k, to) {
        return;
    }
    plain::fill_panel(source, k, columns, 0, to);
}
