//! What a folder holds, looked at from outside: nothing is read but folders.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};
use revela_base::compressed;
use revela_base::interrupt::Interrupt;
use revela_text::{Bad, Ignored, Links};

use crate::error::SyncError;
use crate::form::Form;
use crate::record::Reason;
use crate::stat::Stat;

/// A file with rules for what is left out, beside `.gitignore` and `.ignore`.
pub(crate) const IGNORE_FILE: &str = ".revelaignore";

/// Which part of a folder is looked at.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// All of it.
    All,
    /// These files and folders with what is in them, whether they are still there or not.
    Paths(BTreeSet<PathBuf>),
}

impl Scope {
    /// Whether one of the paths is this or above it.
    pub(crate) fn covers(&self, path: &Path) -> bool {
        match self {
            Self::All => true,
            Self::Paths(paths) => path.ancestors().any(|above| paths.contains(above)),
        }
    }

    /// Whether this, or something in it, is looked at. Paths are ordered by their parts, so what is below a folder comes
    /// right behind it.
    fn leads_to(&self, path: &Path) -> bool {
        match self {
            Self::All => true,
            Self::Paths(paths) => {
                let from = (Bound::Included(path), Bound::Unbounded);
                let next = paths.range::<Path, _>(from).next();
                next.is_some_and(|next| next.starts_with(path)) || self.covers(path)
            }
        }
    }
}

/// Where and how to look.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    /// The folder.
    pub(crate) root: PathBuf,
    /// What is in it and not of it: the collection.
    pub(crate) without: PathBuf,
    pub(crate) links: Links,
}

/// A file that is a document by its name.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Its path below the root, with `/`.
    pub(crate) path: String,
    pub(crate) file: PathBuf,
    pub(crate) form: Form,
    pub(crate) stat: Stat,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Documents, by their paths.
    pub(crate) files: Vec<Seen>,
    /// Folders that were looked into.
    pub(crate) folders: Vec<PathBuf>,
    /// What else was met, with words on the first few of a kind.
    pub(crate) left_out: Vec<(Reason, PathBuf, String)>,
    /// What the system could not tell anything about: what is known of these and of what is in them still holds.
    pub(crate) unsure: Vec<PathBuf>,
}

