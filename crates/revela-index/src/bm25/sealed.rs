//! A tantivy directory that never changes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, OwnedBytes, WatchCallback, WatchHandle,
    WritePtr,
};

use crate::guard::Watch;

/// Reads a finished index without creating lock files, so that a read-only disk can be searched.
///
/// tantivy locks a folder while it opens it, against a writer that collects garbage there. A finished
/// index has no writer, so the lock is not taken; every change is refused.
#[derive(Clone, Debug)]
pub(super) struct SealedDirectory {
    directory: MmapDirectory,
    watched: Watched,
}

/// The files that were opened. They stay mapped as long as they are watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched(Arc<Mutex<Vec<(Watch, OwnedBytes, PathBuf)>>>);

impl Watched {
    /// A file that lost bytes which were read, if there is one.
    pub(super) fn lost(&self) -> Option<PathBuf> {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().find(|(watch, ..)| watch.lost()).map(|(.., path)| path.clone())
    }
}

impl SealedDirectory {
    pub(super) fn new(directory: MmapDirectory) -> Self {
        Self { directory, watched: Watched::default() }
    }

    pub(super) fn watched(&self) -> Watched {
        self.watched.clone()
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "a finished text index is never changed")
}

impl Directory for SealedDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let handle = self.directory.get_file_handle(path)?;
        let bytes = handle
            .read_bytes(0..handle.len())
            .map_err(|error| OpenReadError::wrap_io_error(error, path.to_owned()))?;
        let mut files = self.watched.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.push((Watch::new(&bytes), bytes, path.to_owned()));
        Ok(handle)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(refused()), filepath: path.to_owned() })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.directory.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(refused(), path.to_owned()))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.directory.atomic_read(path)
    }

    fn atomic_write(&self, _path: &Path, _data: &[u8]) -> io::Result<()> {
        Err(refused())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _lock: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
