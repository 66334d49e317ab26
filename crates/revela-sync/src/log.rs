//! What happened to a collection since what is known of its files was last written as a whole.
//!
//! A file of lines: a checksum (16 hexadecimal digits), a blank, JSON. The first line names format and version. A line
//! that is not whole is the last: the kill came there.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use revela_base::checksum::Checksum;
use revela_base::file::{FileError, check_version};
use serde::{Deserialize, Serialize};

use crate::record::Named;

/// Its name in a collection's folder.
pub(crate) const FILE: &str = "sync.log";

const FORMAT: &str = "revela.sync.log";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The passages of these files, and of no others, are about to change in the collection of this generation.
    Begin {
        /// The collection's generation before.
        generation: u64,
        /// The files.
        paths: Vec<String>,
    },
    /// In the collection of this generation, this is known of these files.
    Known {
        /// The collection's generation.
        generation: u64,
        /// What is known.
        records: Vec<Named>,
        /// Files that are gone.
        gone: Vec<String>,
    },
}

impl Event {
    pub(crate) fn generation(&self) -> u64 {
        match self {
            Self::Begin { generation, .. } | Self::Known { generation, .. } => *generation,
        }
    }
}

/// The log, open at its end.
pub(crate) struct Log {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl Log {
    /// Reads the log in a collection's folder, and makes it ready to be added to. One that is not there is empty.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Vec<Event>), FileError> {
        let path = dir.join(FILE);
        let mut log = Self { path, file: None, bytes: 0 };
        let events = match File::open(&log.path) {
            Ok(file) => log.read(file)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(FileError::io("open", &log.path)(error)),
        };
        Ok((log, events))
    }

    fn read(&mut self, file: File) -> Result<Vec<Event>, FileError> {
        let (mut input, mut line, mut events) = (BufReader::new(file), Vec::new(), Vec::new());
        loop {
            line.clear();
            input.read_until(b'\n', &mut line).map_err(FileError::io("read", &self.path))?;
            let Some(json) = checked(&line) else { break };
            if self.bytes == 0 {
                let Ok(head) = serde_json::from_slice::<Head>(json) else { break };
                if head.format != FORMAT {
                    break;
                }
                check_version(&self.path, FORMAT, head.version, VERSION..=VERSION)?;
            } else if let Ok(event) = serde_json::from_slice(json) {
                events.push(event);
            } else {
                break;
            }
            self.bytes += line.len() as u64;
        }
        Ok(events)
    }

    /// Adds a line. With `durable`, it is on the disk before this returns.
    pub(crate) fn push(&mut self, event: &Event, durable: bool) -> Result<(), FileError> {
        let path = self.path.clone();
        if self.file.is_none() {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
            let mut file = file.map_err(FileError::io("open", &path))?;
            // What is behind the last whole line was never said.
            file.set_len(self.bytes).map_err(FileError::io("write", &path))?;
            std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))
                .map_err(FileError::io("write", &path))?;
            self.file = Some(file);
        }
        if self.bytes == 0 {
            self.line(&Head { format: FORMAT.to_owned(), version: VERSION })?;
        }
        self.line(event)?;
        match &self.file {
            Some(file) if durable => file.sync_data().map_err(FileError::io("sync", &path)),
            _ => Ok(()),
        }
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), FileError> {
        let json = serde_json::to_string(value)
            .map_err(|error| FileError::io("encode a line of", &self.path)(error.into()))?;
        let line = format!("{} {json}\n", Checksum::of(json.as_bytes()).short());
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes()).map_err(FileError::io("write", &self.path))?;
        }
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Bytes of all whole lines.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) -> Result<(), FileError> {
        (self.file, self.bytes) = (None, 0);
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(FileError::io("remove", &self.path)(error))
            }
            _ => Ok(()),
        }
    }
}

/// The JSON of a line that is whole.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(17)?;
    let expected = Checksum::of(json).short();
    (sum.strip_suffix(b" ")? == expected.as_bytes()).then_some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(generation: u64) -> Event {
        Event::Begin { generation, paths: vec!["a\nb".to_owned()] }
    }

    #[test]
    fn what_is_whole_is_read_and_the_rest_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, events) = Log::open(dir.path()).unwrap();
        assert!(events.is_empty());
        log.push(&begin(1), true).unwrap();
        log.push(&begin(2), false).unwrap();
        drop(log);
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut log, events) = Log::open(dir.path()).unwrap();
            let ends = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
            let lines = ends.filter(|end| *end <= cut).count();
            assert_eq!(events.len(), lines.saturating_sub(1), "cut at {cut}");
            log.push(&begin(9), true).unwrap();
            let (_, again) = Log::open(dir.path()).unwrap();
            assert_eq!(again.last(), Some(&begin(9)), "cut at {cut}");
            assert_eq!(again.len(), events.len() + 1);
        }
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 4;
            std::fs::write(&path, &bad).unwrap();
            let events = Log::open(dir.path()).unwrap().1;
            assert!(events.len() < 2, "flipped bit in byte {at}");
        }
        std::fs::write(&path, &whole).unwrap();
        let (mut log, _) = Log::open(dir.path()).unwrap();
        log.clear().unwrap();
        log.clear().unwrap();
        assert!(Log::open(dir.path()).unwrap().1.is_empty());
    }
}
