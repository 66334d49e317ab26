//! From raw text to a trained retriever.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use revela_base::seed::Seed;
use revela_index::grouping::{COPY, Grouping, Policy};
use revela_model::tokenizer::TextTokenizer;
use revela_pipeline::prepare::{self, TokenSizer};
use revela_pipeline::train::{self, Watch};
use revela_text::{
    BadInput, Chunker, ChunkerConfig, Format, Links, QualityConfig, Reason, Sizer, Small, SourceConfig,
    SourceKind, Unit,
};
use revela_train::log::Record;
use revela_train::settings::{Settings, SettingsFile};
use revela_train::trainer::Outcome;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{self, Caller};
use crate::error::Failure;
use crate::json;
use crate::options::analyser;

/// What of a corpus is left out, by the names of the program's flags.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quality {
    keep: Vec<String>,
    keep_all: bool,
    min_words: Option<usize>,
    near_copy: Option<f32>,
    max_share: Option<f64>,
    max_document_share: Option<f64>,
}

impl Quality {
    fn config(&self) -> Result<QualityConfig, Failure> {
        let named = |name: &String| name.parse::<Reason>().map_err(|error| Failure::input(error.to_string()));
        let usual = QualityConfig::default();
        let config = QualityConfig {
            keep: match self.keep_all {
                true => Reason::all().collect(),
                false => self.keep.iter().map(named).collect::<Result<_, _>>()?,
            },
            min_words: self.min_words.unwrap_or(usual.min_words),
            near_copy: self.near_copy.unwrap_or(usual.near_copy),
            package_share: self.max_share.unwrap_or(usual.package_share),
            document_share: self.max_document_share.unwrap_or(usual.document_share),
            ..usual
        };
        config.check()?;
        Ok(config)
    }
}

/// What `revela data chunk` has flags for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChunkOptions {
    kind: Option<String>,
    format: String,
    unit: String,
    tokenizer: Option<PathBuf>,
    size: usize,
    overlap: usize,
    min_size: usize,
    drop_small: bool,
    skip_bad: bool,
    max_bytes: Option<u64>,
    follow_links: bool,
    quality: Quality,
}

impl ChunkOptions {
    fn source(&self, input: PathBuf) -> Result<SourceConfig, Failure> {
        let format: Format =
            self.format.parse().map_err(|error| Failure::input(format!("format: {error}")))?;
        let kind = match self.kind.as_deref() {
            None => SourceKind::of_path(&input),
            Some("jsonl") => SourceKind::Jsonl(format),
            Some("text") => SourceKind::Text,
            Some("code") => SourceKind::Code,
            Some(other) => {
                return Err(Failure::input(format!("unknown kind {other:?}; choose jsonl, text or code")));
            }
        };
        Ok(SourceConfig {
            max_bytes: self.max_bytes,
            bad_input: if self.skip_bad { BadInput::Skip } else { BadInput::Fail },
            links: if self.follow_links { Links::Follow } else { Links::Ignore },
            ..SourceConfig::new(input, kind)
        })
    }

    /// What counts tokens, where they are counted.
    fn sizer(&self) -> Result<Option<TokenSizer>, Failure> {
        match (self.unit.as_str(), &self.tokenizer) {
            ("words", _) => Ok(None),
            ("tokens", Some(dir)) => Ok(Some(TokenSizer(TextTokenizer::open(dir)?))),
            ("tokens", None) => {
                Err(Failure::input("unit tokens needs tokenizer, a folder with a tokenizer.json"))
            }
            (other, _) => Err(Failure::input(format!("unknown unit {other:?}; choose words or tokens"))),
        }
    }

    fn chunker(&self, has_sizer: bool) -> ChunkerConfig {
        ChunkerConfig {
            unit: if has_sizer { Unit::Tokens } else { Unit::Words },
            size: self.size,
            overlap: self.overlap,
            min_size: self.min_size,
            small: if self.drop_small { Small::Drop } else { Small::Merge },
        }
    }
}

fn options<T: for<'de> Deserialize<'de>>(json: &str) -> Result<T, Failure> {
    revela_base::record::from_json(json).map_err(Failure::input)
}

