//! Texts to vectors.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyByteArray, PyList, PyString};
use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress as _;
use revela_model::cpu::Matmul;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;

use crate::call::{self, Caller, Desk};
use crate::document::surrogates;
use crate::error::Failure;
use crate::numbers;

/// Texts that are sorted by length together; the program embeds as many at a time.
const BLOCK: usize = 4096;

/// Fewer texts are embedded without looking for Ctrl-C or showing progress.
const FEW: usize = 8;

/// An opened encoder.
#[pyclass(frozen, module = "revela._revela", name = "Encoder")]
pub(crate) struct PyEncoder {
    encoder: Arc<Encoder>,
    /// The same without prompts.
    bare: OnceLock<Arc<Encoder>>,
    threads: usize,
}

/// What goes before texts.
enum Prompt {
    Query,
    Passage,
    Given(String),
}

impl PyEncoder {
    pub(crate) fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    fn bare(&self) -> &Arc<Encoder> {
        self.bare.get_or_init(|| {
            let contract = &self.encoder.contract;
            if contract.query_prompt.is_empty() && contract.passage_prompt.is_empty() {
                return self.encoder.clone();
            }
            let mut bare = Encoder::clone(&self.encoder);
            bare.contract.query_prompt.clear();
            bare.contract.passage_prompt.clear();
            Arc::new(bare)
        })
    }

    fn rows(&self, prompt: &Prompt, texts: &[PyBackedStr], desk: Option<&Desk>) -> Result<Vec<f32>, Failure> {
        let (encoder, kind, before) = match prompt {
            Prompt::Query => (&self.encoder, TextKind::Query, ""),
            Prompt::Passage => (&self.encoder, TextKind::Passage, ""),
            Prompt::Given(before) => (self.bare(), TextKind::Passage, before.as_str()),
        };
        let never = Interrupt::new();
        let interrupt = desk.map_or(&never, |desk| &desk.interrupt);
        let task = desk.map(|desk| desk.task("embedding", "texts", Some(texts.len() as u64)));
        let advance = |count| task.iter().for_each(|task| task.advance(count));
        let mut rows = Vec::with_capacity(texts.len() * encoder.dimension());
        for block in texts.chunks(BLOCK) {
            let joined: Vec<String> = match before {
                "" => Vec::new(),
                _ => block.iter().map(|text| format!("{before}{text}")).collect(),
            };
            let block: Vec<&str> = match before {
                "" => block.iter().map(AsRef::as_ref).collect(),
                _ => joined.iter().map(String::as_str).collect(),
            };
            rows.extend(encoder.embed_watched(kind, &block, interrupt, &advance)?);
        }
        Ok(rows)
    }
}

#[pymethods]
impl PyEncoder {
    #[new]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        matmul: &str,
        dtype: &str,
        threads: usize,
    ) -> PyResult<Self> {
        let device: DeviceChoice = device.parse().map_err(Failure::input)?;
        let matmul: Matmul = matmul.parse().map_err(Failure::input)?;
        let dtype: Precision = dtype.parse().map_err(Failure::input)?;
        let encoder = call::long(py, threads, Caller::default(), |_| {
            Ok(Encoder::open(&path, dtype, &device.open()?)?.with_matmul(matmul))
        })?;
        Ok(Self { encoder: Arc::new(encoder), bare: OnceLock::new(), threads })
    }

    /// Vectors of texts, f32 and row-major. `name` is "query" or "passage"; without it `prompt` goes before texts.
    fn embed<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyList>,
        name: Option<&str>,
        prompt: String,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyByteArray>> {
        let prompt = match name {
            Some("query") => Prompt::Query,
            Some("passage") => Prompt::Passage,
            Some(other) => {
                let known = "known are query and passage (also called document)";
                return Err(Failure::input(format!("no prompt is called {other:?}; {known}")).into());
            }
            None => Prompt::Given(prompt),
        };
        let texts = strings(texts)?;
        let caller = Caller { progress, ..Caller::default() };
        let rows = match texts.len() {
            0 => Vec::new(),
            1..=FEW => {
                let pool = crate::pool::pool(self.threads)?;
                call::short(py, || pool.install(|| self.rows(&prompt, &texts, None)))?
            }
            _ => call::long(py, self.threads, caller, |desk| self.rows(&prompt, &texts, Some(desk)))?,
        };
        Ok(numbers::to_bytes(py, &rows))
    }

    /// Tokens of texts with their prompt, special ones included, after cutting.
    fn count_tokens(&self, py: Python<'_>, texts: &Bound<'_, PyList>, is_query: bool) -> PyResult<usize> {
        let texts = strings(texts)?;
        let kind = if is_query { TextKind::Query } else { TextKind::Passage };
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        call::long(py, self.threads, Caller::default(), |_| Ok(self.encoder.count_tokens(kind, &texts)?))
    }

    #[getter]
    fn dimension(&self) -> usize {
        self.encoder.dimension()
    }

    #[getter]
    fn max_length(&self) -> usize {
        self.encoder.contract.max_length
    }

    /// The prompts of queries and of passages.
    #[getter]
    fn prompts(&self) -> (&str, &str) {
        (&self.encoder.contract.query_prompt, &self.encoder.contract.passage_prompt)
    }

    #[getter]
    fn metric(&self) -> &'static str {
        match self.encoder.metric() {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
        }
    }

    #[getter]
    fn fingerprint(&self, py: Python<'_>) -> PyResult<String> {
        call::short(py, || Ok(self.encoder.fingerprint().to_string()))
    }
}

/// Texts that stay where Python has them.
fn strings(texts: &Bound<'_, PyList>) -> Result<Vec<PyBackedStr>, Failure> {
    let string = |(number, text): (usize, Bound<'_, PyAny>)| {
        let py = text.py();
        let kind = text.get_type().name().map_or_else(|_| "no text".to_owned(), |name| name.to_string());
        let text = text
            .cast_into::<PyString>()
            .map_err(|_| Failure::input(format!("text {number} is {kind}, not str")))?;
        PyBackedStr::try_from(text)
            .map_err(|error| Failure::input(format!("text {number}: {}", surrogates(py, &error))))
    };
    texts.iter().enumerate().map(string).collect()
}

/// An encoder that looks between batches whether to stop.
pub(crate) struct Stoppable<'a> {
    pub(crate) encoder: &'a Encoder,
    pub(crate) interrupt: &'a Interrupt,
}

impl Embedder for Stoppable<'_> {
    fn dimension(&self) -> usize {
        self.encoder.dimension()
    }

    fn fingerprint(&self) -> Checksum {
        self.encoder.fingerprint()
    }

    fn metric(&self) -> Metric {
        self.encoder.metric()
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        let rows = self.encoder.embed_watched(kind, texts, self.interrupt, &|_| {});
        rows.map_err(|error| EmbedError(Box::new(error)))
    }
}
