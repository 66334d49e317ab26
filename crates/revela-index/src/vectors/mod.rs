//! Matrices of numbers: checked on the way in, read from and written to the formats that others use.
//!
//! | format | reads | writes |
//! | --- | --- | --- |
//! | `.npy` | f16, f32, f64; i32, i64 for row numbers | f32, f16, i32 |
//! | `.fvecs` | f32 | f32 |
//! | `.safetensors` | one two-dimensional tensor of f16, bf16, f32 or f64 | f32 |
//! | `.jsonl`, read also as `.jsonl.gz` and `.jsonl.zst` | `{"id": "a", "vector": [..]}` or `[..]`, a line each | the first of these |
//!
//! [`RowReader::open`] reads any of them as a stream, so that a file may be larger than memory.

mod fvecs;
mod jsonl;
pub mod npy;
mod reader;
mod safetensors;
mod stored;
mod writer;

use rayon::prelude::*;

use crate::error::{Error, RowProblem};
use crate::metric::{Metric, Zeros};

pub use fvecs::write as write_fvecs;
pub use jsonl::write as write_jsonl;
pub use reader::{RowBlock, RowReader};
pub use safetensors::write as write_safetensors;
pub use stored::Dtype;
pub(crate) use stored::StoredRows;
pub(crate) use writer::RowWriter;

/// Squared lengths below this have no reliable direction in f32.
const SMALLEST_SQUARE: f64 = 1e-30;

/// Numbers from which on it pays to wake other threads; a single query never does.
const WORTH_THREADS: usize = 1 << 16;

/// Rows of finite f32 numbers, row-major, that the matrix owns.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    dim: usize,
    data: Vec<f32>,
}

/// Borrowed rows of f32 numbers, row-major.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rows<'a> {
    dim: usize,
    data: &'a [f32],
}

impl Vectors {
    /// An empty matrix with rows of `dim` numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] when `dim` is 0.
    pub fn empty(dim: usize) -> Result<Self, Error> {
        Self::new("an empty matrix", dim, Vec::new())
    }

    /// Takes row-major numbers and checks them; `what` names them in errors.
    ///
    /// # Errors
    /// [`Error::Shape`] when `dim` is 0 or does not divide the length, [`Error::Row`] for NaN or infinity.
    pub fn new(what: &str, dim: usize, data: Vec<f32>) -> Result<Self, Error> {
        check_shape(what, dim, data.len())?;
        check_finite(what, 0, Rows { dim, data: &data })?;
        Ok(Self { dim, data })
    }

    /// Adds rows after the last.
    ///
    /// # Errors
    /// As [`Vectors::new`]; rows in errors are counted from the start of the matrix.
    pub fn extend(&mut self, what: &str, data: &[f32]) -> Result<(), Error> {
        check_shape(what, self.dim, data.len())?;
        check_finite(what, self.len() as u64, Rows { dim: self.dim, data })?;
        self.data.extend_from_slice(data);
        Ok(())
    }

    /// Adds one row of numbers that were checked before.
    pub(crate) fn push_checked(&mut self, row: &[f32]) {
        debug_assert_eq!(row.len(), self.dim);
        self.data.extend_from_slice(row);
    }

    /// Length of every row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// All rows.
    pub fn view(&self) -> Rows<'_> {
        Rows { dim: self.dim, data: &self.data }
    }

    /// Scales every row to length 1.
    ///
    /// # Errors
    /// [`Error::Row`] for a row that is zero or overflows; rows before it are scaled, it and those after
    /// it may be.
    pub fn normalise(&mut self, what: &str) -> Result<(), Error> {
        normalise_rows(what, 0, self.dim, &mut self.data, Zeros::Refused)
    }

    /// Makes the rows' dot products this similarity. A row without a direction stays as it is: it is similar
    /// to nothing.
    pub fn make_comparable(&mut self, metric: Metric) {
        let scale = |row: &mut [f32]| {
            let square = dot(row, row);
            if square >= SMALLEST_SQUARE {
                scale_row(row, square);
            }
        };
        match metric {
            Metric::Cosine => self.data.par_chunks_exact_mut(self.dim).for_each(scale),
            Metric::Dot => {}
        }
    }

    /// The numbers, row-major.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}

