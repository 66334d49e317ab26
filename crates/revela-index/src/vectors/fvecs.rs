//! `.fvecs`: each row is its length as int32 and then so many float32, little-endian.
//!
//! The format of the TEXMEX sets: <http://corpus-texmex.irisa.fr/>.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use revela_base::file::FileError;

use super::Rows;
use super::reader::{RowBlock, RowFormat};
use super::writer::{self, Format};
use crate::error::Error;

pub(super) struct FvecsRows {
    path: PathBuf,
    input: BufReader<File>,
    dim: usize,
    rows: u64,
    done: u64,
    bytes: Vec<u8>,
}

impl FvecsRows {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(FileError::io("open", path))?;
        let length = file.metadata().map_err(FileError::io("open", path))?.len();
        let mut first = [0u8; 4];
        let dim = match file.read_exact(&mut first) {
            Ok(()) => i32::from_le_bytes(first),
            Err(_) => 0,
        };
        let stride = 4 + 4 * u64::from(dim.max(0).unsigned_abs());
        if dim <= 0 || !length.is_multiple_of(stride) {
            let detail = format!("its {length} bytes are no rows of the {dim} numbers that it begins with");
            return Err(FileError::Format { path: path.to_owned(), expected: "fvecs".into(), detail }.into());
        }
        let file = File::open(path).map_err(FileError::io("open", path))?;
        Ok(Self {
            path: path.to_owned(),
            input: BufReader::with_capacity(1 << 18, file),
            dim: dim.unsigned_abs() as usize,
            rows: length / stride,
            done: 0,
            bytes: Vec::new(),
        })
    }
}

impl RowFormat for FvecsRows {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn read(&mut self, limit: usize, block: &mut RowBlock) -> Result<usize, Error> {
        let rows = (self.rows - self.done).min(limit as u64) as usize;
        let stride = 4 + 4 * self.dim;
        self.bytes.resize(rows * stride, 0);
        self.input.read_exact(&mut self.bytes).map_err(FileError::io("read", &self.path))?;
        for row in self.bytes.chunks_exact(stride) {
            let (numbers, _) = row.as_chunks::<4>();
            let (length, numbers) = numbers.split_first().unwrap_or((&[0; 4], &[]));
            if i32::from_le_bytes(*length) as usize != self.dim {
                let detail = format!("a row has another length than the first, {}", self.dim);
                return Err(FileError::corrupt(&self.path, detail).into());
            }
            block.data.extend(numbers.iter().map(|&b| f32::from_le_bytes(b)));
        }
        self.done += rows as u64;
        Ok(rows)
    }
}

/// Writes rows.
///
/// # Errors
/// [`FileError`] when the disk refuses.
pub fn write(path: &Path, rows: Rows<'_>) -> Result<(), Error> {
    writer::write(path, Format::Fvecs, std::iter::empty(), rows)
}

/// Writes one row: its length, its numbers.
pub(super) fn write_row(out: &mut dyn Write, row: &[f32]) -> std::io::Result<()> {
    out.write_all(&i32::try_from(row.len()).unwrap_or(i32::MAX).to_le_bytes())?;
    out.write_all(bytemuck::cast_slice(row))
}
