//! Files of training groups: the contract between whoever forms groups and whoever trains on them.
//!
//! Framed JSON lines; a record is `{"chunks": [{"id": "DOC#N", "title": ..., "text": ...}, ...]}` with the
//! same number of chunks in every group; an empty title is left out. Read as a stream ([`GroupReader`]), or in any order ([`GroupFile`]) so that
//! training can shuffle groups and go on anywhere without holding their texts.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use revela_base::checksum::{Checksum, HashingWriter};
use revela_base::compressed;
use revela_base::file::FileError;
use revela_base::interrupt::Interrupt;
use revela_base::lines::{LinesReader, LinesWriter};
use revela_base::progress::Progress;
use revela_base::seed::Seed;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::chunk::ChunkerConfig;
use crate::document::{Chunk, ChunkId};
use crate::error::TextError;
use crate::language::Format;
use crate::source::SourceSummary;

const FORMAT: &str = "revela.groups";
const VERSION: u32 = 1;

/// What a group file says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupsHeader {
    /// The name of the policy that formed the groups.
    pub policy: String,
    /// That policy's settings.
    pub settings: serde_json::Value,
    /// The seed of its choices.
    pub seed: Seed,
    /// Chunks in every group; at least 2, as a chunk alone has nothing to learn from.
    pub group_size: usize,
    /// How documents were cut.
    pub chunker: ChunkerConfig,
    /// Which corpora were read.
    pub sources: Vec<SourceSummary>,
}

impl GroupsHeader {
    fn check(&self) -> Result<(), TextError> {
        if self.group_size < 2 {
            let detail = format!("{} is too small: the chunks of a group read each other", self.group_size);
            return Err(TextError::setting("group size", detail));
        }
        Ok(())
    }

    fn check_group(&self, group: &ChunkGroup) -> Result<(), TextError> {
        let (found, expected) = (group.chunks.len(), self.group_size);
        if found == expected { Ok(()) } else { Err(TextError::GroupSize { found, expected }) }
    }
}

/// Chunks that are trained on together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkGroup {
    /// The chunks, in the order that the policy gave them.
    pub chunks: Vec<GroupChunk>,
}

/// One chunk of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupChunk {
    /// Its name.
    pub id: ChunkId,
    /// Its document's title; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Its text.
    pub text: String,
    /// What kind of text it is, where its document's name does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
}

impl From<Chunk> for GroupChunk {
    fn from(chunk: Chunk) -> Self {
        let format = chunk.id.unnamed_format(chunk.format);
        Self { id: chunk.id, title: chunk.title, text: chunk.text, format }
    }
}

/// Writes a group file; it appears under its name when [`finish`](Self::finish) succeeds.
pub struct GroupWriter {
    header: GroupsHeader,
    lines: LinesWriter,
}

impl GroupWriter {
    /// Starts a file.
    ///
    /// # Errors
    /// [`TextError::Setting`] for a group size below 2.
    pub fn create(path: &Path, header: GroupsHeader) -> Result<Self, TextError> {
        header.check()?;
        let lines = LinesWriter::create(path, FORMAT, VERSION, &header)?;
        Ok(Self { header, lines })
    }

    /// Adds a group.
    ///
    /// # Errors
    /// [`TextError::GroupSize`] when it does not have the file's group size.
    pub fn push(&mut self, group: &ChunkGroup) -> Result<(), TextError> {
        self.header.check_group(group)?;
        Ok(self.lines.push(group)?)
    }

    /// Writes the end and gives the file its name. Returns the number of groups.
    pub fn finish(self) -> Result<u64, TextError> {
        Ok(self.lines.finish()?)
    }
}

/// Reads a group file as a stream; after an error nothing follows.
pub struct GroupReader {
    header: GroupsHeader,
    groups: LinesReader<ChunkGroup>,
    done: bool,
}

