//! Documents from the files of a folder.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};
use revela_base::compressed;
use revela_base::file::FileError;

use super::{Bad, Event, Ignored, Links, SourceConfig, SourceKind, notebook};
use crate::document::Document;
use crate::error::TextError;
use crate::language::Format;

/// A notebook may be this many times as long as the text in it.
const NOTEBOOK: u64 = 32;

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
        // Most of a notebook may be pictures that came out of it.
        let longest = self.longest.saturating_mul(if is_notebook(path) { NOTEBOOK } else { 1 });
        let too_long = || {
            let detail = format!("it is longer than the limit of {} bytes", self.longest);
            bad(path, Bad::TooLong, &detail)
        };
        let bytes = match read(path, longest) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return too_long(),
            Err(e) => return bad(path, Bad::Unreadable, &format!("it cannot be read: {e}")),
        };
        if bytes.contains(&0) {
            return match format {
                Format::Code(_) => Event::Ignored(Ignored::BinarySource),
                _ => bad(path, Bad::Binary, "it is binary (it holds NUL bytes)"),
            };
        }
        match String::from_utf8(bytes) {
            Ok(text) if is_notebook(path) => match notebook::as_markdown(&text) {
                Ok(text) if text.len() as u64 > self.longest => too_long(),
                Ok(text) => document(id, text, format),
                Err(detail) => bad(path, Bad::Malformed, &detail),
            },
            Ok(text) => document(id, text, format),
            Err(e) => {
                let at = e.utf8_error().valid_up_to();
                bad(path, Bad::NotUtf8, &format!("it is not UTF-8 (first at byte {at})"))
            }
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

fn is_notebook(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ipynb"))
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

fn document(id: String, mut text: String, format: Format) -> Event {
    if text.starts_with('\u{FEFF}') {
        text.drain(..'\u{FEFF}'.len_utf8());
    }
    if text.trim().is_empty() {
        return Event::Ignored(Ignored::Blank);
    }
    let title = if format == Format::Markdown { first_heading(&text) } else { String::new() };
    Event::Document(Document { id, title, text, format })
}

/// The first heading of Markdown in `#` style.
fn first_heading(text: &str) -> String {
    let heading = text.lines().find(|line| {
        let rest = line.trim_start_matches('#');
        rest.len() < line.len() && rest.starts_with(' ')
    });
    heading.map(|line| line.trim_matches(['#', ' ', '\t']).to_owned()).unwrap_or_default()
}
