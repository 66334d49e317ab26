//! NumPy's `.npy`: two-dimensional, little-endian, C order.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, versions 1 to 3.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use revela_base::file::{FileError, write_atomic};

use super::Rows;
use super::reader::{RowBlock, RowFormat};
use super::writer::{self, Format};
use crate::error::Error;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longest header that is believed; real ones have about 118 bytes.
const LONGEST_HEADER: usize = 1 << 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dtype {
    F16,
    F32,
    F64,
    I32,
    I64,
}

impl Dtype {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "<f2" => Self::F16,
            "<f4" => Self::F32,
            "<f8" => Self::F64,
            "<i4" => Self::I32,
            "<i8" => Self::I64,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }
}

/// Integers in rows, such as the true neighbours of queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integers {
    columns: usize,
    data: Vec<i32>,
}

impl Integers {
    /// Takes row-major numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] when `columns` is 0 or does not divide the length.
    pub fn new(what: &str, columns: usize, data: Vec<i32>) -> Result<Self, Error> {
        super::check_shape(what, columns, data.len())?;
        Ok(Self { columns, data })
    }

    /// Numbers in each row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.columns
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// All rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, i32> {
        self.data.chunks_exact(self.columns)
    }
}

struct Npy {
    path: PathBuf,
    input: BufReader<File>,
    dtype: Dtype,
    rows: u64,
    columns: usize,
    bytes: Vec<u8>,
}

impl Npy {
    fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(FileError::io("open", path))?;
        let length = file.metadata().map_err(FileError::io("open", path))?.len();
        let mut input = BufReader::with_capacity(1 << 18, file);
        let (header, header_end) = read_header(path, &mut input)?;
        let (dtype, rows, columns) = parse_header(path, &header)?;
        let expected =
            rows.checked_mul(columns as u64 * dtype.bytes() as u64).and_then(|n| n.checked_add(header_end));
        if expected != Some(length) {
            let detail =
                format!("{rows} x {columns} numbers of {} bytes do not make {length} bytes", dtype.bytes());
            return Err(FileError::corrupt(path, detail).into());
        }
        Ok(Self { path: path.to_owned(), input, dtype, rows, columns, bytes: Vec::new() })
    }

    /// The bytes of the next `limit` rows, fewer at the end.
    fn read(&mut self, limit: usize, done: u64) -> Result<&[u8], Error> {
        let rows = (self.rows - done).min(limit as u64) as usize;
        self.bytes.resize(rows * self.columns * self.dtype.bytes(), 0);
        self.input.read_exact(&mut self.bytes).map_err(FileError::io("read", &self.path))?;
        Ok(&self.bytes)
    }

    fn wrong_type(&self, wanted: &str) -> Error {
        let detail = format!("its numbers are {:?}, but {wanted} are needed", self.dtype);
        Error::Shape { what: self.path.display().to_string(), detail }
    }
}

fn not_npy(path: &Path, detail: impl Into<String>) -> Error {
    FileError::Format { path: path.to_owned(), expected: "npy".to_owned(), detail: detail.into() }.into()
}

/// The header's text and where it ends.
fn read_header(path: &Path, input: &mut impl Read) -> Result<(String, u64), Error> {
    let mut fill = |buffer: &mut [u8]| {
        input.read_exact(buffer).map_err(|_| not_npy(path, "it is shorter than a header"))
    };
    let mut start = [0u8; 8];
    fill(&mut start)?;
    if start[..6] != *MAGIC {
        return Err(not_npy(path, "it does not begin like one"));
    }
    let (length, before) = if start[6] == 1 {
        let mut length = [0u8; 2];
        fill(&mut length)?;
        (usize::from(u16::from_le_bytes(length)), 10)
    } else {
        let mut length = [0u8; 4];
        fill(&mut length)?;
        (u32::from_le_bytes(length) as usize, 12)
    };
    if !(1..=3).contains(&start[6]) || length > LONGEST_HEADER {
        return Err(not_npy(path, format!("version {} with a header of {length} bytes", start[6])));
    }
    let mut header = vec![0u8; length];
    fill(&mut header)?;
    let header = String::from_utf8(header).map_err(|_| not_npy(path, "its header is not text"))?;
    Ok((header, before + length as u64))
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn parse_header(path: &Path, header: &str) -> Result<(Dtype, u64, usize), Error> {
    let value = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let wrong = |detail: String| Error::Shape { what: path.display().to_string(), detail };
    let descr = value("descr").and_then(|v| v.strip_prefix('\'')?.split('\'').next()).unwrap_or_default();
    let dtype = Dtype::parse(descr).ok_or_else(|| {
        wrong(format!(
            "its numbers have NumPy type {descr:?}; save them as float32 (or float16, float64, int32)"
        ))
    })?;
    if !value("fortran_order").unwrap_or_default().starts_with("False") {
        return Err(wrong("it is in Fortran order; save numpy.ascontiguousarray(x) instead".into()));
    }
    let shape = value("shape").and_then(|v| v.strip_prefix('(')?.split(')').next()).unwrap_or_default();
    let sizes: Option<Vec<u64>> =
        shape.split(',').map(str::trim).filter(|s| !s.is_empty()).map(|s| s.parse().ok()).collect();
    match sizes.as_deref() {
        Some(&[rows, columns]) if columns > 0 && columns <= 1 << 24 => Ok((dtype, rows, columns as usize)),
        _ => Err(wrong(format!("its shape is ({shape}); a matrix (rows, columns) is needed"))),
    }
}

/// Rows of a file of floating-point numbers.
pub(super) struct NpyRows {
    npy: Npy,
    done: u64,
}

impl NpyRows {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let npy = Npy::open(path)?;
        match npy.dtype {
            Dtype::F16 | Dtype::F32 | Dtype::F64 => Ok(Self { npy, done: 0 }),
            Dtype::I32 | Dtype::I64 => Err(npy.wrong_type("floating-point numbers")),
        }
    }
}

