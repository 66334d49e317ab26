//! JSON lines: `{"id": "a", "vector": [0.1, ...]}`, or the bare list.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use revela_base::file::FileError;
use serde::{Deserialize, Serialize};

use super::Rows;
use super::reader::{RowBlock, RowFormat};
use super::writer::{self, Format};
use crate::error::Error;

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Named {
        #[serde(alias = "_id")]
        id: String,
        #[serde(alias = "embedding")]
        vector: Vec<f32>,
    },
    Bare(Vec<f32>),
}

#[derive(Serialize)]
struct NamedRow<'a> {
    id: &'a str,
    vector: &'a [f32],
}

pub(super) struct JsonRows {
    path: PathBuf,
    input: BufReader<File>,
    dim: usize,
    line: u64,
    /// The first row is read at once, because it tells the dimension.
    first: Option<Line>,
}

impl JsonRows {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(FileError::io("open", path))?;
        let input = BufReader::with_capacity(1 << 18, file);
        let mut rows = Self { path: path.to_owned(), input, dim: 0, line: 0, first: None };
        rows.first = rows.next_line()?;
        rows.dim = match &rows.first {
            Some(Line::Named { vector, .. } | Line::Bare(vector)) => vector.len(),
            None => {
                let detail = "it is empty, so it tells no dimension".to_owned();
                return Err(Error::Shape { what: path.display().to_string(), detail });
            }
        };
        Ok(rows)
    }

    fn next_line(&mut self) -> Result<Option<Line>, Error> {
        let mut text = String::new();
        loop {
            text.clear();
            self.line += 1;
            let read = self.input.read_line(&mut text).map_err(FileError::io("read", &self.path))?;
            if read == 0 {
                return Ok(None);
            }
            if !text.trim().is_empty() {
                return serde_json::from_str(&text).map(Some).map_err(|_| {
                    self.wrong(r#"it is neither {"id": "...", "vector": [...]} nor a list of numbers"#.into())
                });
            }
        }
    }

    fn wrong(&self, detail: String) -> Error {
        FileError::Line { path: self.path.clone(), line: self.line, detail }.into()
    }
}

impl RowFormat for JsonRows {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        None
    }

    fn read(&mut self, limit: usize, block: &mut RowBlock) -> Result<usize, Error> {
        for rows in 0..limit {
            let line = match self.first.take() {
                Some(line) => line,
                None => match self.next_line()? {
                    Some(line) => line,
                    None => return Ok(rows),
                },
            };
            let vector = match line {
                Line::Named { id, vector } if block.ids.len() == rows => {
                    block.ids.push(id);
                    vector
                }
                Line::Bare(vector) if block.ids.is_empty() => vector,
                _ => return Err(self.wrong("some lines have an id and some have none".into())),
            };
            if vector.len() != self.dim {
                let detail = format!("{} numbers where the first line has {}", vector.len(), self.dim);
                return Err(self.wrong(detail));
            }
            block.data.extend_from_slice(&vector);
        }
        Ok(limit)
    }
}

/// Writes rows with their ids; rows beyond the ids have empty ones.
///
/// # Errors
/// [`FileError`] when the disk refuses.
pub fn write<'a>(path: &Path, ids: impl IntoIterator<Item = &'a str>, rows: Rows<'_>) -> Result<(), Error> {
    writer::write(path, Format::Jsonl, ids.into_iter(), rows)
}

/// Writes one row with its id.
pub(super) fn write_row(out: &mut dyn Write, id: &str, vector: &[f32]) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, &NamedRow { id, vector })?;
    out.write_all(b"\n")
}
