//! Collections: made, changed and searched.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList};
use revela_base::embed::Embedder;
use revela_base::progress::Progress as _;
use revela_index::{Collection, CollectionWriter, Duplicates, Found, Hit, Query, Searcher};
use revela_model::encoder::Encoder;

use crate::call::{self, Caller, Desk};
use crate::document::Source;
use crate::encoder::{PyEncoder, Stoppable};
use crate::error::Failure;
use crate::hit::PyHit;
use crate::json;
use crate::numbers;
use crate::options::{BuildOptions, named};
use crate::query::{Asking, Options};

/// Queries between two looks for Ctrl-C.
const QUERIES: usize = 1024;

/// Stands where a collection has fewer passages than were asked for.
const NO_SCORE: f32 = f32::NAN;

/// An opened collection.
#[pyclass(frozen, module = "revela._revela", name = "Collection")]
pub(crate) struct PyCollection {
    path: PathBuf,
    encoder: Option<Arc<Encoder>>,
    threads: usize,
    /// A snapshot; nothing once it is closed.
    searcher: RwLock<Option<Searcher>>,
    /// Held by whoever changes the collection through this object.
    change: Mutex<()>,
}

impl PyCollection {
    fn of(path: PathBuf, encoder: Option<&PyEncoder>, collection: Collection) -> Result<Self, Failure> {
        let threads = encoder.map_or(0, PyEncoder::threads);
        let encoder = encoder.map(|encoder| encoder.encoder().clone());
        let searcher = searcher(collection, encoder.as_ref())?;
        Ok(Self { path, encoder, threads, searcher: RwLock::new(Some(searcher)), change: Mutex::new(()) })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The snapshot as it is now.
    pub(crate) fn snapshot(&self) -> Result<Searcher, Failure> {
        let searcher = self.searcher.read().unwrap_or_else(PoisonError::into_inner);
        let closed = || Failure::input(format!("the collection {} is closed", self.path.display()));
        searcher.clone().ok_or_else(closed)
    }

    /// Opens the folder anew, unless it was closed meanwhile.
    fn reload(&self) -> Result<(), Failure> {
        let searcher = searcher(Collection::open(&self.path)?, self.encoder.as_ref())?;
        let mut place = self.searcher.write().unwrap_or_else(PoisonError::into_inner);
        if place.is_some() {
            *place = Some(searcher);
        }
        Ok(())
    }

    /// Makes a change, one at a time, and looks at what it made.
    fn changed<T>(
        &self,
        change: impl FnOnce(&mut CollectionWriter) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.snapshot()?;
        let _turn = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let done = change(&mut CollectionWriter::open(&self.path)?)?;
        self.reload()?;
        Ok(done)
    }

    fn add_from(&self, embedded: bool, duplicates: Duplicates, desk: &Desk) -> Result<(), Failure> {
        self.changed(|writer| {
            let stoppable =
                self.encoder.as_deref().map(|encoder| Stoppable { encoder, interrupt: &desk.interrupt });
            let embedder = stoppable.as_ref().map(|encoder| encoder as &dyn Embedder);
            let documents = desk.documents();
            match embedded {
                true => {
                    let rows = documents.map(|document| document?.embedded());
                    writer.add_embedded(rows, embedder, duplicates, desk, &desk.interrupt)?;
                }
                false => {
                    let entries = documents.map(|document| document?.entry());
                    writer.add(entries, embedder, duplicates, desk, &desk.interrupt)?;
                }
            }
            Ok(())
        })
    }

    /// What queries find, a few at a time, without reading it.
    fn find(&self, queries: &[Query], desk: &Desk) -> Result<Vec<Vec<Found>>, Failure> {
        let searcher = self.snapshot()?;
        let task = desk.task("searching", "queries", Some(queries.len() as u64));
        let mut found = Vec::with_capacity(queries.len());
        for block in queries.chunks(QUERIES) {
            desk.interrupt.check()?;
            found.extend(searcher.find_batch(block)?);
            task.advance(block.len() as u64);
        }
        Ok(found)
    }
}

fn searcher(collection: Collection, encoder: Option<&Arc<Encoder>>) -> Result<Searcher, Failure> {
    let searcher = Searcher::new(collection);
    match encoder {
        Some(encoder) => Ok(searcher.with_embedder(encoder.clone())?),
        None => Ok(searcher),
    }
}

#[pymethods]
impl PyCollection {
    /// Opens a folder.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, encoder: Option<PyRef<'_, PyEncoder>>) -> PyResult<Self> {
        let encoder = encoder.as_deref();
        call::short(py, || Self::of(path.clone(), encoder, Collection::open(&path)?))
    }

