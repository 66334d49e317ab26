//! Documents on their way in.

use pyo3::exceptions::{PyUnicodeEncodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator};
use revela_index::payload::Payload;
use revela_index::{Embedded, Entry, Passage};

use crate::error::Failure;
use crate::numbers;

/// Documents that are fetched together.
const BLOCK: usize = 512;

/// A document as `revela/_documents.py` hands it over.
pub(crate) struct Document {
    id: String,
    title: String,
    text: String,
    /// JSON.
    metadata: Option<String>,
    vector: Option<Vec<f32>>,
}

/// An iterator of `(id, title, text, metadata, vector)`.
pub(crate) struct Source {
    rows: Py<PyIterator>,
    /// Documents so far.
    done: u64,
}

type Row<'py> = (String, String, String, Option<String>, Option<Bound<'py, PyBytes>>);

impl Source {
    pub(crate) fn new(rows: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { rows: rows.try_iter()?.unbind(), done: 0 })
    }

    /// The next documents; none at the end.
    pub(crate) fn next(&mut self, py: Python<'_>) -> Result<Vec<Document>, Failure> {
        let mut documents = Vec::new();
        for row in self.rows.bind(py).clone().take(BLOCK) {
            documents.push(self.document(py, &row?)?);
            self.done += 1;
        }
        Ok(documents)
    }

    fn document(&self, py: Python<'_>, row: &Bound<'_, PyAny>) -> Result<Document, Failure> {
        let row: Row<'_> =
            row.extract().map_err(|error: PyErr| match error.is_instance_of::<PyUnicodeEncodeError>(py) {
                true => PyValueError::new_err(format!("document {}: {}", self.done, surrogates(py, &error))),
                false => error,
            })?;
        let (id, title, text, metadata, vector) = row;
        let vector = vector.map(|bytes| numbers::from_bytes(bytes.as_bytes())).transpose()?;
        Ok(Document { id, title, text, metadata, vector })
    }
}

/// What is said of a text that is no Unicode text.
pub(crate) fn surrogates(py: Python<'_>, error: &PyErr) -> String {
    format!("{}; a text must hold no lone surrogates", error.value(py))
}

impl Document {
    pub(crate) fn entry(self) -> Result<Entry, Failure> {
        let Self { id, title, text, metadata, .. } = self;
        let payload: Option<Payload> = match metadata.as_deref().map(serde_json::from_str).transpose() {
            Ok(payload) => payload,
            Err(error) => {
                return Err(Failure::input(format!("the metadata of {id:?} are no JSON object: {error}")));
            }
        };
        Ok(Entry { passage: Passage { id, title, text }, payload: payload.unwrap_or_default() })
    }

    pub(crate) fn embedded(mut self) -> Result<Embedded, Failure> {
        let vector = self.vector.take().unwrap_or_default();
        Ok(Embedded { entry: self.entry()?, vector })
    }
}
