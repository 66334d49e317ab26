//! Rows from a file of any supported format, as a stream.

use std::path::Path;

use revela_base::compressed;
use revela_base::file::FileError;

use super::{Rows, Vectors, check_finite, check_shape, fvecs, jsonl, npy, safetensors};
use crate::error::Error;

/// Some rows that were read together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowBlock {
    /// The rows' ids where the format carries them, otherwise empty.
    pub ids: Vec<String>,
    /// The numbers, row-major.
    pub data: Vec<f32>,
}

/// What each format's reader does.
pub(super) trait RowFormat {
    fn dim(&self) -> usize;

    /// Rows in the whole file, where it says so.
    fn rows(&self) -> Option<u64>;

    /// Appends up to `limit` rows; fewer only at the end. Returns how many.
    fn read(&mut self, limit: usize, block: &mut RowBlock) -> Result<usize, Error>;
}

/// The error for a name that ends in none of the formats.
pub(crate) fn unknown_format(path: &Path) -> FileError {
    FileError::Format {
        path: path.to_owned(),
        expected: "vector".to_owned(),
        detail: "its name must end in .npy, .fvecs, .safetensors or .jsonl".to_owned(),
    }
}

/// What a name ends in, in small letters; of a packed file, the two last endings.
fn ending(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let last = |name: &str| name.rfind('.').unwrap_or(name.len());
    let mut at = last(&name);
    if name.get(at..).is_some_and(|last| compressed::ENDINGS.contains(&last)) {
        at = last(name.get(..at).unwrap_or_default()).min(at);
    }
    name.get(at + 1..).unwrap_or_default().to_owned()
}

/// Reads a matrix from `.npy`, `.fvecs`, `.safetensors` or `.jsonl` (also packed), some rows at a time.
pub struct RowReader {
    what: String,
    format: Box<dyn RowFormat + Send>,
    done: u64,
}

impl RowReader {
    /// Opens a file; its extension tells the format.
    ///
    /// # Errors
    /// [`FileError`] when the file cannot be read or is not of that format, [`Error::Shape`] when its
    /// numbers are of another type or shape.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let ending = ending(path);
        let format: Box<dyn RowFormat + Send> = match ending.as_str() {
            "npy" => Box::new(npy::NpyRows::open(path)?),
            "fvecs" => Box::new(fvecs::FvecsRows::open(path)?),
            "safetensors" => Box::new(safetensors::SafetensorsRows::open(path)?),
            "jsonl" | "jsonl.gz" | "jsonl.zst" => Box::new(jsonl::JsonRows::open(path)?),
            packed if packed.ends_with(".gz") || packed.ends_with(".zst") => {
                let detail =
                    "it is packed; unpack it first (of packed files, .jsonl alone is read)".to_owned();
                let (path, expected) = (path.to_owned(), "vector".to_owned());
                return Err(FileError::Format { path, expected, detail }.into());
            }
            _ => return Err(unknown_format(path).into()),
        };
        let what = path.display().to_string();
        check_shape(&what, format.dim(), 0)?;
        Ok(Self { what, format, done: 0 })
    }

    /// Length of every row.
    pub fn dim(&self) -> usize {
        self.format.dim()
    }

    /// Rows in the whole file, where the format says so at its beginning.
    pub fn rows(&self) -> Option<u64> {
        self.format.rows()
    }

    /// The file, for messages.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Replaces `block` by the next rows, at most `limit`; an empty block means the end.
    ///
    /// # Errors
    /// [`FileError`] when the file is cut or unreadable, [`Error::Row`] for NaN or infinity.
    pub fn next_block(&mut self, limit: usize, block: &mut RowBlock) -> Result<usize, Error> {
        block.ids.clear();
        block.data.clear();
        let rows = self.format.read(limit.max(1), block)?;
        check_finite(&self.what, self.done, Rows { dim: self.dim(), data: &block.data })?;
        self.done += rows as u64;
        Ok(rows)
    }
}

impl Vectors {
    /// Reads a whole file; see [`RowReader::open`].
    ///
    /// # Errors
    /// As [`RowReader::open`] and [`RowReader::next_block`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut reader = RowReader::open(path)?;
        let mut vectors = Self::empty(reader.dim())?;
        let mut block = RowBlock::default();
        while reader.next_block(4096, &mut block)? > 0 {
            vectors.data.extend_from_slice(&block.data);
        }
        Ok(vectors)
    }
}