    /// Builds from an iterator of `(id, title, text, metadata, vector)`. `dimension` is that of the vectors, where
    /// they are given.
    #[staticmethod]
    #[allow(clippy::too_many_arguments)]
    fn build(
        py: Python<'_>,
        path: PathBuf,
        rows: &Bound<'_, PyAny>,
        encoder: Option<PyRef<'_, PyEncoder>>,
        dimension: Option<usize>,
        with_texts: bool,
        options: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let builder = BuildOptions::parse(options)?.builder(&path)?;
        let encoder = encoder.as_deref();
        let caller = Caller { documents: Some(Source::new(rows)?), progress, ..Caller::default() };
        call::long(py, encoder.map_or(0, PyEncoder::threads), caller, |desk| {
            let interrupt = &desk.interrupt;
            let stoppable = encoder.map(|encoder| Stoppable { encoder: encoder.encoder(), interrupt });
            let embedder = stoppable.as_ref().map(|encoder| encoder as &dyn Embedder);
            let documents = desk.documents();
            let built = match dimension {
                Some(dimension) => {
                    let rows = documents.map(|document| document?.embedded());
                    builder.build_embedded(rows, dimension, embedder, with_texts, desk, interrupt)?
                }
                None => {
                    builder.build(documents.map(|document| document?.entry()), embedder, desk, interrupt)?
                }
            };
            Self::of(path.clone(), encoder, built)
        })
    }

    fn add(
        &self,
        py: Python<'_>,
        rows: &Bound<'_, PyAny>,
        embedded: bool,
        duplicates: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let duplicates: Duplicates = named("duplicates", duplicates)?;
        let caller = Caller { documents: Some(Source::new(rows)?), progress, ..Caller::default() };
        call::long(py, self.threads, caller, |desk| self.add_from(embedded, duplicates, desk))
    }

    /// Deletes passages; how many of these there were.
    fn delete(&self, py: Python<'_>, ids: Vec<PyBackedStr>) -> PyResult<u64> {
        let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        call::long(py, self.threads, Caller::default(), |_| self.changed(|writer| Ok(writer.delete(&ids)?)))
    }

    /// Gives back the room of deleted passages; whether anything changed.
    fn compact(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<bool> {
        let caller = Caller { progress, ..Caller::default() };
        call::long(py, self.threads, caller, |desk| {
            self.changed(|writer| Ok(writer.compact(desk, &desk.interrupt)?))
        })
    }

    /// Compares every byte with the checksums.
    fn verify(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<()> {
        let caller = Caller { progress, ..Caller::default() };
        call::long(py, self.threads, caller, |desk| {
            Ok(self.snapshot()?.collection().verify(desk, &desk.interrupt)?)
        })
    }

    /// Looks at what others have changed; whether they had.
    fn refresh(&self, py: Python<'_>) -> PyResult<bool> {
        call::short(py, || {
            let is_current = self.snapshot()?.collection().is_current()?;
            if !is_current {
                self.reload()?;
            }
            Ok(!is_current)
        })
    }

    fn close(&self) {
        *self.searcher.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    #[getter]
    fn closed(&self) -> bool {
        self.searcher.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(usize::try_from(self.snapshot()?.collection().len()).unwrap_or(usize::MAX))
    }

    fn __contains__(&self, py: Python<'_>, id: &str) -> PyResult<bool> {
        call::short(py, || Ok(self.snapshot()?.collection().contains(id)?))
    }

    /// Length of its vectors; nothing where it has none.
    #[getter]
    fn dimension(&self) -> PyResult<Option<u32>> {
        Ok(self.snapshot()?.collection().vectors().map(|space| space.dim))
    }

    /// Whether it has texts.
    #[getter]
    fn has_texts(&self) -> PyResult<bool> {
        Ok(self.snapshot()?.collection().texts().is_some())
    }

    /// What it is.
    fn info(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let info = call::short(py, || {
            serde_json::to_value(self.snapshot()?.collection().info())
                .map_err(|e| Failure::Other(e.to_string()))
        })?;
        json::to_python(py, &info)
    }

    /// The passage with this id as a dict.
    fn get<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        let found = call::short(py, || {
            let searcher = self.snapshot()?;
            let passage = searcher.collection().passage(id)?;
            Ok(passage.zip(searcher.collection().payload(id)?))
        })?;
        let Some((passage, payload)) = found else { return Ok(None) };
        let document = PyDict::new(py);
        document.set_item("id", passage.id)?;
        document.set_item("title", passage.title)?;
        document.set_item("text", passage.text)?;
        document.set_item("metadata", json::object_to_python(py, &payload)?)?;
        Ok(Some(document))
    }

    /// The stored vectors of passages, row-major.
    fn vectors<'py>(&self, py: Python<'py>, ids: Vec<PyBackedStr>) -> PyResult<Bound<'py, PyByteArray>> {
        let rows = call::short(py, || {
            let (searcher, mut rows) = (self.snapshot()?, Vec::new());
            for id in &ids {
                let id: &str = id.as_ref();
                let absent = || Failure::input(format!("there is no vector of {id:?}"));
                rows.extend(searcher.collection().vector(id)?.ok_or_else(absent)?);
            }
            Ok(rows)
        })?;
        Ok(numbers::to_bytes(py, &rows))
    }

