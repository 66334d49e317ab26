//! Safetensors with one matrix in it.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use half::bf16;
use revela_base::file::FileError;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::Rows;
use super::reader::{RowBlock, RowFormat};
use super::writer::{self, Format};
use crate::error::Error;

/// Longest header that is believed; the format's own limit.
const LONGEST_HEADER: u64 = 100_000_000;

pub(super) struct SafetensorsRows {
    path: PathBuf,
    input: BufReader<File>,
    dtype: Dtype,
    rows: u64,
    columns: usize,
    done: u64,
    bytes: Vec<u8>,
}

impl SafetensorsRows {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(FileError::io("open", path))?;
        let length = file.metadata().map_err(FileError::io("open", path))?.len();
        let mut input = BufReader::with_capacity(1 << 18, file);
        let (metadata, header_end) = read_metadata(path, &mut input, length)?;
        let (dtype, rows, columns, start) = only_matrix(path, &metadata)?;
        let mut rows =
            Self { path: path.to_owned(), input, dtype, rows, columns, done: 0, bytes: Vec::new() };
        let end =
            (rows.stride() as u64).checked_mul(rows.rows).and_then(|n| n.checked_add(header_end + start));
        if end.is_none_or(|end| end > length) {
            return Err(FileError::corrupt(path, "it is shorter than its header says").into());
        }
        let skip = i64::try_from(start).unwrap_or(i64::MAX);
        rows.input.seek_relative(skip).map_err(FileError::io("read", path))?;
        Ok(rows)
    }

    fn stride(&self) -> usize {
        self.columns * bytes_of(self.dtype).unwrap_or(4)
    }
}

fn not_ours(path: &Path, detail: impl Into<String>) -> Error {
    FileError::Format { path: path.to_owned(), expected: "safetensors".into(), detail: detail.into() }.into()
}

/// The header, and the byte at which the tensors begin.
fn read_metadata(path: &Path, input: &mut impl Read, length: u64) -> Result<(Metadata, u64), Error> {
    let mut size = [0u8; 8];
    input.read_exact(&mut size).map_err(|_| not_ours(path, "it is shorter than a header"))?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST_HEADER || size > length {
        return Err(not_ours(path, format!("it claims a header of {size} bytes")));
    }
    let mut header = vec![0u8; size as usize];
    input.read_exact(&mut header).map_err(|_| not_ours(path, "its header is cut"))?;
    let metadata = serde_json::from_slice(&header).map_err(|e| not_ours(path, e.to_string()))?;
    Ok((metadata, 8 + size))
}

/// Type, rows, columns and offset of the one matrix in the file.
fn only_matrix(path: &Path, metadata: &Metadata) -> Result<(Dtype, u64, usize, u64), Error> {
    let wrong = |detail: String| Error::Shape { what: path.display().to_string(), detail };
    let tensors = metadata.tensors();
    let matrices: Vec<(&String, &TensorInfo)> =
        tensors.iter().filter(|(_, t)| t.shape.len() == 2).map(|(name, t)| (name, *t)).collect();
    let [(name, tensor)] = matrices.as_slice() else {
        return Err(wrong(format!("it holds {} matrices; exactly one is needed", matrices.len())));
    };
    if bytes_of(tensor.dtype).is_none() {
        return Err(wrong(format!("{name} has type {:?}; F16, BF16, F32 or F64 is needed", tensor.dtype)));
    }
    match tensor.shape.as_slice() {
        &[rows, columns] if columns > 0 && columns <= 1 << 24 => {
            Ok((tensor.dtype, rows as u64, columns, tensor.data_offsets.0 as u64))
        }
        shape => Err(wrong(format!("{name} has shape {shape:?}; its rows must have numbers"))),
    }
}

fn bytes_of(dtype: Dtype) -> Option<usize> {
    match dtype {
        Dtype::F16 | Dtype::BF16 => Some(2),
        Dtype::F32 => Some(4),
        Dtype::F64 => Some(8),
        _ => None,
    }
}

impl RowFormat for SafetensorsRows {
    fn dim(&self) -> usize {
        self.columns
    }

    fn rows(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn read(&mut self, limit: usize, block: &mut RowBlock) -> Result<usize, Error> {
        let rows = (self.rows - self.done).min(limit as u64) as usize;
        self.bytes.resize(rows * self.stride(), 0);
        self.input.read_exact(&mut self.bytes).map_err(FileError::io("read", &self.path))?;
        let (twos, fours, eights) =
            (self.bytes.as_chunks::<2>().0, self.bytes.as_chunks::<4>().0, self.bytes.as_chunks::<8>().0);
        match self.dtype {
            Dtype::F16 => super::decode_f16(&self.bytes, &mut block.data),
            Dtype::BF16 => block.data.extend(twos.iter().map(|&b| bf16::from_le_bytes(b).to_f32())),
            Dtype::F64 => block.data.extend(eights.iter().map(|&b| f64::from_le_bytes(b) as f32)),
            _ => block.data.extend(fours.iter().map(|&b| f32::from_le_bytes(b))),
        }
        self.done += rows as u64;
        Ok(rows)
    }
}

/// Writes rows as one float32 tensor named `vectors`.
///
/// # Errors
/// [`FileError`] when the disk refuses.
pub fn write(path: &Path, rows: Rows<'_>) -> Result<(), Error> {
    writer::write(path, Format::Safetensors, std::iter::empty(), rows)
}

/// Writes what stands before the numbers: the length of a JSON text, and the text, padded to 8 bytes. The
/// crate writes only tensors that are whole in memory.
pub(super) fn write_header(out: &mut dyn Write, rows: u64, dim: usize) -> std::io::Result<()> {
    let end = rows * dim as u64 * 4;
    let mut json =
        format!(r#"{{"vectors":{{"dtype":"F32","shape":[{rows},{dim}],"data_offsets":[0,{end}]}}}}"#);
    let padding = json.len().next_multiple_of(8) - json.len();
    json.push_str(&" ".repeat(padding));
    out.write_all(&(json.len() as u64).to_le_bytes())?;
    out.write_all(json.as_bytes())
}
