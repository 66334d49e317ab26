//! Files mapped into memory for reading.
#![allow(unsafe_code)]

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use revela_base::file::FileError;

/// A whole file as bytes that the system reads in when they are touched.
///
/// The bytes stay valid when the file is deleted or replaced under its name, which is how Revela changes
/// files. Cutting or overwriting a mapped file in place, which Revela never does, is outside of what any
/// process can defend against: reads may then see the new bytes, or end the process.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    map: Mmap,
    /// Holds a shared lock, which tells writers that the file is in use.
    _file: File,
}

impl MappedFile {
    /// Maps a file; an empty one gives no bytes.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::io("open", path))?;
        // Only who removes the file locks it exclusively. A system without locks is no reason to fail.
        if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return Err(FileError::Locked { path: path.to_owned() });
        }
        // It may have been removed between opening and locking.
        std::fs::metadata(path).map_err(FileError::io("open", path))?;
        // SAFETY: the file is only ever read here, and the type's documentation states what is assumed of
        // other programs; every offset into the bytes is checked against their length.
        let map = unsafe { Mmap::map(&file) }.map_err(FileError::io("map", path))?;
        Ok(Self { path: path.to_owned(), map, _file: file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_outlive_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"abc").unwrap();
        let mapped = MappedFile::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mapped.bytes(), b"abc");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(MappedFile::open(&path).unwrap().bytes(), b"");
        assert!(MappedFile::open(dir.path().join("absent").as_path()).is_err());
    }
}
