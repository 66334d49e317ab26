//! Records of a corpus, of queries or of judgements, from JSON lines (also packed) or Parquet files.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use revela_base::compressed;
use revela_base::file::FileError;
use revela_base::record::{self, from_json};
use revela_base::text_lines::TextLines;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::parquet_rows::ParquetRows;
use super::{Document, Query};
use crate::error::EvalError;

/// The file's name without an ending of records that can be read; nothing for other files.
pub(super) fn readable_stem(path: &Path) -> Option<&str> {
    stem(path, ".parquet").or_else(|| packed_stem(path, ".jsonl"))
}

/// The name of a table of judgements without its ending; nothing for other files.
pub(super) fn table_stem(path: &Path) -> Option<&str> {
    packed_stem(path, ".tsv")
}

fn stem<'a>(path: &'a Path, ending: &str) -> Option<&'a str> {
    path.file_name()?.to_str()?.strip_suffix(ending).filter(|stem| !stem.starts_with('.'))
}

/// The name without this ending, which may stand before that of a packed file.
fn packed_stem<'a>(path: &'a Path, ending: &str) -> Option<&'a str> {
    let packed = compressed::ENDINGS.iter().find_map(|packed| stem(path, &format!("{ending}{packed}")));
    packed.or_else(|| stem(path, ending))
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
        Ok(Self::Lines(TextLines::open(path)?))
    }

    /// The next record.
    pub(super) fn next<L: DeserializeOwned>(&mut self) -> Result<Option<L>, FileError> {
        match self {
            Self::Lines(lines) => {
                let Some(line) = lines.next_line()? else { return Ok(None) };
                Ok(Some(from_json(line).map_err(|e| lines.error(e))?))
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

impl Record for Document {
    const KIND: &'static str = "document";
    const COLUMNS: &'static [&'static str] = &["_id", "id", "title", "text", "content"];
    type Line = record::Record;

    fn from_line(mut line: Self::Line) -> Result<Self, &'static str> {
        let text = line.take_text()?;
        Ok(Self { id: line.id, title: line.title, text })
    }

    fn id(&self) -> &str {
        &self.id
    }
}

impl Record for Query {
    const KIND: &'static str = "query";
    const COLUMNS: &'static [&'static str] = &["_id", "id", "text"];
    type Line = record::Record;

    fn from_line(mut line: Self::Line) -> Result<Self, &'static str> {
        let text = line.take_text()?;
        Ok(Self { id: line.id, text })
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
