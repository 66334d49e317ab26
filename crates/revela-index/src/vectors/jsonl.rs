//! JSON lines: `{"id": "a", "vector": [0.1, ...]}`, or the bare list.

use std::io::Write;
use std::path::Path;

use revela_base::record::{Id, from_json};
use revela_base::text_lines::TextLines;
use serde::{Deserialize, Serialize};

use super::Rows;
use super::reader::{RowBlock, RowFormat};
use super::writer::{self, Format};
use crate::error::Error;

/// A row with its id, or a bare list.
enum Line {
    Named { id: String, vector: Vec<f32> },
    Bare(Vec<f32>),
}

#[derive(Deserialize)]
struct Fields {
    _id: Option<Id>,
    id: Option<Id>,
    vector: Option<Vec<f32>>,
    embedding: Option<Vec<f32>>,
}

#[derive(Serialize)]
struct NamedRow<'a> {
    id: &'a str,
    vector: &'a [f32],
}

impl Line {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim_start().chars().next() {
            Some('[') => Ok(Self::Bare(from_json(text)?)),
            Some('{') => {
                let fields: Fields = from_json(text)?;
                let id = fields._id.or(fields.id).ok_or("`id` is missing or null")?.0;
                let vector = fields.vector.or(fields.embedding).ok_or("`vector` is missing or null")?;
                Ok(Self::Named { id, vector })
            }
            _ => Err(r#"it is neither {"id": "...", "vector": [...]} nor a list of numbers"#.to_owned()),
        }
    }
}

pub(super) struct JsonRows {
    lines: TextLines,
    dim: usize,
    /// The first row is read at once, because it tells the dimension.
    first: Option<Line>,
}

impl JsonRows {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut rows = Self { lines: TextLines::open(path)?, dim: 0, first: None };
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
        let Some(text) = self.lines.next_line()? else { return Ok(None) };
        Line::parse(text).map(Some).map_err(|detail| self.wrong(detail))
    }

    fn wrong(&self, detail: String) -> Error {
        self.lines.error(detail).into()
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
/// [`FileError`](revela_base::file::FileError) when the disk refuses.
pub fn write<'a>(path: &Path, ids: impl IntoIterator<Item = &'a str>, rows: Rows<'_>) -> Result<(), Error> {
    writer::write(path, Format::Jsonl, ids.into_iter(), rows)
}

/// Writes one row with its id.
pub(super) fn write_row(out: &mut dyn Write, id: &str, vector: &[f32]) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, &NamedRow { id, vector })?;
    out.write_all(b"\n")
}
