//! Documents as a stream, from JSON lines or from a folder.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use crate::document::Document;
use crate::error::TextError;
use crate::language::Format;

mod counts;
mod file;
mod folder;
mod jsonl;
mod notebook;

pub use counts::{Bad, Counts, Ignored, Skipped};
pub use file::{NoDocument, document_of, is_notebook, longest_file};

use folder::Folder;
use jsonl::JsonLines;

/// Where documents come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// A file or a folder. (Written with `?` for what is not UTF-8 in it: it is for people to read.)
    #[serde(serialize_with = "readable")]
    pub path: PathBuf,
    /// How it is read.
    pub kind: SourceKind,
    /// The longest file of a folder, or line of JSON lines, that is read, in bytes;
    /// [`SourceKind::longest`] where not given.
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// What happens to input that cannot be used.
    #[serde(default)]
    pub bad_input: BadInput,
    /// What happens to symbolic links in a folder.
    #[serde(default)]
    pub links: Links,
}

impl SourceConfig {
    /// This path, read in this way, with the defaults for the rest.
    pub fn new(path: impl Into<PathBuf>, kind: SourceKind) -> Self {
        Self {
            path: path.into(),
            kind,
            max_bytes: None,
            bad_input: BadInput::default(),
            links: Links::default(),
        }
    }

    /// The longest file or line that is read, in bytes.
    pub fn longest(&self) -> u64 {
        self.max_bytes.unwrap_or(self.kind.longest())
    }
}

fn readable<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// How a corpus is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// JSON lines in BEIR layout (`_id` or `id`, optional `title`, `text`), also `.gz` and `.zst`; every text
    /// is of the given format.
    Jsonl(Format),
    /// The prose of a folder: plain text, Markdown, and notebooks as Markdown without their outputs.
    Text,
    /// The source code of a folder.
    Code,
    /// Both.
    TextAndCode,
}

impl SourceKind {
    /// A guess from the path alone: files named `*.jsonl`, `*.json`, packed ones too, hold JSON lines of prose; all
    /// else is a folder (or one file) of text and code.
    pub fn of_path(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        // Those of the last three are named by what they are when they are opened.
        let packed = [".gz", ".zst", ".xz", ".bz2", ".lz4"];
        let name = packed.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let is_jsonl = [".jsonl", ".ndjson", ".json"].iter().any(|end| name.ends_with(end));
        if is_jsonl && !path.is_dir() { Self::Jsonl(Format::Text) } else { Self::TextAndCode }
    }

    /// The longest file or line that is read by default: 1 MiB and 64 MiB.
    pub fn longest(self) -> u64 {
        if matches!(self, Self::Jsonl(_)) { 64 << 20 } else { 1 << 20 }
    }

    fn wants(self, format: Format) -> bool {
        match self {
            Self::Jsonl(_) => false,
            Self::Text => !matches!(format, Format::Code(_)),
            Self::Code => matches!(format, Format::Code(_)),
            Self::TextAndCode => true,
        }
    }
}

/// What happens to input that cannot be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadInput {
    /// The first one ends the stream with an error that names it.
    #[default]
    Fail,
    /// It is counted by reason and left out.
    Skip,
}

/// What happens to symbolic links in a folder. The folder itself may always be a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Links {
    /// They are left alone and counted.
    #[default]
    Ignore,
    /// They are followed; a loop is bad input.
    Follow,
}

/// What a source meets.
enum Event {
    Document(Document),
    Ignored(Ignored),
    Bad(Bad, TextError),
}

enum Inner {
    Jsonl(Box<JsonLines>),
    Folder(Box<Folder>),
}

/// The documents of a corpus, one after the other; the whole is never in memory.
///
/// The order is that of the file, or of the paths folder by folder, and does not depend on the machine.
/// After an error nothing follows. A corpus without any document ends with
/// [`TextError::NoDocuments`]. Ids are not checked for being unique, as that would need them all.
pub struct Documents {
    config: SourceConfig,
    inner: Inner,
    counts: Counts,
    done: bool,
}

impl Documents {
    /// Opens a corpus.
    ///
    /// # Errors
    /// When the path does not exist or cannot be opened, or a folder is given for JSON lines.
    pub fn open(config: SourceConfig) -> Result<Self, TextError> {
        let inner = match config.kind {
            SourceKind::Jsonl(format) => Inner::Jsonl(Box::new(JsonLines::open(&config, format)?)),
            _ => Inner::Folder(Box::new(Folder::open(&config)?)),
        };
        Ok(Self { config, inner, counts: Counts::default(), done: false })
    }

    /// What was met so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How the corpus is read and what was met so far, for the header of a file made from it.
    pub fn summary(&self) -> SourceSummary {
        SourceSummary { config: self.config.clone(), counts: self.counts.clone() }
    }

    /// How the corpus is read.
    pub fn config(&self) -> &SourceConfig {
        &self.config
    }

    fn step(&mut self) -> Result<Option<Document>, TextError> {
        loop {
            let event = match &mut self.inner {
                Inner::Jsonl(lines) => lines.next_event()?,
                Inner::Folder(folder) => folder.next_event(),
            };
            match event {
                Some(Event::Document(document)) => {
                    self.counts.document(&document);
                    return Ok(Some(document));
                }
                Some(Event::Ignored(reason)) => self.counts.ignored(reason),
                Some(Event::Bad(reason, error)) => match self.config.bad_input {
                    BadInput::Fail => return Err(error),
                    BadInput::Skip => self.counts.skipped(reason, &error),
                },
                None if self.counts.documents == 0 => return Err(self.no_documents()),
                None => return Ok(None),
            }
        }
    }

    fn no_documents(&self) -> TextError {
        let looked_for = match self.config.kind {
            SourceKind::Jsonl(_) => "no line of it is one",
            SourceKind::Text => "it has no text or Markdown file that can be read",
            SourceKind::Code => "it has no source file in a known language",
            SourceKind::TextAndCode => "it has neither text files nor source files in a known language",
        };
        let mut detail = looked_for.to_owned();
        let met = self.counts.left_out();
        if !met.is_empty() {
            detail = format!("{detail} ({met})");
        }
        TextError::NoDocuments { path: self.config.path.clone(), detail }
    }
}

impl Iterator for Documents {
    type Item = Result<Document, TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.step().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// A corpus that was read: how, and what was in it. Part of the files made from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSummary {
    /// How it was read.
    pub config: SourceConfig,
    /// What was met.
    pub counts: Counts,
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents").field("config", &self.config).field("counts", &self.counts).finish()
    }
}
