//! What stands under a name that is to be written, and so how it is written.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::file::FileError;

/// The name that means standard output wherever a file is asked for.
const STANDARD: &str = "-";

/// Links are followed no further than this, as in Linux.
const LONGEST_CHAIN: usize = 40;

/// Where the bytes for a name go.
#[derive(Debug)]
pub(crate) enum Destination {
    /// To standard output.
    Standard,
    /// Into what stands there: a FIFO, a device, an open descriptor. Replacing it would take it away from
    /// those who read it.
    Into(PathBuf),
    /// Into a new file that takes this name when it is whole. Links have been followed.
    Replace {
        path: PathBuf,
        /// The regular file that has the name now.
        old: Option<Metadata>,
    },
}

impl Destination {
    pub(crate) fn of(name: &Path) -> Result<Self, FileError> {
        if is_standard_output(name) {
            return Ok(Self::Standard);
        }
        let old = match fs::metadata(name) {
            Ok(old) if old.is_dir() => {
                let error = io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name a file");
                return Err(FileError::io("write", name)(error));
            }
            Ok(old) if !old.is_file() => return Ok(Self::Into(name.to_owned())),
            Ok(old) => Some(old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(FileError::io("open", name)(error)),
        };
        Ok(match follow(name)? {
            Followed::Descriptor => Self::Into(name.to_owned()),
            Followed::Path(path) => Self::Replace { path, old },
        })
    }
}

/// Whether this name means standard output: `-`, or what systems call it.
pub fn is_standard_output(name: &Path) -> bool {
    [STANDARD, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|other| name == Path::new(other))
}

/// Where links lead.
enum Followed {
    /// To a descriptor that a process has open; what it is open on may have no name.
    Descriptor,
    Path(PathBuf),
}

/// Follows the links that the last part of a path may be, to something that exists or not.
fn follow(name: &Path) -> Result<Followed, FileError> {
    let mut path = name.to_owned();
    for _ in 0..LONGEST_CHAIN {
        let folder = path.parent().unwrap_or(Path::new(""));
        if folder == Path::new("/dev/fd") || (folder.starts_with("/proc") && folder.ends_with("fd")) {
            return Ok(Followed::Descriptor);
        }
        match fs::read_link(&path) {
            Ok(target) => path = folder.join(target),
            // It is no link, or nothing is there.
            Err(_) => return Ok(Followed::Path(path)),
        }
    }
    Err(FileError::io("follow the links of", name)(io::Error::other("they never end")))
}

/// The folder that a name means, with links followed, whether it is there or not.
pub(crate) fn folder(name: &Path) -> Result<PathBuf, FileError> {
    match follow(name)? {
        Followed::Path(path) if !path.exists() || path.is_dir() => Ok(path),
        _ => Err(FileError::Exists { path: name.to_owned() }),
    }
}

/// Opens what is no regular file. What has been written to it before stays.
pub(crate) fn open_into(path: &Path) -> Result<File, FileError> {
    OpenOptions::new().append(true).open(path).map_err(FileError::io("open", path))
}

/// Gives a new file owner and mode of the one that it will replace.
pub(crate) fn take_after(new: &File, old: &Metadata, shown: &Path) -> Result<(), FileError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let (uid, gid) = (old.uid(), old.gid());
        let now = new.metadata().map_err(FileError::io("look at", shown))?;
        if (now.uid(), now.gid()) != (uid, gid) {
            // Only the superuser can give files away; for others the file becomes theirs, as it always did.
            let _ = fchown(new, Some(uid), Some(gid));
        }
    }
    new.set_permissions(old.permissions()).map_err(FileError::io("set the mode of", shown))
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::process::Command;

    use super::*;
    use crate::file::{AtomicFile, check_writable, write_atomic};

    fn write(path: &Path, text: &str) -> Result<(), FileError> {
        write_atomic(path, |out| out.write_all(text.as_bytes()))
    }

    fn fifo(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().is_ok_and(|status| status.success()));
    }

    #[test]
    fn a_fifo_is_written_into_and_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("f"), dir.path().join("l"));
        fifo(&path);
        symlink("f", &link).unwrap();
        check_writable(&path).unwrap();
        for name in [&path, &link] {
            let from = path.clone();
            let reader = std::thread::spawn(move || {
                let mut text = String::new();
                File::open(from).unwrap().read_to_string(&mut text).unwrap();
                text
            });
            write(name, "through the pipe").unwrap();
            assert_eq!(reader.join().unwrap(), "through the pipe");
            assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing temporary is left");
    }

    #[test]
    fn links_are_followed_wherever_they_lead() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("d")).unwrap();
        for (name, target) in [("one", "two"), ("two", "d/real"), ("dangling", "d/new")] {
            symlink(target, at(name)).unwrap();
        }
        fs::write(at("d/real"), "old").unwrap();
        write(&at("one"), "new").unwrap();
        write(&at("dangling"), "first").unwrap();
        assert_eq!(fs::read_to_string(at("d/real")).unwrap(), "new");
        assert_eq!(fs::read_to_string(at("d/new")).unwrap(), "first");
        assert!(["one", "two", "dangling"].iter().all(|name| at(name).is_symlink()));
        assert_eq!(fs::read_dir(at("d")).unwrap().count(), 2, "nothing temporary is left");
        symlink("loop", at("loop")).unwrap();
        assert!(write(&at("loop"), "x").is_err());
        assert!(write(&at("d"), "x").unwrap_err().to_string().contains("is a folder"));
    }

    #[test]
    fn modes_are_kept_from_the_first_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        for wanted in [0o600, 0o664, 0o444, 0o755] {
            fs::write(dir.path().join("new"), "old").unwrap();
            fs::rename(dir.path().join("new"), &path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(wanted)).unwrap();
            let mut file = AtomicFile::create(&path).unwrap();
            file.write_all(b"new").unwrap();
            file.flush().unwrap();
            for entry in fs::read_dir(dir.path()).unwrap() {
                assert_eq!(mode(&entry.unwrap().path()), wanted);
            }
            file.commit().unwrap();
            assert_eq!((mode(&path), fs::read_to_string(&path).unwrap().as_str()), (wanted, "new"));
        }
    }

    #[test]
    fn an_open_descriptor_is_written_to_where_it_stands() {
        use std::os::fd::AsRawFd;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "before ").unwrap();
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        write(Path::new(&format!("/dev/fd/{}", file.as_raw_fd())), "after").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before after");
    }

    #[test]
    fn a_full_device_is_an_error_and_stays_a_device() {
        let full = Path::new("/dev/full");
        if matches!(Destination::of(full), Ok(Destination::Into(_))) {
            assert!(write(full, "x").unwrap_err().to_string().contains("/dev/full"));
        }
    }

    #[test]
    fn standard_output_has_several_names_and_a_folder_named_like_it_one() {
        assert!(["-", "/dev/stdout"].iter().all(|name| is_standard_output(Path::new(name))));
        assert!(!is_standard_output(Path::new("./-")));
    }

    #[test]
    fn what_cannot_be_written_is_known_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_writable(&dir.path().join("absent/a")).is_err());
        assert!(check_writable(dir.path()).is_err());
        check_writable(&dir.path().join("a")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