/// Looks at a folder. What vanishes meanwhile is not there.
pub(crate) fn scan(ground: &Ground, scope: &Scope, interrupt: &Interrupt) -> Result<Scan, SyncError> {
    let mut found = Scan::default();
    for (count, entry) in walk(ground, scope).enumerate() {
        if count % 1024 == 0 {
            interrupt.check()?;
        }
        match entry {
            Ok(entry) => found.entry(ground, scope, &entry),
            Err(error) => found.error(ground, &error)?,
        }
    }
    found.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

pub(crate) fn walk(ground: &Ground, scope: &Scope) -> ignore::Walk {
    let (without, scope) = (ground.without.clone(), scope.clone());
    // As for every corpus: what belongs to it depends on the folder alone.
    WalkBuilder::new(&ground.root)
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .follow_links(ground.links == Links::Follow)
        .add_custom_ignore_filename(IGNORE_FILE)
        .filter_entry(move |entry| entry.path() != without && scope.leads_to(entry.path()))
        .build()
}

impl Scan {
    fn entry(&mut self, ground: &Ground, scope: &Scope, entry: &DirEntry) {
        let path = entry.path();
        let Some(kind) = entry.file_type() else { return };
        if kind.is_dir() || entry.depth() == 0 {
            self.folders.push(path.to_owned());
            return;
        }
        if !scope.covers(path) {
            return;
        }
        if kind.is_symlink() {
            return self.leave_out(Reason::Ignored(Ignored::Link), path, String::new());
        }
        let form = Form::of_path(path).filter(|_| kind.is_file());
        let Some(form) = form else {
            let reason = if is_packed(path) { Ignored::Packed } else { Ignored::OtherType };
            return self.leave_out(Reason::Ignored(reason), path, String::new());
        };
        let Some(name) = name(&ground.root, path) else {
            let detail = "its name is not UTF-8".to_owned();
            return self.leave_out(Reason::Bad(Bad::Name), path, detail);
        };
        match entry.metadata() {
            Ok(metadata) => {
                self.files.push(Seen { path: name, file: path.to_owned(), form, stat: Stat::of(&metadata) })
            }
            Err(error) => self.trouble(path, error.io_error(), &error),
        }
    }

    fn error(&mut self, ground: &Ground, error: &ignore::Error) -> Result<(), SyncError> {
        let (path, is_loop) = path_of(error);
        let path = path.unwrap_or(&ground.root).to_owned();
        if is_loop {
            let detail = "the link leads back to a folder that holds it".to_owned();
            self.leave_out(Reason::Bad(Bad::LinkLoop), &path, detail);
            return Ok(());
        }
        if path == ground.root {
            // Of a folder that cannot be read nothing is known, and nothing is to be taken out.
            let source = match error.io_error() {
                Some(io) => std::io::Error::new(io.kind(), io.to_string()),
                None => std::io::Error::other(error.to_string()),
            };
            return Err(SyncError::Folder { path, source });
        }
        self.trouble(&path, error.io_error(), error);
        Ok(())
    }

    fn trouble(&mut self, path: &Path, io: Option<&std::io::Error>, error: &ignore::Error) {
        let detail = io.map_or_else(|| error.to_string(), ToString::to_string);
        match io.map(std::io::Error::kind) {
            Some(ErrorKind::NotFound) => {}
            Some(ErrorKind::PermissionDenied) => {
                self.leave_out(Reason::Bad(Bad::Unreadable), path, detail);
            }
            _ => {
                self.unsure.push(path.to_owned());
                self.leave_out(Reason::Unsure, path, detail);
            }
        }
    }

    fn leave_out(&mut self, reason: Reason, path: &Path, detail: String) {
        self.left_out.push((reason, path.to_owned(), detail));
    }
}

/// A path below the root with `/`; nothing where it is not UTF-8.
pub(crate) fn name(root: &Path, path: &Path) -> Option<String> {
    let below = path.strip_prefix(root).ok()?;
    let parts: Option<Vec<&str>> = below.components().map(|part| part.as_os_str().to_str()).collect();
    Some(parts?.join("/"))
}

/// Whether this would be a document if it were unpacked.
fn is_packed(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let inner = compressed::ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
    inner.is_some_and(|inner| Form::of_path(Path::new(inner)).is_some())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree() -> (tempfile::TempDir, Ground) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            (".gitignore", "target\n"),
            (".revelaignore", "drafts\n"),
            ("a.md", "a"),
            ("src/b.rs", "b"),
            ("src/deep/c.rs", "c"),
            ("src/deep/.gitignore", "*.txt\n"),
            ("src/deep/d.txt", "d"),
            ("target/e.rs", "e"),
            ("drafts/f.md", "f"),
            (".hidden/g.md", "g"),
            ("index/h.md", "h"),
            ("i.png", "i"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = dir.path().to_owned();
        let ground = Ground { without: root.join("index"), root, links: Links::Ignore };
        (dir, ground)
    }

    fn seen(ground: &Ground, scope: &Scope) -> Vec<String> {
        let found = scan(ground, scope, &Interrupt::new()).unwrap();
        found.files.into_iter().map(|seen| seen.path).collect()
    }

    #[test]
    fn a_part_is_seen_as_it_is_seen_in_the_whole() {
        let (_dir, ground) = tree();
        assert_eq!(seen(&ground, &Scope::All), ["a.md", "src/b.rs", "src/deep/c.rs"]);
        let part = |paths: &[&str]| Scope::Paths(paths.iter().map(|path| ground.root.join(path)).collect());
        assert_eq!(seen(&ground, &part(&["src/deep"])), ["src/deep/c.rs"]);
        assert_eq!(seen(&ground, &part(&["src/deep/d.txt", "target/e.rs", "drafts/f.md", "gone"])), [""; 0]);
        assert_eq!(seen(&ground, &part(&["src/b.rs", "a.md", "src/b"])), ["a.md", "src/b.rs"]);
        assert_eq!(seen(&ground, &part(&["", "src/b.rs"])).len(), 3);
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error() {
        let (dir, ground) = tree();
        drop(dir);
        let error = scan(&ground, &Scope::All, &Interrupt::new()).unwrap_err();
        assert!(error.to_string().contains("nothing was changed"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn loops_of_links_are_left_out() {
        let (_dir, mut ground) = tree();
        std::os::unix::fs::symlink(&ground.root, ground.root.join("src/loop")).unwrap();
        assert_eq!(seen(&ground, &Scope::All).len(), 3);
        ground.links = Links::Follow;
        let found = scan(&ground, &Scope::All, &Interrupt::new()).unwrap();
        assert_eq!(found.files.len(), 3);
        assert!(found.left_out.iter().any(|(reason, ..)| *reason == Reason::Bad(Bad::LinkLoop)));
    }
}
