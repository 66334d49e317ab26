//! Views of matrices in slices.

/// How a product is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Overwrite.
    Set,
    /// Add to what is there.
    Add,
}

/// A read-only matrix with any strides.
#[derive(Debug, Clone, Copy)]
pub struct Mat<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a> Mat<'a> {
    /// `rows` rows of `cols` numbers, `stride` numbers apart.
    pub fn new(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// The same numbers with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    pub(super) fn fits(&self) -> bool {
        inside(self.data.len(), self.rows, self.cols, self.row_stride, self.col_stride)
    }
}

/// A writable matrix of rows.
#[derive(Debug)]
pub struct MatMut<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) stride: usize,
}

impl<'a> MatMut<'a> {
    /// `rows` rows of `cols` numbers, `stride` numbers apart.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        Self { data, rows, cols, stride }
    }

    pub(super) fn fits(&self) -> bool {
        // Rows that overlap would be written twice.
        self.stride >= self.cols && inside(self.data.len(), self.rows, self.cols, self.stride, 1)
    }
}

pub(super) fn inside(len: usize, rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> bool {
    if rows == 0 || cols == 0 {
        return true;
    }
    let last = (rows - 1).checked_mul(row_stride).zip((cols - 1).checked_mul(col_stride));
    last.and_then(|(r, c)| r.checked_add(c)).is_some_and(|last| last < len)
}

/// Columns of a packed panel: two AVX-512 vectors.
pub const PANEL: usize = 32;

/// The transpose of a matrix of rows, packed so that a product reads it straight through: `[k]` rows of
/// [`PANEL`] columns after each other, zero-padded to whole panels.
#[derive(Debug, Clone, Default)]
pub struct Panels {
    pub(super) data: Vec<f32>,
    pub(super) k: usize,
    pub(super) columns: usize,
}

impl Panels {
    /// Packs `n` rows of `k` numbers, `stride` apart; the rows become the columns of the right operand.
    pub fn pack(rows: &[f32], n: usize, k: usize, stride: usize) -> Self {
        let columns = n.next_multiple_of(PANEL);
        let mut data = vec![0.0; columns * k];
        for (panel, to) in data.chunks_exact_mut(PANEL * k.max(1)).enumerate() {
            for column in 0..PANEL.min(n - (panel * PANEL).min(n)) {
                let from = &rows[(panel * PANEL + column) * stride..][..k];
                for (p, value) in from.iter().enumerate() {
                    to[p * PANEL + column] = *value;
                }
            }
        }
        Self { data, k, columns }
    }

    /// Columns including the padding.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

/// The right operand of several products, packed once for all of them.
#[derive(Debug, Clone)]
pub enum Packed {
    /// As it is.
    F32(Panels),
    /// Rounded.
    Bf16(revela_bf16::Right),
}

/// The right operand of a product.
#[derive(Debug, Clone, Copy)]
pub enum RightOperand<'a> {
    /// `[k, n]` rows, `stride` numbers apart.
    Rows {
        /// The first row begins here.
        data: &'a [f32],
        /// Distance between rows.
        stride: usize,
    },
    /// Packed for the precision of the product.
    Packed(&'a Packed),
}

/// Cuts rows of `width` numbers at `starts` (the first is 0, the last the number of rows).
///
/// The pieces are disjoint, so that tasks can write them in parallel.
pub fn split_rows<'a>(mut data: &'a mut [f32], starts: &[usize], width: usize) -> Vec<&'a mut [f32]> {
    let mut pieces = Vec::with_capacity(starts.len().saturating_sub(1));
    for pair in starts.windows(2) {
        let (piece, rest) = data.split_at_mut((pair[1] - pair[0]) * width);
        pieces.push(piece);
        data = rest;
    }
    pieces
}
