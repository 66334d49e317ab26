//! Rows into a file of any supported format, as a stream.

use std::io::Write;
use std::path::{Path, PathBuf};

use revela_base::file::{AtomicFile, FileError, is_standard_output};

use super::{Rows, fvecs, jsonl, npy, reader, safetensors};
use crate::error::Error;

/// What can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Npy,
    Fvecs,
    Safetensors,
    Jsonl,
}

/// Writes rows of f32 one after the other; the file appears under its name when all are there.
pub(crate) struct RowWriter {
    path: PathBuf,
    out: AtomicFile,
    format: Format,
    dim: usize,
    /// Rows that are still to come.
    left: u64,
}

impl RowWriter {
    /// Starts a file of `rows` rows; its extension tells the format. Standard output gets JSON lines.
    pub(crate) fn create(path: &Path, rows: u64, dim: usize) -> Result<Self, Error> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        let format = match extension.as_str() {
            "npy" => Format::Npy,
            "fvecs" => Format::Fvecs,
            "safetensors" => Format::Safetensors,
            "jsonl" => Format::Jsonl,
            _ if is_standard_output(path) => Format::Jsonl,
            _ => return Err(reader::unknown_format(path).into()),
        };
        Self::with_format(path, format, rows, dim)
    }

    fn with_format(path: &Path, format: Format, rows: u64, dim: usize) -> Result<Self, Error> {
        let mut out = AtomicFile::create(path)?;
        let head = match format {
            Format::Npy => npy::write_header(&mut out, "<f4", rows, dim),
            Format::Safetensors => safetensors::write_header(&mut out, rows, dim),
            Format::Fvecs | Format::Jsonl => Ok(()),
        };
        head.map_err(FileError::io("write", path))?;
        Ok(Self { path: path.to_owned(), out, format, dim, left: rows })
    }

    /// Writes the next row. The id is kept by `.jsonl` alone.
    pub(crate) fn push(&mut self, id: &str, row: &[f32]) -> Result<(), Error> {
        if row.len() != self.dim {
            let what = format!("a row for {}", self.path.display());
            return Err(Error::Dimension { what, expected: self.dim, found: row.len() });
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| self.miscounted("more"))?;
        let written = match self.format {
            Format::Npy | Format::Safetensors => self.out.write_all(bytemuck::cast_slice(row)),
            Format::Fvecs => fvecs::write_row(&mut self.out, row),
            Format::Jsonl => jsonl::write_row(&mut self.out, id, row),
        };
        Ok(written.map_err(FileError::io("write", &self.path))?)
    }

    /// Gives the file its name.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.left > 0 {
            return Err(self.miscounted("fewer"));
        }
        Ok(self.out.commit()?)
    }

    fn miscounted(&self, which: &str) -> Error {
        let detail = format!("there were {which} rows than its beginning says");
        Error::Shape { what: self.path.display().to_string(), detail }
    }
}

/// Writes a matrix, with ids where the format has them.
pub(super) fn write<'a>(
    path: &Path,
    format: Format,
    mut ids: impl Iterator<Item = &'a str>,
    rows: Rows<'_>,
) -> Result<(), Error> {
    let mut writer = RowWriter::with_format(path, format, rows.len() as u64, rows.dim())?;
    rows.iter().try_for_each(|row| writer.push(ids.next().unwrap_or_default(), row))?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::Vectors;

    #[test]
    fn streams_what_is_read_back_and_counts_rows() {
        let dir = tempfile::tempdir().unwrap();
        let rows = Vectors::new("x", 3, (0..12).map(|x| x as f32 * 0.3).collect()).unwrap();
        for name in ["a.npy", "a.fvecs", "a.safetensors", "a.jsonl"] {
            let path = dir.path().join(name);
            let fill = |promised, count| -> Result<(), Error> {
                let mut writer = RowWriter::create(&path, promised, 3)?;
                rows.view().iter().take(count).try_for_each(|row| writer.push("id", row))?;
                writer.finish()
            };
            assert!(fill(5, 4).is_err() && fill(3, 4).is_err() && !path.exists(), "{name}");
            fill(4, 4).unwrap();
            assert_eq!(Vectors::read(&path).unwrap(), rows, "{name}");
            assert!(RowWriter::create(&path, 1, 3).unwrap().push("id", &[1.0]).is_err());
        }
        assert!(RowWriter::create(&dir.path().join("a.txt"), 1, 3).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "nothing temporary is left");
    }
}