impl GroupReader {
    /// Opens a file and checks its header.
    pub fn open(path: &Path) -> Result<Self, TextError> {
        let (groups, header) = LinesReader::open::<GroupsHeader>(path, FORMAT, VERSION..=VERSION)?;
        header.check()?;
        Ok(Self { header, groups, done: false })
    }

    /// What the file says about itself.
    pub fn header(&self) -> &GroupsHeader {
        &self.header
    }
}

impl Iterator for GroupReader {
    type Item = Result<ChunkGroup, TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let group = self.groups.next()?.map_err(TextError::from);
        let group = group.and_then(|group| self.header.check_group(&group).map(|()| group));
        self.done = group.is_err();
        Some(group)
    }
}

/// A group file that was checked as a whole and gives any group by its index. Holds eight bytes a group.
pub struct GroupFile {
    path: PathBuf,
    header: GroupsHeader,
    checksum: Checksum,
    /// Where each group's line starts, and where the last one ends.
    offsets: Vec<u64>,
    file: Mutex<File>,
}

impl GroupFile {
    /// Opens a file, checks all of it and notes where each group stands.
    pub fn open(path: &Path, progress: &dyn Progress, interrupt: &Interrupt) -> Result<Self, TextError> {
        compressed::refuse(path)?;
        let (lines, header) =
            LinesReader::<IgnoredAny>::open::<GroupsHeader>(path, FORMAT, VERSION..=VERSION)?;
        header.check()?;
        let task = progress.task("checking training groups", "groups", None);
        for line in lines {
            line?;
            task.advance(1);
            interrupt.check()?;
        }
        let (offsets, checksum) = line_offsets(path)?;
        let file = Mutex::new(File::open(path).map_err(FileError::io("open", path))?);
        Ok(Self { path: path.to_owned(), header, checksum, offsets, file })
    }

    /// What the file says about itself.
    pub fn header(&self) -> &GroupsHeader {
        &self.header
    }

    /// The checksum of the whole file, to notice on resuming that it is another one.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Groups in the file.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether the file has no group.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One group.
    ///
    /// # Errors
    /// [`TextError::NoGroup`] beyond the last; a file error when it changed since it was opened.
    pub fn get(&self, index: usize) -> Result<ChunkGroup, TextError> {
        let (Some(start), Some(end)) = (self.offsets.get(index), self.offsets.get(index.saturating_add(1)))
        else {
            return Err(TextError::NoGroup { index, groups: self.len() });
        };
        let mut line = vec![0; usize::try_from(end - start).unwrap_or(0)];
        // A reader that panicked left nothing half done: every read seeks first.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(*start))
            .and_then(|_| file.read_exact(&mut line))
            .map_err(FileError::io("read", &self.path))?;
        drop(file);
        let group: ChunkGroup = serde_json::from_slice(&line)
            .map_err(|e| FileError::corrupt(&self.path, format!("group {index} changed: {e}")))?;
        self.header.check_group(&group)?;
        Ok(group)
    }
}

/// Where the lines between the first and the last start, the end of these, and the whole's checksum.
fn line_offsets(path: &Path) -> Result<(Vec<u64>, Checksum), FileError> {
    let file = File::open(path).map_err(FileError::io("open", path))?;
    let mut input = BufReader::with_capacity(1 << 16, file);
    let mut hasher = HashingWriter::new(std::io::sink());
    let mut offsets = Vec::new();
    let mut at = 0;
    loop {
        let block = input.fill_buf().map_err(FileError::io("read", path))?;
        if block.is_empty() {
            break;
        }
        let ends = block.iter().enumerate().filter(|(_, b)| **b == b'\n');
        offsets.extend(ends.map(|(i, _)| at + i as u64 + 1));
        // A sink never fails.
        let _ = hasher.write_all(block);
        let n = block.len();
        at += n as u64;
        input.consume(n);
    }
    // The line ends are those of the header, of each group, and of the trailer.
    offsets.pop();
    Ok((offsets, hasher.checksum()))
}

