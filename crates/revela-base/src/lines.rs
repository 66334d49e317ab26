//! JSON-lines files that can be read as a stream and still prove that they are whole.
//!
//! The first line is a header (`{"format": ..., "version": ..., ...}`), then one record a line, then a
//! trailer (`{"end": {"records": n, "blake3": "..."}}`) whose checksum covers every byte before it. A
//! reader that reaches the end without a trailer knows that the file was cut.

use std::io::{BufRead, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checksum::{Checksum, HashingWriter};
use crate::compressed;
use crate::file::{AtomicFile, FileError, check_version};

#[derive(Serialize, Deserialize)]
struct Header<M> {
    format: String,
    version: u32,
    #[serde(flatten)]
    meta: M,
}

#[derive(Serialize, Deserialize)]
struct Trailer {
    end: End,
}

#[derive(Serialize, Deserialize)]
struct End {
    records: u64,
    blake3: Checksum,
}

/// Writes one such file; it appears under its name when [`finish`](Self::finish) succeeds.
pub struct LinesWriter {
    path: PathBuf,
    out: HashingWriter<AtomicFile>,
    records: u64,
}

impl LinesWriter {
    /// Starts a file; `meta` becomes the rest of the header.
    pub fn create<M: Serialize>(
        path: &Path,
        format: &str,
        version: u32,
        meta: &M,
    ) -> Result<Self, FileError> {
        let mut writer =
            Self { path: path.to_owned(), out: HashingWriter::new(AtomicFile::create(path)?), records: 0 };
        writer.line(&Header { format: format.to_owned(), version, meta })?;
        Ok(writer)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), FileError> {
        let mut bytes = serde_json::to_vec(value)
            .map_err(|e| FileError::io("encode a record of", &self.path)(e.into()))?;
        bytes.push(b'\n');
        self.out.write_all(&bytes).map_err(FileError::io("write", &self.path))
    }

    /// Adds a record.
    pub fn push(&mut self, record: &impl Serialize) -> Result<(), FileError> {
        self.records += 1;
        self.line(record)
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Writes the trailer and gives the file its name. Returns the number of records.
    pub fn finish(mut self) -> Result<u64, FileError> {
        let trailer = Trailer { end: End { records: self.records, blake3: self.out.checksum() } };
        self.line(&trailer)?;
        self.out.into_inner().commit()?;
        Ok(self.records)
    }
}

/// Reads such a file as a stream of records of type `T`.
///
/// Yields an error, and nothing after it, when a record does not parse or the trailer is missing or
/// does not match.
pub struct LinesReader<T> {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    hasher: HashingWriter<std::io::Sink>,
    line: Vec<u8>,
    number: u64,
    records: u64,
    done: bool,
    record: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> LinesReader<T> {
    /// Opens a file, which may be packed (see [`compressed::open`]), and checks format and version; returns the
    /// reader and the header's own fields.
    pub fn open<M: DeserializeOwned>(
        path: &Path,
        format: &str,
        versions: RangeInclusive<u32>,
    ) -> Result<(Self, M), FileError> {
        let input = compressed::open(path)?;
        let mut reader = Self {
            path: path.to_owned(),
            input,
            hasher: HashingWriter::new(std::io::sink()),
            line: Vec::new(),
            number: 0,
            records: 0,
            done: false,
            record: std::marker::PhantomData,
        };
        let not_ours =
            |detail: String| FileError::Format { path: path.to_owned(), expected: format.to_owned(), detail };
        if !reader.read_line()? {
            return Err(not_ours("it is empty".into()));
        }
        let head: Header<serde_json::Value> = serde_json::from_slice(&reader.line)
            .map_err(|e| not_ours(format!("the first line is not its header ({e})")))?;
        if head.format != format {
            return Err(not_ours(format!("it says that it is {}", head.format)));
        }
        check_version(path, format, head.version, versions)?;
        let meta = serde_json::from_value(head.meta)
            .map_err(|e| not_ours(format!("its header does not fit: {e}")))?;
        reader.take_line();
        Ok((reader, meta))
    }

    fn read_line(&mut self) -> Result<bool, FileError> {
        self.line.clear();
        self.number += 1;
        let n = self.input.read_until(b'\n', &mut self.line).map_err(FileError::io("read", &self.path))?;
        Ok(n > 0)
    }

    fn take_line(&mut self) {
        // A sink never fails.
        let _ = self.hasher.write_all(&self.line);
    }

    fn step(&mut self) -> Result<Option<T>, FileError> {
        if !self.read_line()? {
            return Err(FileError::corrupt(&self.path, "it ends without its trailer: it was cut short"));
        }
        if self.line.starts_with(b"{\"end\":")
            && let Ok(Trailer { end }) = serde_json::from_slice(&self.line)
        {
            return self.check_end(&end).map(|()| None);
        }
        let record = serde_json::from_slice(&self.line).map_err(|e| FileError::Line {
            path: self.path.clone(),
            line: self.number,
            detail: e.to_string(),
        })?;
        self.take_line();
        self.records += 1;
        Ok(Some(record))
    }

    fn check_end(&mut self, end: &End) -> Result<(), FileError> {
        if end.records != self.records {
            let detail = format!("it holds {} records where its trailer says {}", self.records, end.records);
            return Err(FileError::corrupt(&self.path, detail));
        }
        if end.blake3 != self.hasher.checksum() {
            return Err(FileError::corrupt(&self.path, "its checksum does not match"));
        }
        if self.read_line()? {
            return Err(FileError::corrupt(&self.path, "text follows its trailer"));
        }
        Ok(())
    }
}

impl<T: DeserializeOwned> Iterator for LinesReader<T> {
    type Item = Result<T, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.step().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Meta {
        k: u32,
    }

    fn write(path: &Path, records: &[&str]) {
        let mut writer = LinesWriter::create(path, "revela.test", 1, &Meta { k: 3 }).unwrap();
        for record in records {
            writer.push(record).unwrap();
        }
        writer.finish().unwrap();
    }

    fn read(path: &Path) -> Result<Vec<String>, FileError> {
        let (reader, meta) = LinesReader::open::<Meta>(path, "revela.test", 1..=1)?;
        assert_eq!(meta, Meta { k: 3 });
        reader.collect()
    }

    #[test]
    fn round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        write(&path, &["one", "two\nlines", "{\"end\":"]);
        assert_eq!(read(&path).unwrap(), ["one", "two\nlines", "{\"end\":"]);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        write(&path, &["one", "two"]);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() - 1 {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(read(&path).is_err(), "cut at {cut}");
        }
        // The newline after the trailer carries nothing, so the last byte is left out.
        for at in 0..whole.len() - 1 {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let survived = std::panic::catch_unwind(|| read(&path))
                .unwrap_or_else(|_| Err(FileError::corrupt(&path, "the header's own fields differ")));
            assert!(survived.is_err(), "flipped bit in byte {at}");
        }
    }

    #[test]
    fn another_format_and_a_newer_version_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        LinesWriter::create(&path, "revela.other", 1, &Meta { k: 3 }).unwrap().finish().unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("revela.other"));
        LinesWriter::create(&path, "revela.test", 9, &Meta { k: 3 }).unwrap().finish().unwrap();
        assert!(matches!(read(&path), Err(FileError::Version { found: 9, .. })));
        fs::write(&path, "").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("empty"));
    }
}
