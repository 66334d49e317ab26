//! Embeddings that are finished, kept so that a build or an addition that was killed goes on from them.
//!
//! One file beside the shards, gone once the change is made. Embedding takes nearly all of the time, so
//! this is all that is kept: whoever starts again reads the passages again, and those whose embeddings are
//! here are not embedded again, whatever the order. The file begins with magic (8 bytes), version and
//! dimension (u32 each); then come records: number of rows (u32), the checksum of what was embedded and by
//! what (64), the numbers (f32), and the BLAKE3 of all that (64). What follows the last whole record, which
//! is where the kill came, is cut off.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use revela_base::checksum::{Checksum, Fingerprint};
use revela_base::embed::{EmbedError, Embedder, TextKind};
use revela_base::file::FileError;
use revela_search::Passage;

use crate::error::Error;

/// Its name in a collection's folder.
pub(super) const FILE: &str = "embeddings.spool";

const MAGIC: &[u8; 8] = b"RVLSPOOL";
const VERSION: u32 = 1;
const HEAD: usize = 16;
const DIGEST: usize = 64;

/// Finished embeddings, by what was embedded.
pub(super) struct Spool {
    path: PathBuf,
    file: File,
    dim: usize,
    /// Where the numbers of a record begin, and how many rows they are.
    records: HashMap<Checksum, (u64, usize)>,
    end: u64,
}

impl Spool {
    /// Opens the file in a collection's folder, or begins it. What is not such a file for this dimension
    /// is begun anew.
    pub(super) fn open(dir: &Path, dim: usize) -> Result<Self, FileError> {
        let path = dir.join(FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(FileError::io("open", &path))?;
        let mut spool = Self { path, file, dim, records: HashMap::new(), end: HEAD as u64 };
        spool.read_records().map_err(FileError::io("read", &spool.path))?;
        spool.file.set_len(spool.end).map_err(FileError::io("write", &spool.path))?;
        Ok(spool)
    }

    fn head(&self) -> Vec<u8> {
        let dim = self.dim as u32;
        [MAGIC.as_slice(), &VERSION.to_le_bytes(), &dim.to_le_bytes()].concat()
    }

    /// Finds the whole records; writes the head where there is none.
    fn read_records(&mut self) -> std::io::Result<()> {
        let length = self.file.metadata()?.len();
        let mut input = BufReader::new(self.file.try_clone()?);
        let mut head = [0; HEAD];
        let known = input.read_exact(&mut head).is_ok() && head.as_slice() == self.head();
        if !known {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            return self.file.write_all(&self.head());
        }
        let mut record = Vec::new();
        while let Some((key, rows)) = self.read_record(&mut input, &mut record, length)? {
            self.records.insert(key, (self.end + 4 + DIGEST as u64, rows));
            self.end += record.len() as u64;
        }
        Ok(())
    }

    /// The next whole record; nothing at the end or where it is cut or damaged.
    fn read_record(
        &self,
        input: &mut impl Read,
        record: &mut Vec<u8>,
        length: u64,
    ) -> std::io::Result<Option<(Checksum, usize)>> {
        let mut rows = [0; 4];
        if input.read_exact(&mut rows).is_err() {
            return Ok(None);
        }
        let count = u32::from_le_bytes(rows) as usize;
        let rest = 2 * DIGEST as u64 + count as u64 * self.dim as u64 * 4;
        if self.end + 4 + rest > length {
            return Ok(None);
        }
        record.clear();
        record.extend_from_slice(&rows);
        input.take(rest).read_to_end(record)?;
        let (covered, digest) = record.split_at(record.len() - DIGEST);
        let key = covered.get(4..4 + DIGEST).and_then(parse);
        Ok(key.filter(|_| parse(digest) == Some(Checksum::of(covered))).map(|key| (key, count)))
    }

    /// The embeddings of these passages, from here or else from the embedder. Those that pass the check are
    /// kept, so that a device that failed once is asked again.
    pub(super) fn embed(
        &mut self,
        embedder: &dyn Embedder,
        passages: &[Passage],
        check: impl FnOnce(&[f32]) -> Result<(), Error>,
    ) -> Result<Vec<f32>, Error> {
        let key = passages
            .iter()
            .fold(Fingerprint::new().part("encoder", embedder.fingerprint().to_string()), |key, passage| {
                key.part("passage", passage.full_text().as_bytes())
            });
        let key = key.finish();
        if let Some(&(at, rows)) = self.records.get(&key)
            && rows == passages.len()
        {
            return Ok(self.read(at, rows)?);
        }
        let texts: Vec<_> = passages.iter().map(Passage::full_text).collect();
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let data = embedder.embed(TextKind::Passage, &texts)?;
        if data.len() != passages.len() * self.dim {
            let detail = format!("it gave {} numbers for {} texts", data.len(), passages.len());
            return Err(EmbedError(detail.into()).into());
        }
        check(&data)?;
        self.append(key, passages.len(), &data)?;
        Ok(data)
    }

    fn read(&mut self, at: u64, rows: usize) -> Result<Vec<f32>, FileError> {
        let mut data = vec![0f32; rows * self.dim];
        let bytes = bytemuck::cast_slice_mut(&mut data);
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(bytes));
        read.map_err(FileError::io("read", &self.path))?;
        Ok(data)
    }