impl<'a> Rows<'a> {
    /// Borrows row-major numbers that are already checked, or that were never unchecked.
    ///
    /// # Errors
    /// [`Error::Shape`] when `dim` is 0 or does not divide the length.
    pub fn new(what: &str, dim: usize, data: &'a [f32]) -> Result<Self, Error> {
        check_shape(what, dim, data.len())?;
        Ok(Self { dim, data })
    }

    /// Length of every row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.dim
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The numbers, row-major.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// One row, or nothing past the end.
    pub fn get(&self, row: usize) -> Option<&'a [f32]> {
        let start = row.checked_mul(self.dim)?;
        self.data.get(start..start.checked_add(self.dim)?)
    }

    /// All rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.data.chunks_exact(self.dim)
    }
}

fn check_shape(what: &str, dim: usize, numbers: usize) -> Result<(), Error> {
    if dim == 0 {
        return Err(Error::Shape { what: what.to_owned(), detail: "rows have no numbers at all".into() });
    }
    if !numbers.is_multiple_of(dim) {
        let detail = format!("{numbers} numbers are no whole number of rows of {dim}");
        return Err(Error::Shape { what: what.to_owned(), detail });
    }
    Ok(())
}

fn row_error(what: &str, row: u64, problem: RowProblem) -> Error {
    Error::Row { what: what.to_owned(), row, problem }
}

/// Checks that all numbers are finite; `first` is the first row's number for the error.
pub(crate) fn check_finite(what: &str, first: u64, rows: Rows<'_>) -> Result<(), Error> {
    // Looking at all numbers in any case is several times as quick as stopping at the first.
    let suspect = |row: &&[f32]| row.iter().fold(false, |bad, x| bad | !x.is_finite());
    let bad = if rows.data.len() < WORTH_THREADS {
        rows.iter().enumerate().find(|(_, row)| suspect(row))
    } else {
        rows.data.par_chunks_exact(rows.dim).enumerate().find_first(|(_, row)| suspect(row))
    };
    match bad {
        None => Ok(()),
        Some((row, numbers)) => {
            let at = numbers.iter().position(|x| !x.is_finite()).unwrap_or(0);
            Err(row_error(what, first + row as u64, RowProblem::NotFinite(at)))
        }
    }
}

/// Scales rows of finite numbers to length 1; `first` is the first row's number for errors.
pub(crate) fn normalise_rows(
    what: &str,
    first: u64,
    dim: usize,
    data: &mut [f32],
    zeros: Zeros,
) -> Result<(), Error> {
    let scale = |(row, numbers): (usize, &mut [f32])| {
        // In f64 no square of an f32 overflows, and the length keeps its digits.
        let square = dot(numbers, numbers);
        if square == 0.0 && zeros == Zeros::Kept {
            return Ok(());
        }
        if square < SMALLEST_SQUARE {
            return Err(row_error(what, first + row as u64, RowProblem::Zero));
        }
        scale_row(numbers, square);
        Ok(())
    };
    // The first bad row is the one reported, whatever thread saw it.
    if data.len() < WORTH_THREADS {
        return data.chunks_exact_mut(dim).enumerate().try_for_each(scale);
    }
    let bad = data.par_chunks_exact_mut(dim).enumerate().map(scale).find_first(Result::is_err);
    bad.unwrap_or(Ok(()))
}

/// Brings a row of this squared length to length 1.
fn scale_row(row: &mut [f32], square: f64) {
    let scale = 1.0 / square.sqrt();
    row.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
}

/// Sums that are kept apart, so that the compiler may add several at once.
const LANES: usize = 16;

/// Dot product in f64, in which no square of an f32 overflows.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (&x, &y))| *sum += f64::from(x) * f64::from(y));
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
    lanes.iter().sum::<f64>() + rest
}

/// Sum in f64.
#[inline(always)]
pub(crate) fn sum(numbers: &[f32]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x)).sum::<f64>()
}

