//! How alike two vectors are.

pub use revela_base::embed::Metric;

use crate::error::Error;
use crate::vectors::{self, Rows};

/// What a row of zeros is under [`Metric::Cosine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zeros {
    /// An error: whoever gave it has no direction in mind.
    Refused,
    /// Similar to nothing, its similarity to any other row being 0. Encoders give it for a text of which their
    /// tokenizer makes no token.
    Kept,
}

/// Checks row-major numbers and makes them such that their dot products are this similarity.
/// `what` and `first`, the number of the first row, are for errors.
///
/// # Errors
/// [`Error::Shape`] for no whole number of rows, [`Error::Row`] for NaN, infinity, and under
/// [`Metric::Cosine`] zero vectors that are not kept.
pub(crate) fn prepare(
    metric: Metric,
    zeros: Zeros,
    what: &str,
    first: u64,
    dim: usize,
    data: &mut [f32],
) -> Result<(), Error> {
    let rows = Rows::new(what, dim, data)?;
    vectors::check_finite(what, first, rows)?;
    match metric {
        Metric::Cosine => vectors::normalise_rows(what, first, dim, data, zeros),
        Metric::Dot => vectors::check_lengths(what, first, rows),
    }
}
