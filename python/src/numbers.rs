//! Numbers that cross the border: f32, row-major, as bytes.

use pyo3::prelude::*;
use pyo3::types::PyByteArray;

use crate::error::Failure;

/// The numbers that bytes hold.
///
/// # Errors
/// When they are no whole number of them.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Vec<f32>, Failure> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    match rest {
        [] => Ok(numbers.iter().map(|&number| f32::from_ne_bytes(number)).collect()),
        _ => Err(Failure::input(format!("{} bytes are no whole number of f32", bytes.len()))),
    }
}

/// Bytes that numpy can write to, of numbers.
pub(crate) fn to_bytes<'py>(py: Python<'py>, numbers: &[f32]) -> Bound<'py, PyByteArray> {
    PyByteArray::new(py, bytemuck::cast_slice(numbers))
}