impl RowFormat for NpyRows {
    fn dim(&self) -> usize {
        self.npy.columns
    }

    fn rows(&self) -> Option<u64> {
        Some(self.npy.rows)
    }

    fn read(&mut self, limit: usize, block: &mut RowBlock) -> Result<usize, Error> {
        let (dtype, columns) = (self.npy.dtype, self.npy.columns);
        let bytes = self.npy.read(limit, self.done)?;
        decode_floats(dtype, bytes, &mut block.data);
        let rows = bytes.len() / (columns * dtype.bytes());
        self.done += rows as u64;
        Ok(rows)
    }
}

fn decode_floats(dtype: Dtype, bytes: &[u8], into: &mut Vec<f32>) {
    match dtype {
        Dtype::F16 => super::decode_f16(bytes, into),
        Dtype::F64 => {
            let (numbers, _) = bytes.as_chunks::<8>();
            into.extend(numbers.iter().map(|&b| f64::from_le_bytes(b) as f32));
        }
        _ => {
            let (numbers, _) = bytes.as_chunks::<4>();
            into.extend(numbers.iter().map(|&b| f32::from_le_bytes(b)));
        }
    }
}

/// Reads a matrix of integers (int32, or int64 whose numbers fit).
///
/// # Errors
/// [`FileError`] when the file cannot be read or is not `.npy`, [`Error::Shape`] for other numbers.
pub fn read_integers(path: &Path) -> Result<Integers, Error> {
    let mut npy = Npy::open(path)?;
    let (dtype, columns, rows) = (npy.dtype, npy.columns, npy.rows as usize);
    if !matches!(dtype, Dtype::I32 | Dtype::I64) {
        return Err(npy.wrong_type("integers"));
    }
    let bytes = npy.read(rows, 0)?;
    let data: Option<Vec<i32>> = if dtype == Dtype::I32 {
        bytes.as_chunks::<4>().0.iter().map(|&b| Some(i32::from_le_bytes(b))).collect()
    } else {
        bytes.as_chunks::<8>().0.iter().map(|&b| i64::from_le_bytes(b).try_into().ok()).collect()
    };
    let what = path.display().to_string();
    match data {
        Some(data) => Integers::new(&what, columns, data),
        None => Err(Error::Shape { what, detail: "its numbers do not fit into 32 bits".into() }),
    }
}

pub(super) fn write_header(
    out: &mut dyn Write,
    descr: &str,
    rows: u64,
    columns: usize,
) -> std::io::Result<()> {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // Magic, version, length, dictionary and newline together fill a multiple of 64 bytes.
    let padding = (64 - (10 + dict.len() + 1) % 64) % 64;
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&((dict.len() + padding + 1) as u16).to_le_bytes())?;
    out.write_all(dict.as_bytes())?;
    out.write_all(&b" ".repeat(padding))?;
    out.write_all(b"\n")
}

/// Writes float32.
///
/// # Errors
/// [`FileError`] when the disk refuses.
pub fn write_f32(path: &Path, rows: Rows<'_>) -> Result<(), Error> {
    writer::write(path, Format::Npy, std::iter::empty(), rows)
}

/// Writes float16, rounding to nearest.
///
/// # Errors
/// [`FileError`] when the disk refuses.
pub fn write_f16(path: &Path, rows: Rows<'_>) -> Result<(), Error> {
    Ok(write_atomic(path, |out| {
        write_header(out, "<f2", rows.len() as u64, rows.dim())?;
        rows.data().iter().try_for_each(|&x| out.write_all(&half::f16::from_f32(x).to_le_bytes()))
    })?)
}

/// Writes int32.
///
/// # Errors
/// [`FileError`] when the disk refuses.
pub fn write_integers(path: &Path, integers: &Integers) -> Result<(), Error> {
    Ok(write_atomic(path, |out| {
        write_header(out, "<i4", integers.len() as u64, integers.columns)?;
        out.write_all(bytemuck::cast_slice(&integers.data))
    })?)
}
