//! Files of chunks: framed JSON lines whose every record is also a line of a BEIR corpus.
//!
//! A record is `{"_id": "DOC#N", "title": ..., "text": ..., "doc": ..., "start": ..., "end": ...}`; start
//! and end are bytes of the document's text.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use revela_base::file::{FileError, folder_for_spools};
use revela_base::lines::{LinesReader, LinesWriter};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chunk::ChunkerConfig;
use crate::document::{Chunk, ChunkId};
use crate::error::TextError;
use crate::language::Format;
use crate::quality::{Cleaned, QualityConfig, QualityReport};
use crate::source::SourceSummary;

const FORMAT: &str = "revela.chunks";
const VERSION: u32 = 1;

/// What a chunk file says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunksHeader {
    /// How documents were cut.
    pub chunker: ChunkerConfig,
    /// Which corpora were read, how, and what was in them (documents by format among it).
    pub sources: Vec<SourceSummary>,
    /// What was left out as not worth learning from, and by which settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
}

/// How chunks were cleaned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// The settings.
    pub config: QualityConfig,
    /// What was left out by them.
    pub report: QualityReport,
}

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    #[serde(rename = "_id")]
    id: ChunkId,
    title: std::borrow::Cow<'a, str>,
    text: std::borrow::Cow<'a, str>,
    doc: std::borrow::Cow<'a, str>,
    start: usize,
    end: usize,
    /// Where the document's name does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
}

/// Writes a chunk file; it appears under its name when [`finish`](Self::finish) succeeds.
///
/// The header tells what the sources held, which is known only at the end, so records wait in an
/// unnamed temporary file in the same folder (in the system's, where the chunks go into a pipe).
pub struct ChunkWriter {
    path: PathBuf,
    chunker: ChunkerConfig,
    spool: BufWriter<File>,
}

impl ChunkWriter {
    /// Starts a file of chunks that were cut like this.
    pub fn create(path: &Path, chunker: ChunkerConfig) -> Result<Self, TextError> {
        let spool = tempfile::tempfile_in(folder_for_spools(path)?).map_err(FileError::io("create", path))?;
        Ok(Self { path: path.to_owned(), chunker, spool: BufWriter::with_capacity(1 << 16, spool) })
    }

    /// Adds a chunk.
    pub fn push(&mut self, chunk: &Chunk) -> Result<(), TextError> {
        let record = Record {
            id: chunk.id.clone(),
            title: chunk.title.as_str().into(),
            text: chunk.text.as_str().into(),
            doc: chunk.id.document.as_str().into(),
            start: chunk.range.start,
            end: chunk.range.end,
            format: chunk.id.unnamed_format(chunk.format),
        };
        serde_json::to_writer(&mut self.spool, &record)
            .map_err(std::io::Error::from)
            .and_then(|()| self.spool.write_all(b"\n"))
            .map_err(FileError::io("write", &self.path))?;
        Ok(())
    }

    /// Writes the whole and gives it its name. Returns the number of chunks.
    pub fn finish(self, sources: Vec<SourceSummary>) -> Result<u64, TextError> {
        self.write(sources, None, |_| true)
    }

    /// The same, without the chunks that a cleaner found to be beyond a share after all. What was added must be
    /// what it kept at first, in the same order.
    pub fn finish_cleaned(self, sources: Vec<SourceSummary>, cleaned: &Cleaned) -> Result<u64, TextError> {
        let quality = Quality { config: cleaned.config().clone(), report: cleaned.report().clone() };
        self.write(sources, Some(quality), |number| cleaned.keeps(number))
    }

    fn write(
        self,
        sources: Vec<SourceSummary>,
        quality: Option<Quality>,
        keeps: impl Fn(usize) -> bool,
    ) -> Result<u64, TextError> {
        let io = |operation| FileError::io(operation, &self.path);
        let mut spool = self.spool.into_inner().map_err(|e| io("write")(e.into_error()))?;
        spool.rewind().map_err(io("read back"))?;
        let header = ChunksHeader { chunker: self.chunker, sources, quality };
        let mut writer = LinesWriter::create(&self.path, FORMAT, VERSION, &header)?;
        let mut records = BufReader::with_capacity(1 << 16, spool);
        let mut line = String::new();
        for number in 0.. {
            line.clear();
            if records.read_line(&mut line).map_err(io("read back"))? == 0 {
                break;
            }
            if keeps(number) {
                let record: &RawValue = serde_json::from_str(&line).map_err(|e| io("read back")(e.into()))?;
                writer.push(&record)?;
            }
        }
        Ok(writer.finish()?)
    }
}

/// Reads a chunk file as a stream of [`Chunk`]s; after an error nothing follows.
pub struct ChunkReader {
    path: PathBuf,
    header: ChunksHeader,
    records: LinesReader<Record<'static>>,
    line: u64,
    done: bool,
}

impl ChunkReader {
    /// Opens a file and checks its header.
    pub fn open(path: &Path) -> Result<Self, TextError> {
        let (records, header) = LinesReader::open(path, FORMAT, VERSION..=VERSION)?;
        Ok(Self { path: path.to_owned(), header, records, line: 1, done: false })
    }

