//! Records of a corpus, of queries or of judgements, from JSON lines (also gzipped) or Parquet files.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use revela_base::file::FileError;
use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::parquet_rows::ParquetRows;
use super::{Document, Query};
use crate::error::EvalError;
use crate::text_lines::TextLines;

/// Endings of the files that are read.
const ENDINGS: [&str; 3] = [".jsonl", ".jsonl.gz", ".parquet"];

/// The file's name without an ending that can be read; nothing for other files.
pub(super) fn readable_stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).filter(|stem| !stem.starts_with('.'))
}

/// One file, by what its name ends with.
pub(super) enum Source {
    Lines(TextLines),
    Rows(ParquetRows),
}

impl Source {
    /// Opens a file; of a Parquet file only the named columns are read.
    pub(super) fn open(path: &Path, columns: &[&str]) -> Result<Self, FileError> {
        let ends = |ending: &str| path.as_os_str().to_string_lossy().ends_with(ending);
        if ends(".parquet") {
            return Ok(Self::Rows(ParquetRows::open(path, columns)?));
        }
        if ends(".gz") {
            let file = File::open(path).map_err(FileError::io("open", path))?;
            return Ok(Self::Lines(TextLines::new(path, MultiGzDecoder::new(file))));
        }
        Ok(Self::Lines(TextLines::open(path)?))
    }

    /// The next record.
    pub(super) fn next<L: DeserializeOwned>(&mut self) -> Result<Option<L>, FileError> {
        match self {
            Self::Lines(lines) => {
                let Some(line) = lines.next_line()? else { return Ok(None) };
                Ok(Some(serde_json::from_str(line).map_err(|e| lines.error(e))?))
            }
            Self::Rows(rows) => {
                let Some(row) = rows.next_row()? else { return Ok(None) };
                Ok(Some(serde_json::from_value(row).map_err(|e| rows.error(e))?))
            }
        }
    }

    /// An error about the record read last.
    pub(super) fn error(&self, detail: impl ToString) -> FileError {
        match self {
            Self::Lines(lines) => lines.error(detail),
            Self::Rows(rows) => rows.error(detail),
        }
    }
}

/// A record with an id.
pub(super) trait Record: Sized {
    /// What the file calls such a record.
    const KIND: &'static str;
    /// The columns that matter.
    const COLUMNS: &'static [&'static str];
    /// Its form in the file.
    type Line: DeserializeOwned;
    fn from_line(line: Self::Line) -> Result<Self, &'static str>;
    fn id(&self) -> &str;
}

/// BEIR writes `_id`, newer sets write `id`; BRIGHT calls a document's text its content.
#[derive(Deserialize)]
pub(super) struct DocumentLine {
    #[serde(rename = "_id", default)]
    beir_id: Option<Id>,
    #[serde(default)]
    id: Option<Id>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    content: Option<String>,
}

const NO_ID: &str = "missing field `_id`";
const NO_TEXT: &str = "missing field `text`";

impl Record for Document {
    const KIND: &'static str = "document";
    const COLUMNS: &'static [&'static str] = &["_id", "id", "title", "text", "content"];
    type Line = DocumentLine;

    fn from_line(line: DocumentLine) -> Result<Self, &'static str> {
        Ok(Self {
            id: line.beir_id.or(line.id).ok_or(NO_ID)?.0,
            title: line.title.unwrap_or_default(),
            text: line.text.or(line.content).ok_or(NO_TEXT)?,
        })
    }

    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
pub(super) struct QueryLine {
    #[serde(rename = "_id", default)]
    beir_id: Option<Id>,
    #[serde(default)]
    id: Option<Id>,
    #[serde(default)]
    text: Option<String>,
}

impl Record for Query {
    const KIND: &'static str = "query";
    const COLUMNS: &'static [&'static str] = &["_id", "id", "text"];
    type Line = QueryLine;

    fn from_line(line: QueryLine) -> Result<Self, &'static str> {
        Ok(Self { id: line.beir_id.or(line.id).ok_or(NO_ID)?.0, text: line.text.ok_or(NO_TEXT)? })
    }

    fn id(&self) -> &str {
        &self.id
    }
}

/// Streams the records of files, one after the other; an id that occurs twice is an error.
pub(super) fn read<R: Record>(files: &[PathBuf]) -> Result<Records<R>, EvalError> {
    let mut waiting: VecDeque<PathBuf> = files.iter().cloned().collect();
    // The first one is opened now, so that a missing file is told at once.
    let source = waiting.pop_front().map(|path| Source::open(&path, R::COLUMNS)).transpose()?;
    Ok(Records { source, waiting, ids: IdSet::default(), record: PhantomData })
}

/// The stream; ends after its first error.
pub(super) struct Records<R> {
    source: Option<Source>,
    waiting: VecDeque<PathBuf>,
    ids: IdSet,
    record: PhantomData<fn() -> R>,
}

impl<R: Record> Records<R> {
    fn step(&mut self) -> Result<Option<R>, EvalError> {
        loop {
            let Some(source) = &mut self.source else { return Ok(None) };
            if let Some(line) = source.next()? {
                let record = R::from_line(line).map_err(|detail| source.error(detail))?;
                if !self.ids.insert(record.id()) {
                    let (kind, id) = (R::KIND, record.id());
                    let detail = format!("the {kind} id {id:?} occurs twice; ids must be unique");
                    return Err(source.error(detail).into());
                }
                return Ok(Some(record));
            }
            self.source = match self.waiting.pop_front() {
                Some(path) => Some(Source::open(&path, R::COLUMNS)?),
                None => None,
            };
        }
    }
}

impl<R: Record> Iterator for Records<R> {
    type Item = Result<R, EvalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.source = None;
        }
        item
    }
}

/// Remembers ids by 128 bits of hash, so that millions of them fit; the chance of taking two different
/// ids of ten million for the same is below 1e-24.
#[derive(Default)]
pub(super) struct IdSet(HashSet<u128>);

impl IdSet {
    /// Whether the id is new.
    pub(super) fn insert(&mut self, id: &str) -> bool {
        self.0.insert(key(id))
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.0.contains(&key(id))
    }
}

fn key(id: &str) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, id).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// An id: a string, or a whole number, which becomes its decimal digits. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id(pub(super) String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an id: a string that is not empty, or a whole number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        if text.is_empty() { Err(E::custom("the id is empty")) } else { Ok(Id(text.to_owned())) }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
        Ok(Id(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
        Ok(Id(number.to_string()))
    }
}

/// A document as it is written.
#[derive(Serialize)]
pub(super) struct DocumentOut<'a> {
    #[serde(rename = "_id")]
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) text: &'a str,
}

/// A query as it is written.
#[derive(Serialize)]
pub(super) struct QueryOut<'a> {
    #[serde(rename = "_id")]
    pub(super) id: &'a str,
    pub(super) text: &'a str,
}