/// The smallest and the largest number; zeros for none.
#[inline(always)]
pub(crate) fn extremes(numbers: &[f32]) -> (f32, f32) {
    let first = numbers.first().copied().unwrap_or_default();
    let (mut low, mut high) = ([first; LANES], [first; LANES]);
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    for chunk in chunks {
        low = std::array::from_fn(|i| if chunk[i] < low[i] { chunk[i] } else { low[i] });
        high = std::array::from_fn(|i| if chunk[i] > high[i] { chunk[i] } else { high[i] });
    }
    let all = |lanes: [f32; LANES]| lanes.into_iter().chain(rest.iter().copied());
    (all(low).fold(first, f32::min), all(high).fold(first, f32::max))
}

/// Appends little-endian half-precision numbers.
fn decode_f16(bytes: &[u8], into: &mut Vec<f32>) {
    let (numbers, _) = bytes.as_chunks::<2>();
    into.extend(numbers.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()));
}

/// Checks that dot products of these rows with themselves stay finite.
pub(crate) fn check_lengths(what: &str, first: u64, rows: Rows<'_>) -> Result<(), Error> {
    let too_long = |row: &&[f32]| !row.iter().map(|x| x * x).sum::<f32>().is_finite();
    let bad = if rows.data.len() < WORTH_THREADS {
        rows.iter().position(|row| too_long(&row))
    } else {
        rows.data.par_chunks_exact(rows.dim).position_first(|row| too_long(&row))
    };
    match bad {
        None => Ok(()),
        Some(row) => Err(row_error(what, first + row as u64, RowProblem::TooLong)),
    }
}

#[cfg(test)]
mod formats_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked() {
        assert!(Vectors::empty(0).is_err());
        assert!(Vectors::new("x", 3, vec![1.0; 4]).unwrap_err().to_string().contains("4 numbers"));
        let mut vectors = Vectors::new("x", 2, vec![1.0; 4]).unwrap();
        vectors.extend("x", &[2.0, 3.0]).unwrap();
        assert_eq!((vectors.len(), vectors.dim()), (3, 2));
        assert_eq!(vectors.view().get(2), Some(&[2.0f32, 3.0][..]));
        assert_eq!(vectors.view().get(3), None);
        assert_eq!(vectors.view().get(usize::MAX), None);
    }

    #[test]
    fn bad_rows_are_named() {
        let error = Vectors::new("q.npy", 2, vec![1.0, 2.0, 3.0, f32::NAN]).unwrap_err().to_string();
        assert!(error.contains("row 1 of q.npy") && error.contains("position 1"), "{error}");
        let mut vectors = Vectors::new("x", 2, vec![1.0, 2.0]).unwrap();
        let error = vectors.extend("x", &[0.0, 0.0, f32::NEG_INFINITY, 0.0]).unwrap_err().to_string();
        assert!(error.contains("row 2"), "{error}");
        assert_eq!(vectors.len(), 1);
        let mut zero = Vectors::new("x", 2, vec![3.0, 4.0, 0.0, -0.0, 0.0, 0.0]).unwrap();
        assert!(zero.normalise("x").unwrap_err().to_string().contains("row 1 of x is zero"));
        let long = [3e38f32, 3e38];
        assert!(check_lengths("x", 0, Rows::new("x", 2, &long).unwrap()).is_err());
    }

    #[test]
    fn sums_in_parts_are_sums() {
        for length in 0..70 {
            let numbers: Vec<f32> = (0..length).map(|i| ((i * 7919 % 101) as f32).sin()).collect();
            let plain = numbers.iter().map(|&x| f64::from(x)).sum::<f64>();
            assert!((sum(&numbers) - plain).abs() < 1e-12, "{length}");
            let squares = numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
            assert!((dot(&numbers, &numbers) - squares).abs() < 1e-12, "{length}");
            let low = numbers.iter().copied().reduce(f32::min).unwrap_or_default();
            let high = numbers.iter().copied().reduce(f32::max).unwrap_or_default();
            assert_eq!(extremes(&numbers), (low, high), "{length}");
        }
    }

    #[test]
    fn normalised_rows_have_length_one_at_any_scale() {
        for scale in [1e-12f32, 1.0, 1e30] {
            let mut vectors = Vectors::new("x", 2, vec![3.0 * scale, -4.0 * scale]).unwrap();
            vectors.normalise("x").unwrap();
            let row = vectors.view().get(0).unwrap().to_vec();
            assert!((row[0] - 0.6).abs() < 1e-6 && (row[1] + 0.8).abs() < 1e-6, "{row:?}");
        }
    }
}
