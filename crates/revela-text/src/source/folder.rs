//! Documents from the files of a folder.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};
use revela_base::compressed;
use revela_base::file::FileError;

use super::file::{NoDocument, document_of, longest_file};
use super::{Bad, Event, Ignored, Links, SourceConfig, SourceKind};
use crate::error::TextError;
use crate::language::Format;

pub(super) struct Folder {
    root: PathBuf,
    kind: SourceKind,
    longest: u64,
    walk: ignore::Walk,
}

impl Folder {
    pub(super) fn open(config: &SourceConfig) -> Result<Self, TextError> {
        let root = &config.path;
        std::fs::metadata(root).map_err(FileError::io("open", root))?;
        // What the corpus holds shall depend on the folder alone: its own ignore files count, those of
        // its parents and of the user do not.
        let walk = WalkBuilder::new(root)
            .parents(false)
            .git_global(false)
            .git_exclude(false)
            .require_git(false)
            .follow_links(config.links == Links::Follow)
            .sort_by_file_name(Ord::cmp)
            .build();
        Ok(Self { root: root.clone(), kind: config.kind, longest: config.longest(), walk })
    }

    /// The next file's meaning; `None` after the last.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.walk.next()? {
                Err(e) => return Some(self.walk_error(&e)),
                Ok(entry) => {
                    if let Some(event) = self.entry(&entry) {
                        return Some(event);
                    }
                }
            }
        }
    }

    fn entry(&self, entry: &DirEntry) -> Option<Event> {
        let path = entry.path();
        // The corpus itself may be a link; the walk says so although it goes through it.
        let kind = if entry.depth() == 0 {
            std::fs::metadata(path).ok().map(|m| m.file_type())
        } else {
            entry.file_type()
        };
        let kind = kind?;
        if kind.is_dir() {
            return None;
        }
        if kind.is_symlink() {
            return Some(Event::Ignored(Ignored::Link));
        }
        match Format::of_path(path).filter(|format| self.kind.wants(*format)) {
            Some(format) if kind.is_file() => Some(self.file(path, format)),
            _ if is_packed_document(path) => Some(Event::Ignored(Ignored::Packed)),
            _ => Some(Event::Ignored(Ignored::OtherType)),
        }
    }

    fn file(&self, path: &Path, format: Format) -> Event {
        let Some(id) = self.id(path) else {
            return bad(path, Bad::Name, "its name is not UTF-8, so it cannot be an id");
        };
        let limit = longest_file(path, self.longest);
        let read = match read(path, limit) {
            Ok(Some(bytes)) => document_of(path, id, bytes, format, self.longest),
            Ok(None) => Err(NoDocument::too_long(path, self.longest)),
            Err(e) => return bad(path, Bad::Unreadable, &format!("it cannot be read: {e}")),
        };
        match read {
            Ok(document) => Event::Document(document),
            Err(NoDocument::Ignored(reason)) => Event::Ignored(reason),
            Err(NoDocument::Bad(reason, error)) => Event::Bad(reason, error),
        }
    }

    /// The path below the root with `/`; a corpus that is one file has its own name as id.
    fn id(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix(&self.root).ok()?;
        let below = if below.as_os_str().is_empty() { Path::new(path.file_name()?) } else { below };
        let parts: Option<Vec<&str>> = below.components().map(|part| part.as_os_str().to_str()).collect();
        Some(parts?.join("/"))
    }

    fn walk_error(&self, error: &ignore::Error) -> Event {
        let (path, is_loop) = path_of(error);
        let path = path.unwrap_or(&self.root);
        if is_loop {
            bad(path, Bad::LinkLoop, "the link leads back to a folder that holds it")
        } else {
            bad(path, Bad::Unreadable, &format!("it cannot be read: {error}"))
        }
    }
}

/// A file's bytes; `None` when it is longer than this.
fn read(path: &Path, longest: u64) -> std::io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    if file.metadata()?.len() > longest {
        return Ok(None);
    }
    // The file may grow while it is read.
    let mut bytes = Vec::new();
    file.take(longest.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|b| b.len() as u64 <= longest))
}

/// Whether this would be a document if it were unpacked.
fn is_packed_document(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let inner = compressed::ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
    inner.is_some_and(|inner| Format::of_path(Path::new(inner)).is_some())
}

/// The path that a walk's error is about, and whether a loop of links is the trouble.
fn path_of(error: &ignore::Error) -> (Option<&Path>, bool) {
    match error {
        ignore::Error::WithPath { path, err } => (Some(path), path_of(err).1),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        ignore::Error::Loop { child, .. } => (Some(child), true),
        _ => (None, false),
    }
}

fn bad(path: &Path, reason: Bad, detail: &str) -> Event {
    let error = TextError::BadFile { path: path.to_owned(), reason, detail: detail.to_owned() };
    Event::Bad(reason, error)
}
