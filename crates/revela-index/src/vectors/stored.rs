//! Full vectors as shards keep them, in either precision.

use std::borrow::Cow;

use half::f16;
use serde::{Deserialize, Serialize};

use super::{Rows, row_error};
use crate::distance::{kernels, prefetch};
use crate::error::{Error, RowProblem};

/// Type of stored numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Dtype {
    /// 32-bit floating point.
    #[default]
    F32,
    /// 16-bit floating point: half the size, about three digits.
    F16,
}

impl Dtype {
    /// Bytes of one number.
    pub(crate) fn size(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// Makes numbers what they will be once stored, so that everything derived from them agrees.
    pub(crate) fn round(self, what: &str, first: u64, dim: usize, data: &mut [f32]) -> Result<(), Error> {
        if self == Self::F32 {
            return Ok(());
        }
        for (row, numbers) in (first..).zip(data.chunks_exact_mut(dim)) {
            let had_a_direction = numbers.iter().any(|x| *x != 0.0);
            for (at, x) in numbers.iter_mut().enumerate() {
                *x = f16::from_f32(*x).to_f32();
                if !x.is_finite() {
                    return Err(row_error(what, row, RowProblem::TooLargeForHalf(at)));
                }
            }
            if had_a_direction && numbers.iter().all(|x| *x == 0.0) {
                return Err(row_error(what, row, RowProblem::TooSmallForHalf));
            }
        }
        Ok(())
    }

    /// The bytes of numbers that were rounded before.
    pub(crate) fn bytes(self, data: &[f32]) -> Cow<'_, [u8]> {
        match self {
            Self::F32 => Cow::Borrowed(bytemuck::cast_slice(data)),
            Self::F16 => Cow::Owned(data.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect()),
        }
    }
}

/// Rows in place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StoredRows<'a> {
    F32(Rows<'a>),
    F16 {
        dim: usize,
        /// The bits of f16 numbers.
        data: &'a [u16],
    },
}

impl StoredRows<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(rows) => rows.len(),
            Self::F16 { dim, data } => data.len() / dim,
        }
    }

    pub(crate) fn dim(&self) -> usize {
        match self {
            Self::F32(rows) => rows.dim(),
            Self::F16 { dim, .. } => *dim,
        }
    }

    /// Asks for a row to be brought near.
    #[inline]
    pub(crate) fn fetch(&self, row: u32) {
        let (row, dim) = (row as usize, self.dim());
        match self {
            Self::F32(all) => prefetch(all.data(), row * dim, dim),
            Self::F16 { data, .. } => prefetch(data, row * dim, dim),
        }
    }

    /// Dot products with these rows, which should have been fetched; minus infinity for rows that do not exist.
    #[inline]
    pub(crate) fn scores(&self, query: &[f32], rows: &[u32], out: &mut [f32]) {
        if query.len() != self.dim() {
            out.fill(f32::NEG_INFINITY);
            return;
        }
        match self {
            Self::F32(all) => (kernels().gather)(query, all.data(), rows, out),
            Self::F16 { data, .. } => (kernels().gather_f16)(query, data, rows, out),
        }
    }

    /// One row; nothing past the end.
    pub(crate) fn get(&self, row: u32) -> Option<Vec<f32>> {
        match self {
            Self::F32(rows) => rows.get(row as usize).map(<[f32]>::to_vec),
            Self::F16 { dim, data } => {
                let bits = data.chunks_exact(*dim).nth(row as usize)?;
                Some(bits.iter().map(|&x| f16::from_bits(x).to_f32()).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_round_trips() {
        let mut data = vec![0.1f32, -2.0, 65504.0, 1e-9, 3.1, 0.0];
        Dtype::F16.round("x", 0, 2, &mut data).unwrap();
        let bytes = Dtype::F16.bytes(&data);
        let bits: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        let stored = StoredRows::F16 { dim: 2, data: &bits };
        assert_eq!((stored.len(), stored.dim()), (3, 2));
        assert_eq!(stored.get(1).unwrap(), data[2..4]);
        assert_eq!(stored.get(3), None);
        let plain = StoredRows::F32(Rows::new("x", 2, &data).unwrap());
        assert_eq!(plain.get(1), stored.get(1));
        let (mut a, mut b) = ([0.0; 3], [0.0; 3]);
        plain.scores(&[1.0, 2.0], &[2, 0, 9], &mut a);
        stored.scores(&[1.0, 2.0], &[2, 0, 9], &mut b);
        assert_eq!(a, b);
        plain.scores(&[1.0], &[2, 0, 9], &mut a);
        assert_eq!(a, [f32::NEG_INFINITY; 3]);
    }

    #[test]
    fn numbers_too_large_for_half_are_refused() {
        let mut data = vec![0.1, 1.0, 2.0, 70000.0];
        let error = Dtype::F16.round("x", 5, 2, &mut data).unwrap_err().to_string();
        assert!(error.contains("row 6 of x") && error.contains("position 1"), "{error}");
        Dtype::F32.round("x", 0, 2, &mut data).unwrap();
    }

    #[test]
    fn rows_that_half_precision_makes_zero_are_refused_and_zeros_are_not() {
        let mut data = vec![0.0, 0.0, 1e-9, 1.0, 1e-9, -1e-10];
        let error = Dtype::F16.round("x", 5, 2, &mut data).unwrap_err().to_string();
        assert!(error.contains("row 7 of x") && error.contains("f16"), "{error}");
    }
}