    fn append(&mut self, key: Checksum, rows: usize, data: &[f32]) -> Result<(), FileError> {
        let mut record = (rows as u32).to_le_bytes().to_vec();
        record.extend_from_slice(key.to_string().as_bytes());
        record.extend_from_slice(bytemuck::cast_slice(data));
        let checksum = Checksum::of(&record).to_string();
        record.extend_from_slice(checksum.as_bytes());
        let written = self.file.seek(SeekFrom::Start(self.end)).and_then(|_| self.file.write_all(&record));
        written.and_then(|()| self.file.sync_data()).map_err(FileError::io("write", &self.path))?;
        self.records.insert(key, (self.end + 4 + DIGEST as u64, rows));
        self.end += record.len() as u64;
        Ok(())
    }
}

/// Removes the file, where there is one.
pub(super) fn remove(dir: &Path) -> Result<(), FileError> {
    remove_if_there(&dir.join(FILE))
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn parse(digits: &[u8]) -> Option<Checksum> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::metric::Metric;
    use crate::testing::HashEmbedder;

    struct Counting(HashEmbedder, AtomicUsize);

    impl Embedder for Counting {
        fn dimension(&self) -> usize {
            self.0.dimension()
        }

        fn fingerprint(&self) -> Checksum {
            self.0.fingerprint()
        }

        fn metric(&self) -> Metric {
            self.0.metric()
        }

        fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
            self.1.fetch_add(texts.len(), Ordering::Relaxed);
            self.0.embed(kind, texts)
        }
    }

    fn passages(word: &str) -> Vec<Passage> {
        let passage = |n| Passage { id: format!("{n}"), title: String::new(), text: format!("{word} {n}") };
        (0..3).map(passage).collect()
    }

    fn embedded(dir: &Path, embedder: &Counting) -> Vec<Vec<f32>> {
        let mut spool = Spool::open(dir, 16).unwrap();
        ["one", "two", "three"]
            .map(|word| spool.embed(embedder, &passages(word), |_| Ok(())).unwrap())
            .to_vec()
    }

    #[test]
    fn whole_records_are_used_again_wherever_the_file_is_cut_or_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let embedder = Counting(HashEmbedder::new(16), AtomicUsize::new(0));
        let calls = || embedder.1.swap(0, Ordering::Relaxed);
        let data = embedded(dir.path(), &embedder);
        assert_eq!((calls(), data.len()), (9, 3));
        assert_eq!(embedded(dir.path(), &embedder), data);
        assert_eq!(calls(), 0);
        let whole = std::fs::read(dir.path().join(FILE)).unwrap();
        let record = (whole.len() - HEAD) / 3;
        for at in (0..whole.len()).step_by(37) {
            let left = at.saturating_sub(HEAD) / record;
            std::fs::write(dir.path().join(FILE), &whole[..at]).unwrap();
            assert_eq!(embedded(dir.path(), &embedder), data, "cut at {at}");
            assert_eq!(calls(), 9 - 3 * left, "cut at {at}");
            let mut bad = whole.clone();
            bad[at] ^= 16;
            std::fs::write(dir.path().join(FILE), &bad).unwrap();
            assert_eq!(embedded(dir.path(), &embedder), data, "byte {at}");
            assert_eq!(calls(), 9 - 3 * left, "byte {at}");
        }
        remove(dir.path()).unwrap();
        remove(dir.path()).unwrap();
        embedded(dir.path(), &embedder);
        assert_eq!(calls(), 9);
    }
}
