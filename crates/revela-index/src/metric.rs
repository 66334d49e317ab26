//! How alike two vectors are.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::vectors::{self, Rows};

/// The similarity by which vectors are ranked; larger is more alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The cosine of the angle: vectors are scaled to length 1 on the way in, zero vectors are refused.
    Cosine,
    /// The dot product of the vectors as they are.
    Dot,
}

impl Metric {
    /// Checks row-major numbers and makes them such that their dot products are this similarity.
    /// `what` and `first`, the number of the first row, are for errors.
    ///
    /// # Errors
    /// [`Error::Shape`] for no whole number of rows, [`Error::Row`] for NaN, infinity, and under
    /// [`Metric::Cosine`] zero vectors.
    pub fn prepare(self, what: &str, first: u64, dim: usize, data: &mut [f32]) -> Result<(), Error> {
        let rows = Rows::new(what, dim, data)?;
        vectors::check_finite(what, first, rows)?;
        match self {
            Self::Cosine => vectors::normalise_rows(what, first, dim, data),
            Self::Dot => vectors::check_lengths(what, first, rows),
        }
    }
}