/// Cuts a corpus into a chunk file: how many chunks, what could not be read, what was left out.
#[pyfunction]
pub(crate) fn chunk(
    py: Python<'_>,
    input: PathBuf,
    out: PathBuf,
    options_json: &str,
    progress: Option<Py<PyAny>>,
) -> PyResult<(u64, String, Vec<String>)> {
    let chosen: ChunkOptions = options(options_json)?;
    let (source, quality) = (chosen.source(input)?, chosen.quality.config()?);
    let caller = Caller { progress, ..Caller::default() };
    call::long(py, 0, caller, |desk| {
        let sizer = chosen.sizer()?;
        let chunker = Chunker::new(chosen.chunker(sizer.is_some()), sizer.as_ref().map(|s| s as &dyn Sizer))?;
        let done = prepare::chunk(source, &chunker, quality, &out, desk, &desk.interrupt)?;
        Ok((done.chunks, done.unread, done.left_out))
    })
}

/// What `revela data group` has flags for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupOptions {
    policy: String,
    group_size: usize,
    documents: usize,
    passes: usize,
    analyser: String,
    seed: u64,
    quality: Quality,
}

/// Groups a chunk file into a group file: how many groups, copies, places that no neighbour filled.
#[pyfunction]
pub(crate) fn group(
    py: Python<'_>,
    chunks: PathBuf,
    out: PathBuf,
    options_json: &str,
    progress: Option<Py<PyAny>>,
) -> PyResult<(u64, u64, u64)> {
    let chosen: GroupOptions = options(options_json)?;
    let policy = match chosen.policy.as_str() {
        "random" => Policy::Random,
        "document" => Policy::Document,
        "mixed" => Policy::Mixed { documents: chosen.documents },
        "bm25" => Policy::bm25(analyser(&chosen.analyser)?),
        other => {
            let known = "choose random, document, mixed or bm25";
            return Err(Failure::input(format!("unknown policy {other:?}; {known}")).into());
        }
    };
    let quality = chosen.quality.config()?;
    let grouping = Grouping {
        policy,
        group_size: chosen.group_size,
        passes: chosen.passes,
        seed: Seed(chosen.seed),
        copies: quality.counts(Reason::NearCopy).then_some(COPY),
    };
    let caller = Caller { progress, ..Caller::default() };
    call::long(py, 0, caller, |desk| {
        let done = prepare::group(&chunks, &out, &grouping, quality, desk, &desk.interrupt)?;
        Ok((done.groups, done.copies, done.unrelated))
    })
}

/// Trains by a configuration in TOML, or goes on with a run. What became of it, as a dict.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub(crate) fn train_run(
    py: Python<'_>,
    config: Option<&str>,
    resume: Option<PathBuf>,
    threads: usize,
    on_step: Option<Py<PyAny>>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let settings = match config {
        Some(text) => {
            let file = SettingsFile::parse(text, Path::new("config"));
            Some(file.and_then(|file| file.complete(&Settings::default())).map_err(Failure::from)?)
        }
        None => None,
    };
    revela_alloc::keep_freed_memory();
    let caller = Caller { progress, on_record: on_step, ..Caller::default() };
    let outcome = call::long(py, threads, caller, |desk| {
        let on_record = |record: &Record| desk.record(record);
        let watch = Watch { progress: desk, interrupt: &desk.interrupt, on_record: Some(&on_record) };
        Ok(match (&settings, &resume) {
            (Some(settings), None) => train::start(settings, watch)?,
            (None, Some(run)) => train::resume(run, watch)?,
            _ => return Err(Failure::input("give a configuration, or a run to go on with")),
        })
    })?;
    let run = resume.or(settings.and_then(|settings| settings.common.out)).unwrap_or_default();
    json::to_python(py, &described(&outcome, &run))
}

fn described(outcome: &Outcome, run: &Path) -> Value {
    let run = run.display().to_string();
    match outcome {
        Outcome::Finished { best: Some(best) } => {
            json!({ "run": run, "finished": true, "score": best.score, "stage": best.stage, "step": best.step })
        }
        Outcome::Finished { best: None } => json!({ "run": run, "finished": true }),
        Outcome::Interrupted { stage, step } => {
            json!({ "run": run, "finished": false, "stage": stage, "step": step })
        }
    }
}
