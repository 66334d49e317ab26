//! Files mapped into memory for reading.
#![allow(unsafe_code)]

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use revela_base::file::FileError;

use crate::guard::Watch;

/// A whole file as bytes that the system reads in when they are touched.
///
/// The bytes stay valid when the file is deleted or replaced under its name, which is how Revela changes
/// files. When somebody overwrites the file in place, which Revela never does, reads see the new bytes, and
/// when somebody cuts it, they end the process, unless it asked for
/// [`survive_truncated_files`](crate::survive_truncated_files): then they see zeros, and
/// [`check`](Self::check) tells.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    watch: Watch,
    map: Mmap,
    /// Holds a shared lock, which tells writers that the file is in use.
    file: File,
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
        Ok(Self { path: path.to_owned(), watch: Watch::new(&map), map, file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Fails when something that was read was not there.
    pub(crate) fn check(&self) -> Result<(), FileError> {
        match self.watch.lost() {
            true => Err(cut(&self.path)),
            false => Ok(()),
        }
    }

    /// Whether the file still has all of its bytes.
    pub(crate) fn is_whole(&self) -> bool {
        self.file.metadata().is_ok_and(|now| now.len() >= self.map.len() as u64)
    }
}

/// What is told of a file that was cut while it was read.
pub(crate) fn cut(path: &Path) -> FileError {
    FileError::corrupt(path, "it was cut short, or its disk failed, while it was open; put it back as it was")
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
