//! Atomic writes, directory locks, and the error type that carries path and operation.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};

use crate::destination::{self, Destination};

pub use crate::destination::is_standard_output;

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
/// before is untouched. A file that is replaced hands on its mode; links are followed.
///
/// What is no regular file (a FIFO, a device, an open descriptor) is not replaced: bytes are written into it as
/// they come. `-` and `/dev/stdout` are standard output.
pub struct AtomicFile {
    shown: PathBuf,
    sink: Option<Sink>,
}

enum Sink {
    Standard(BufWriter<Stdout>),
    Into(BufWriter<File>),
    Replace { target: PathBuf, temporary: PathBuf, writer: BufWriter<File> },
}

/// Bytes that are collected before the system is asked.
const BUFFER: usize = 1 << 16;

impl AtomicFile {
    /// Starts a file that will replace `target`, or be written into what stands there.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        let sink = match Destination::of(target)? {
            Destination::Standard => Sink::Standard(BufWriter::with_capacity(BUFFER, io::stdout())),
            Destination::Into(path) => {
                Sink::Into(BufWriter::with_capacity(BUFFER, destination::open_into(&path)?))
            }
            Destination::Replace { path, old } => {
                let temporary = temporary_beside(&path);
                // One that a killed process left. A link that somebody put there is not followed.
                remove_quietly(&temporary);
                let file = File::create_new(&temporary).map_err(FileError::io("create", &temporary))?;
                if let Some(old) = old {
                    destination::take_after(&file, &old, target)
                        .inspect_err(|_| remove_quietly(&temporary))?;
                }
                Sink::Replace { target: path, temporary, writer: BufWriter::with_capacity(BUFFER, file) }
            }
        };
        Ok(Self { shown: target.to_owned(), sink: Some(sink) })
    }

    /// Syncs the bytes and gives the file its name.
    pub fn commit(mut self) -> Result<(), FileError> {
        let shown = &self.shown;
        match self.sink.take() {
            None => Ok(()),
            Some(Sink::Standard(mut writer)) => writer.flush().map_err(FileError::io("write", shown)),
            Some(Sink::Into(writer)) => match whole(writer, shown)?.sync_all() {
                // Pipes and many devices have nothing to sync.
                Err(e) if !matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                    Err(FileError::io("sync", shown)(e))
                }
                _ => Ok(()),
            },
            Some(Sink::Replace { target, temporary, writer }) => {
                let replace = || {
                    whole(writer, shown)?.sync_all().map_err(FileError::io("sync", shown))?;
                    fs::rename(&temporary, &target).map_err(FileError::io("rename", shown))
                };
                replace().inspect_err(|_| remove_quietly(&temporary))?;
                sync_dir(target.parent().unwrap_or(Path::new(".")))
            }
        }
    }
}

/// The file after all bytes have reached it.
fn whole(writer: BufWriter<File>, shown: &Path) -> Result<File, FileError> {
    writer.into_inner().map_err(|e| FileError::io("write", shown)(e.into_error()))
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sink {
            Some(Sink::Standard(writer)) => writer.write(bytes),
            Some(Sink::Into(writer) | Sink::Replace { writer, .. }) => writer.write(bytes),
            None => Err(io::Error::other("the file is already committed")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Some(Sink::Standard(writer)) => writer.flush(),
            Some(Sink::Into(writer) | Sink::Replace { writer, .. }) => writer.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(Sink::Replace { temporary, .. }) = &self.sink {
            remove_quietly(temporary);
        }
    }
}

/// Fails for a file that could not be written, so that this is known before the work whose result it is for.
///
/// # Errors
/// As [`AtomicFile::create`]. What is no regular file is not opened: a FIFO would wait for its reader.
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    match Destination::of(path)? {
        Destination::Replace { .. } => AtomicFile::create(path).map(drop),
        Destination::Standard | Destination::Into(_) => Ok(()),
    }
}

fn remove_quietly(path: &Path) {
    // Nothing better can be done with a failure here: the name is never read, and a later run with the
    // same name truncates it.
    let _ = fs::remove_file(path);
}

/// Where what is collected for a file waits: in its own folder, which has room for it, or, for what is no regular
/// file, where the system keeps temporary files.
///
/// # Errors
/// As [`AtomicFile::create`].
pub fn folder_for_spools(path: &Path) -> Result<PathBuf, FileError> {
    Ok(match Destination::of(path)? {
        Destination::Replace { path, .. } => match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        },
        Destination::Standard | Destination::Into(_) => std::env::temp_dir(),
    })
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
