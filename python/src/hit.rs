//! What was found.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use revela_index::Hit;
use serde_json::{Map, Value};

use crate::error::Failure;
use crate::json::object_to_python;

/// One found passage: id, score, rank (from 1), title, text and metadata.
#[pyclass(frozen, eq, module = "revela._revela", name = "Hit")]
#[derive(PartialEq)]
pub(crate) struct PyHit {
    /// Its id.
    #[pyo3(get)]
    id: String,
    /// Similarity, BM25 score or fused score, by the mode.
    #[pyo3(get)]
    score: f32,
    /// Place in the ranking, from 1.
    #[pyo3(get)]
    rank: usize,
    /// Its title; empty where there is none.
    #[pyo3(get)]
    title: String,
    /// Its text; empty in a collection without texts.
    #[pyo3(get)]
    text: String,
    metadata: Map<String, Value>,
}

impl From<Hit> for PyHit {
    fn from(hit: Hit) -> Self {
        let Hit { id, score, rank, title, text, payload: metadata, .. } = hit;
        Self { id, score, rank, title, text, metadata }
    }
}

#[pymethods]
impl PyHit {
    #[new]
    fn new(
        id: String,
        score: f32,
        rank: usize,
        title: String,
        text: String,
        metadata: &str,
    ) -> Result<Self, Failure> {
        let metadata = serde_json::from_str(metadata)
            .map_err(|error| Failure::input(format!("the metadata of {id:?} are no JSON object: {error}")))?;
        Ok(Self { id, score, rank, title, text, metadata })
    }

    /// What is known of it beside its text, as a dict; empty where nothing is.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        object_to_python(py, &self.metadata)
    }

    #[allow(clippy::type_complexity)]
    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> (Bound<'py, PyAny>, (String, f32, usize, String, String, String)) {
        let hit = slf.get();
        let metadata = Value::Object(hit.metadata.clone()).to_string();
        let fields = (hit.id.clone(), hit.score, hit.rank, hit.title.clone(), hit.text.clone(), metadata);
        (slf.get_type().into_any(), fields)
    }

    fn __repr__(&self) -> String {
        const SHOWN: usize = 60;
        let mut text: String = self.text.chars().take(SHOWN).collect();
        if text.len() < self.text.len() {
            text.push('…');
        }
        format!("Hit(rank={}, score={:.4}, id={:?}, text={text:?})", self.rank, self.score, self.id)
    }
}
