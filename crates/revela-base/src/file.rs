//! Atomic writes, directory locks, and the error type that carries path and operation.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What can go wrong with a file that Revela reads or writes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried: "open", "write", "rename", ...
        operation: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not of the format that was asked for.
    #[error("{} is not a {expected} file: {detail}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format name that the reader wanted.
        expected: String,
        /// What was found instead.
        detail: String,
    },
    /// The file's version is not one that this program reads.
    #[error(
        "{} is {format} version {found}, but this program reads {supported}; \
         write it again, or use the program that wrote it", path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format name.
        format: String,
        /// Its version.
        found: u32,
        /// The versions that can be read, as text.
        supported: String,
    },
    /// The file is damaged: truncated, or its checksum does not match.
    #[error("{} is damaged: {detail}; restore it or write it again", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// A line of a text file cannot be used.
    #[error("{}:{line}: {detail}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// Why it cannot be used.
        detail: String,
    },
    /// The target exists and would be overwritten.
    #[error("{} already exists; choose another name or remove it first", path.display())]
    Exists {
        /// The file or folder that is in the way.
        path: PathBuf,
    },
    /// Another process works in the folder.
    #[error("{} is in use by another process; wait for it or choose another folder", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
}

impl FileError {
    /// For `map_err`: turns an I/O error into one that names operation and path.
    pub fn io<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }

    /// A damaged file.
    pub fn corrupt(path: &Path, detail: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), detail: detail.into() }
    }
}

/// Checks a version against the inclusive range that a reader supports.
///
/// # Errors
/// [`FileError::Version`] for one outside of it.
pub fn check_version(
    path: &Path,
    format: &str,
    found: u32,
    supported: std::ops::RangeInclusive<u32>,
) -> Result<(), FileError> {
    if supported.contains(&found) {
        return Ok(());
    }
    let supported = if supported.start() == supported.end() {
        format!("version {}", supported.start())
    } else {
        format!("versions {} to {}", supported.start(), supported.end())
    };
    Err(FileError::Version { path: path.to_owned(), format: format.to_owned(), found, supported })
}

/// A name beside `path` for what is not finished yet; never the name of anything finished.
pub(crate) fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Makes a rename or a new file in `dir` survive a power cut.
pub fn sync_dir(dir: &Path) -> Result<(), FileError> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|d| d.sync_all()).map_err(FileError::io("sync", dir))
}

/// A file that appears under its name only when it is whole.
///
/// Bytes go to a temporary name in the same folder; [`commit`](Self::commit) flushes, syncs and
/// renames. Dropped without commit, the temporary file is removed and whatever stood under the name
/// before is untouched.
pub struct AtomicFile {
    target: PathBuf,
    temporary: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Starts a file that will replace `target`.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        let temporary = temporary_beside(target);
        let file = File::create(&temporary).map_err(FileError::io("create", &temporary))?;
        Ok(Self {
            target: target.to_owned(),
            temporary,
            writer: Some(BufWriter::with_capacity(1 << 16, file)),
        })
    }

    /// Syncs the bytes and gives the file its name.
    pub fn commit(mut self) -> Result<(), FileError> {
        if let Some(writer) = self.writer.take() {
            let file = writer
                .into_inner()
                .map_err(|e| FileError::io("write", &self.target)(e.into_error()))
                .inspect_err(|_| remove_quietly(&self.temporary))?;
            file.sync_all()
                .map_err(FileError::io("sync", &self.target))
                .inspect_err(|_| remove_quietly(&self.temporary))?;
        }
        fs::rename(&self.temporary, &self.target)
            .map_err(FileError::io("rename", &self.target))
            .inspect_err(|_| remove_quietly(&self.temporary))?;
        sync_dir(self.target.parent().unwrap_or(Path::new(".")))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.writer {
            Some(writer) => writer.write(bytes),
            None => Err(io::Error::other("the file is already committed")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            remove_quietly(&self.temporary);
        }
    }
}

fn remove_quietly(path: &Path) {
    // Nothing better can be done with a failure here: the name is never read, and a later run with the
    // same name truncates it.
    let _ = fs::remove_file(path);
}

/// Writes a whole file atomically.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    let mut file = AtomicFile::create(path)?;
    write(&mut file).map_err(FileError::io("write", path))?;
    file.commit()
}

/// Creates a folder and its parents.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::io("create", path))
}

/// Held while a process writes into a folder; the system releases it when the process ends, however
/// it ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock, creating the folder if needed.
    ///
    /// # Errors
    /// [`FileError::Locked`] while another process, or another lock of this one, holds it.
    pub fn acquire(dir: &Path) -> Result<Self, FileError> {
        create_dir(dir)?;
        let path = dir.join(".lock");
        let file = File::create(&path).map_err(FileError::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FileError::Locked { path: dir.to_owned() }),
            Err(TryLockError::Error(e)) => Err(FileError::io("lock", &path)(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_replaces_and_drop_keeps_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, |w| w.write_all(b"one")).unwrap();
        let mut half = AtomicFile::create(&path).unwrap();
        half.write_all(b"tw").unwrap();
        drop(half);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write_atomic(&path, |w| w.write_all(b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, |w| w.write_all(b"one")).unwrap();
        let error = write_atomic(&path, |_| Err(io::Error::other("disk full"))).unwrap_err();
        assert!(error.to_string().contains("a.txt") && error.to_string().contains("disk full"));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn second_lock_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path()).unwrap();
        assert!(matches!(DirLock::acquire(dir.path()), Err(FileError::Locked { .. })));
        drop(first);
        DirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn versions_outside_the_range_say_what_is_read() {
        let error = check_version(Path::new("f"), "revela.x", 3, 1..=2).unwrap_err();
        assert!(error.to_string().contains("versions 1 to 2"), "{error}");
        check_version(Path::new("f"), "revela.x", 2, 1..=2).unwrap();
    }
}