#[cfg(test)]
mod tests {
    use revela_base::progress::Silent;

    use super::*;

    fn header(group_size: usize) -> GroupsHeader {
        GroupsHeader {
            policy: "mixed".into(),
            settings: serde_json::json!({"documents": 2, "per_document": 1}),
            seed: Seed(3),
            group_size,
            chunker: ChunkerConfig::default(),
            sources: Vec::new(),
        }
    }

    fn group(n: u32, size: u32) -> ChunkGroup {
        let chunk = |i| GroupChunk {
            format: None,
            id: ChunkId { document: format!("d{n}\n"), ordinal: i },
            title: "t".repeat(i as usize),
            text: format!("text {n}\n\"{i}\" {}", "é".repeat(n as usize)),
        };
        ChunkGroup { chunks: (0..size).map(chunk).collect() }
    }

    fn write(path: &Path, groups: u32) {
        let mut writer = GroupWriter::create(path, header(2)).unwrap();
        (0..groups).for_each(|n| writer.push(&group(n, 2)).unwrap());
        assert_eq!(writer.finish().unwrap(), u64::from(groups));
    }

    fn open(path: &Path) -> Result<GroupFile, TextError> {
        GroupFile::open(path, &Silent, &Interrupt::new())
    }

    #[test]
    fn the_stream_and_any_order_give_the_same_groups() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.jsonl");
        write(&path, 50);
        let reader = GroupReader::open(&path).unwrap();
        assert_eq!(reader.header(), &header(2));
        let stream: Vec<_> = reader.collect::<Result<_, _>>().unwrap();
        let file = open(&path).unwrap();
        assert_eq!((file.len(), file.header()), (50, &header(2)));
        assert_eq!(file.checksum(), Checksum::of_file(&path).unwrap());
        for n in (0..50).rev() {
            assert_eq!(file.get(n).unwrap(), group(n as u32, 2));
            assert_eq!(file.get(n).unwrap(), stream[n]);
        }
        assert!(matches!(file.get(50), Err(TextError::NoGroup { index: 50, groups: 50 })));
        assert!(file.get(usize::MAX).is_err());
    }

    #[test]
    fn a_file_without_groups_is_whole_but_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.jsonl");
        write(&path, 0);
        assert!(open(&path).unwrap().is_empty());
    }

    #[test]
    fn groups_of_another_size_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.jsonl");
        for size in [0, 1] {
            let error = GroupWriter::create(&path, header(size)).err().unwrap();
            assert!(error.to_string().contains("group size"), "{error}");
        }
        let mut writer = GroupWriter::create(&path, header(2)).unwrap();
        assert!(matches!(writer.push(&group(0, 3)), Err(TextError::GroupSize { found: 3, expected: 2 })));
        drop(writer);
        assert!(!path.exists(), "an unfinished file has no name");
        write(&path, 1);
        let other = std::fs::read_to_string(&path).unwrap().replace("\"group_size\":2", "\"group_size\":1");
        std::fs::write(&path, other).unwrap();
        assert!(open(&path).is_err() && GroupReader::open(&path).is_err());
    }

    #[test]
    fn damage_and_interruption_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.jsonl");
        write(&path, 3);
        let interrupt = Interrupt::new();
        interrupt.request();
        let stopped = GroupFile::open(&path, &Silent, &interrupt);
        assert!(matches!(stopped, Err(TextError::Interrupted(_))));
        let file = open(&path).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, whole.replace("text 1", "text 7")).unwrap();
        assert!(open(&path).is_err());
        std::fs::write(&path, &whole[..whole.len() - 100]).unwrap();
        assert!(open(&path).is_err());
        std::fs::write(&path, b"\x1f\x8b\x08").unwrap();
        assert!(open(&path).err().unwrap().to_string().contains("unpack it first"));
        std::fs::write(&path, "x".repeat(whole.len())).unwrap();
        assert!(file.get(1).unwrap_err().to_string().contains("damaged"));
    }
}