    /// What the file says about itself.
    pub fn header(&self) -> &ChunksHeader {
        &self.header
    }

    fn chunk(&self, record: Record<'_>) -> Result<Chunk, TextError> {
        let fits = record.id.document == record.doc
            && record.end.checked_sub(record.start) == Some(record.text.len());
        if !fits {
            let detail = "the chunk's document or byte range does not fit its id and text".to_owned();
            return Err(FileError::Line { path: self.path.clone(), line: self.line, detail }.into());
        }
        Ok(Chunk {
            format: record.format.unwrap_or_else(|| record.id.named_format()),
            id: record.id,
            range: record.start..record.end,
            title: record.title.into_owned(),
            text: record.text.into_owned(),
        })
    }
}

impl Iterator for ChunkReader {
    type Item = Result<Chunk, TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let record = self.records.next()?;
        self.line += 1;
        let chunk = record.map_err(TextError::from).and_then(|record| self.chunk(record));
        self.done = chunk.is_err();
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Chunker;
    use crate::document::Document;
    use crate::language::Format;
    use crate::quality::{Cleaner, Reason};
    use crate::source::{Documents, SourceConfig, SourceKind};

    fn chunks() -> Vec<Chunk> {
        let config = ChunkerConfig { size: 3, min_size: 0, ..ChunkerConfig::default() };
        let document = Document::prose("a#1", "Title", "One two three. Four five.\n\nSix \"seven\" é\u{1}.");
        Chunker::new(config, None).unwrap().chunk(&document)
    }

    fn write(path: &Path) -> u64 {
        let mut writer = ChunkWriter::create(path, ChunkerConfig::default()).unwrap();
        chunks().iter().for_each(|c| writer.push(c).unwrap());
        assert!(!path.exists(), "the file has no name before it is whole");
        writer.finish(Vec::new()).unwrap()
    }

    #[test]
    fn round_trip_with_the_sources_in_the_header() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.rs"), "fn a() {}").unwrap();
        let mut documents = Documents::open(SourceConfig::new(dir.path(), SourceKind::Code)).unwrap();
        documents.by_ref().for_each(|d| drop(d.unwrap()));
        let path = dir.path().join("c.jsonl");
        let mut writer = ChunkWriter::create(&path, ChunkerConfig::default()).unwrap();
        chunks().iter().for_each(|c| writer.push(c).unwrap());
        assert_eq!(writer.finish(vec![documents.summary()]).unwrap(), 3);
        let reader = ChunkReader::open(&path).unwrap();
        let rust = "rust".parse::<Format>().unwrap();
        assert_eq!(reader.header().sources[0].counts.formats[&rust], 1);
        assert_eq!(reader.header().sources[0], documents.summary());
        assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), chunks());
    }

    #[test]
    fn what_a_cleaner_left_out_is_in_the_header_and_not_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.jsonl");
        let mut cleaner = Cleaner::new(QualityConfig { min_words: 2, ..QualityConfig::default() }).unwrap();
        let mut writer = ChunkWriter::create(&path, ChunkerConfig::default()).unwrap();
        let [one, two, three] = chunks().try_into().unwrap();
        for chunk in [&one, &one, &two, &three] {
            if cleaner.keeps(chunk) {
                writer.push(chunk).unwrap();
            }
        }
        let cleaned = cleaner.finish();
        assert_eq!(writer.finish_cleaned(Vec::new(), &cleaned).unwrap(), 3);
        let reader = ChunkReader::open(&path).unwrap();
        let quality = reader.header().quality.clone().unwrap();
        assert_eq!((&quality.config, &quality.report), (cleaned.config(), cleaned.report()));
        assert_eq!(quality.report.left_out[&Reason::NearCopy].chunks, 1);
        assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), [one, two, three]);
    }

    #[test]
    fn every_record_is_a_line_of_a_beir_corpus() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.jsonl");
        write(&path);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        std::fs::write(&path, lines[1..lines.len() - 1].join("\n")).unwrap();
        let documents = Documents::open(SourceConfig::new(&path, SourceKind::Jsonl(Format::Text))).unwrap();
        for (document, chunk) in documents.zip(chunks()) {
            assert_eq!(document.unwrap(), Document::prose(chunk.id.to_string(), chunk.title, chunk.text));
        }
    }

    #[test]
    fn a_file_that_was_touched_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.jsonl");
        assert_eq!(write(&path), 3);
        let whole = std::fs::read_to_string(&path).unwrap();
        let read = |text: String| {
            std::fs::write(&path, text).unwrap();
            ChunkReader::open(&path)?.collect::<Result<Vec<_>, _>>()
        };
        assert!(read(whole.clone()).is_ok());
        assert!(read(whole.replace("\"end\":14", "\"end\":15")).unwrap_err().to_string().contains(":2:"));
        assert!(read(whole.replace("a#1#0", "a#1#x")).is_err());
        assert!(read(whole.replace("Four", "Fore")).unwrap_err().to_string().contains("damaged"));
        assert!(read(whole[..whole.len() - 60].to_owned()).is_err());
    }
}