    /// The hits for a text, a vector, or both.
    fn search(
        &self,
        py: Python<'_>,
        text: Option<String>,
        vector: Option<&Bound<'_, PyBytes>>,
        options: Options,
    ) -> PyResult<Vec<PyHit>> {
        let vector = vector.map(|bytes| numbers::from_bytes(bytes.as_bytes())).transpose()?;
        let embeds = text.is_some() && self.encoder.is_some();
        let query = Asking::new(options)?.query(text, vector)?;
        let search = || -> Result<Vec<Hit>, Failure> { Ok(self.snapshot()?.search(&query)?) };
        let hits = match embeds {
            // Embedding uses threads, which must not be lost ones.
            true => {
                let pool = crate::pool::pool(self.threads)?;
                call::short(py, || pool.install(search))?
            }
            false => call::short(py, search)?,
        };
        Ok(hits.into_iter().map(PyHit::from).collect())
    }

    /// Ids and scores for many texts or vectors: `k` of each for every query, None and NaN where there are fewer.
    #[allow(clippy::too_many_arguments)]
    fn search_batch<'py>(
        &self,
        py: Python<'py>,
        texts: Option<Vec<String>>,
        vectors: Option<&Bound<'py, PyBytes>>,
        dimension: usize,
        options: Options,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyByteArray>)> {
        let k = options.0;
        let asking = Asking::new(options)?;
        let rows = vectors.map(|bytes| numbers::from_bytes(bytes.as_bytes())).transpose()?;
        let rows: Option<Vec<Vec<f32>>> =
            rows.map(|rows| rows.chunks_exact(dimension.max(1)).map(<[f32]>::to_vec).collect());
        let queries: Result<Vec<Query>, Failure> = match (texts, rows) {
            (Some(texts), Some(rows)) => {
                texts.into_iter().zip(rows).map(|(text, row)| asking.query(Some(text), Some(row))).collect()
            }
            (Some(texts), None) => texts.into_iter().map(|text| asking.query(Some(text), None)).collect(),
            (None, Some(rows)) => rows.into_iter().map(|row| asking.query(None, Some(row))).collect(),
            (None, None) => Err(Failure::input("a query is a text, a vector, or both")),
        };
        let queries = queries?;
        let caller = Caller { progress, ..Caller::default() };
        let found = call::long(py, threads, caller, |desk| self.find(&queries, desk))?;
        let (ids, mut scores) = (PyList::empty(py), Vec::with_capacity(found.len() * k));
        for found in found {
            let missing = k - found.len().min(k);
            for Found { id, score, .. } in found {
                ids.append(id)?;
                scores.push(score);
            }
            for _ in 0..missing {
                ids.append(py.None())?;
                scores.push(NO_SCORE);
            }
        }
        Ok((ids, numbers::to_bytes(py, &scores)))
    }
}
