//! Which rows of a flat `[rows, features]` tensor belong to which sequence.

use std::sync::Arc;

/// A batch of sequences laid one after another, so that linear layers spend nothing on padding.
///
/// Sequence `i` has `rows(i)` rows, of which the first `keys(i)` are real. Packed batches have
/// `rows == keys`; padded ones have the same number of rows everywhere, as devices other than the CPU
/// want it. Positions count from 0 in each sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    starts: Vec<usize>,
    keys: Vec<usize>,
    first_row: usize,
}

impl Packing {
    /// Sequences of these lengths without padding.
    pub fn packed(lengths: &[usize]) -> Arc<Self> {
        Arc::new(Self { starts: starts(lengths.iter().copied()), keys: lengths.to_vec(), first_row: 0 })
    }

    /// Sequences of these lengths, padded on the right to the longest.
    pub fn padded(lengths: &[usize]) -> Arc<Self> {
        Self::padded_to(lengths.iter().copied().max().unwrap_or(0), lengths)
    }

    /// Sequences of these lengths, padded on the right to `rows` rows, or to the longest if that is more.
    pub fn padded_to(rows: usize, lengths: &[usize]) -> Arc<Self> {
        let rows = lengths.iter().copied().fold(rows, usize::max);
        Arc::new(Self { starts: starts(lengths.iter().map(|_| rows)), keys: lengths.to_vec(), first_row: 0 })
    }

    /// Some of the sequences, with the padding they have.
    pub fn range(&self, sequences: std::ops::Range<usize>) -> Arc<Self> {
        let first_row = self.first_row + self.starts[sequences.start];
        let starts = starts(sequences.clone().map(|i| self.rows(i)));
        Arc::new(Self { starts, keys: self.keys[sequences].to_vec(), first_row })
    }

    /// Where these rows begin in the batch that they were cut out of.
    pub fn first_row(&self) -> usize {
        self.first_row
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.keys.len()
    }

    /// Number of rows of all sequences.
    pub fn total_rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Where each sequence starts, and at the end the number of rows.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// Rows of a sequence, padding included.
    pub fn rows(&self, sequence: usize) -> usize {
        self.starts[sequence + 1] - self.starts[sequence]
    }

    /// Real rows of a sequence.
    pub fn keys(&self, sequence: usize) -> usize {
        self.keys[sequence]
    }

    /// Real rows of every sequence.
    pub fn lengths(&self) -> &[usize] {
        &self.keys
    }

    /// The longest sequence, padding included.
    pub fn longest(&self) -> usize {
        (0..self.sequences()).map(|i| self.rows(i)).max().unwrap_or(0)
    }

    /// The common number of rows, where all sequences have the same.
    pub fn uniform(&self) -> Option<usize> {
        let longest = self.longest();
        (0..self.sequences()).all(|i| self.rows(i) == longest).then_some(longest)
    }

    /// The row of each sequence's last real token.
    pub fn last_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.starts.iter().zip(&self.keys).map(|(start, keys)| start + keys.max(&1) - 1)
    }

    /// The position of every row in its sequence.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.sequences()).flat_map(|i| 0..self.rows(i))
    }
}

fn starts(rows: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut total = 0;
    let ends = rows.map(|rows| {
        total += rows;
        total
    });
    std::iter::once(0).chain(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_and_padded() {
        let packed = Packing::packed(&[2, 3]);
        assert_eq!((packed.starts(), packed.total_rows(), packed.uniform()), (&[0, 2, 5][..], 5, None));
        assert_eq!(packed.positions().collect::<Vec<_>>(), [0, 1, 0, 1, 2]);
        let padded = Packing::padded(&[2, 3]);
        assert_eq!((padded.starts(), padded.uniform(), padded.keys(0)), (&[0, 3, 6][..], Some(3), 2));
        let tail = padded.range(1..2);
        assert_eq!((tail.starts(), tail.first_row(), tail.keys(0)), (&[0, 3][..], 3, 3));
        assert_eq!(padded.last_rows().collect::<Vec<_>>(), [1, 5]);
    }
}
