//! Operands rounded and laid out for [`multiply`](crate::multiply).

use crate::plain;

/// Columns of a panel of the right operand: two AVX-512 vectors of pairs.
pub(crate) const PANEL: usize = 32;

/// Numbers in a cache line.
const LINE: usize = 32;

/// Where an operand's numbers are.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// The numbers that are multiplied and added lie after each other: `[m, k]` for the left operand,
    /// `[n, k]` for the right one (a linear layer's weight).
    Along(&'a [f32]),
    /// They lie in columns: `[k, m]` for the left operand, `[k, n]` for the right one.
    Across(&'a [f32]),
}

impl Source<'_> {
    fn check(&self, count: usize, k: usize) {
        let (Self::Along(data) | Self::Across(data)) = self;
        assert!(data.len() == count * k, "an operand of {count} x {k} numbers has {}", data.len());
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
    /// When the source has another number of numbers: a bug in the caller.
    pub fn new(source: Source<'_>, m: usize, k: usize) -> Self {
        source.check(m, k);
        let mut left = Self::zeros(m, k);
        match source {
            Source::Along(x) => left.fill_along(x),
            Source::Across(x) => left.fill_across(x, m),
        }
        left
    }

    /// Rows `first..first + m` of the operand whose columns lie `across` numbers apart.
    pub(crate) fn of_columns(x: &[f32], across: usize, first: usize, m: usize, k: usize) -> Self {
        let mut left = Self::zeros(m, k);
        if k > 0 {
            left.fill_across(&x[first..], across);
        }
        left
    }

    fn zeros(m: usize, k: usize) -> Self {
        // An odd number of cache lines, so that rows which are read together do not share the cache's sets.
        let lines = k.div_ceil(LINE) | 1;
        Self { data: vec![0; m * lines * LINE], m, k, stride: lines * LINE }
    }

    fn fill_along(&mut self, x: &[f32]) {
        let (k, stride) = (self.k.max(1), self.stride);
        for (from, to) in x.chunks_exact(k).zip(self.data.chunks_exact_mut(stride)) {
            #[cfg(target_arch = "x86_64")]
            if crate::wide::round(from, to) {
                continue;
            }
            plain::round(from, to);
        }
    }

    /// `x`: `[k, ..]` with rows `across` numbers apart, of which the first `m` of each count.
    fn fill_across(&mut self, x: &[f32], across: usize) {
        #[cfg(target_arch = "x86_64")]
        if crate::wide::transpose(x, across, self) {
            return;
        }
        plain::transpose(x, across, self, [0, 0]);
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
    /// When the source has another number of numbers: a bug in the caller.
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
        self.data.clear();
        self.data.resize(n.div_ceil(PANEL) * panel, 0);
        let fill = |(number, to): (usize, &mut [u16])| fill_panel(source, [n, k], number * PANEL, to);
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

fn fill_panel(source: Source<'_>, [n, k]: [usize; 2], first: usize, to: &mut [u16]) {
    let columns = PANEL.min(n - first);
    #[cfg(target_arch = "x86_64")]
    if columns == PANEL && crate::wide::fill_panel(source, [n, k], first, to) {
        return;
    }
    plain::fill_panel(source, [n, k], first, columns, [0, 0], to);
}
