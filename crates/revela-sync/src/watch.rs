//! Going on as files change.
//!
//! Folders are watched one by one, those that are left out not at all. What changes is collected until nothing more has
//! come for a moment, and that part of the folder is looked at again, by the same rules as the whole. Where not all
//! folders can be watched, the whole is looked at now and then.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use revela_base::file::FileError;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;

use crate::error::SyncError;
use crate::join::Haste;
use crate::pass::FolderSync;
use crate::report::Report;
use crate::scan::{IGNORE_FILE, Scope};

/// How long nothing must come for a burst to be over.
const QUIET: Duration = Duration::from_millis(60);

/// How long a burst may last.
const BURST: Duration = Duration::from_millis(400);

/// How often it is asked whether to stop.
const TICK: Duration = Duration::from_millis(200);

/// How long to wait until what failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// How often all is looked at where not all can be watched, and how much of the time that may take.
const LOOK: Duration = Duration::from_secs(10);
const LOOK_SHARE: u32 = 20;

/// Files that say what is left out.
const IGNORE_FILES: [&str; 3] = [".gitignore", ".ignore", IGNORE_FILE];

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The collection is as the folder was; how long after the first change of the burst, where there was one.
    Synced(Report, Option<Duration>),
    /// All changes are seen from now on, in this many folders.
    Watching(usize),
    /// Not all folders can be watched, and why; the folder is looked at every so often instead.
    Looking(String, Duration),
    /// Something failed and is tried again.
    Trouble(SyncError),
}

/// Syncs, and goes on as files change until it is interrupted. `tell` hears of everything that happens.
///
/// # Errors
/// [`SyncError::Watch`] where the system offers no way to watch, and what [`FolderSync::sync`] fails with the first time.
pub fn watch(
    sync: &mut FolderSync,
    progress: &dyn Progress,
    interrupt: &Interrupt,
    tell: &mut dyn FnMut(Notice),
) -> Result<(), SyncError> {
    let (report, folders) = sync.pass(&Scope::All, Haste::None, progress, interrupt)?;
    tell(Notice::Synced(report, None));
    let mut eyes = Eyes::open(sync.ground()?.root)?;
    eyes.look_at(&folders, tell);
    tell(Notice::Watching(eyes.watched.len()));
    // What changed between the first look and now.
    let mut due = Some(Due { scope: Scope::All, since: None });
    let mut said = String::new();
    let mut looked = Duration::ZERO;
    let mut last_look = Instant::now();
    while interrupt.check().is_ok() {
        let Some(burst) = due.take().or_else(|| eyes.burst()) else {
            if eyes.is_blind && last_look.elapsed() > LOOK.max(looked * LOOK_SHARE) {
                due = Some(Due { scope: Scope::All, since: None });
            }
            continue;
        };
        let started = Instant::now();
        let is_all = matches!(burst.scope, Scope::All);
        match one(sync, &mut eyes, &burst, interrupt, tell) {
            Ok(report) => {
                said.clear();
                let has_trouble = report.left_out.values().any(|left_out| left_out.first.is_some());
                // Of the whole folder that was said before.
                if report.changed_anything() || (has_trouble && !is_all) {
                    tell(Notice::Synced(report, burst.since.map(|since| since.elapsed())));
                }
            }
            Err(SyncError::Interrupted(_)) => break,
            Err(error) => {
                due = Some(burst.again_after(&error));
                let saying = error.to_string();
                if saying != said {
                    tell(Notice::Trouble(error));
                    said = saying;
                }
                wait(interrupt);
            }
        }
        if is_all {
            (last_look, looked) = (Instant::now(), started.elapsed());
        }
    }
    Ok(())
}

/// A part of the folder that is to be looked at, and since when.
struct Due {
    scope: Scope,
    since: Option<Instant>,
}

impl Due {
    /// What is to be tried again: the same where somebody else was at work, and all where nobody knows what was missed.
    fn again_after(self, error: &SyncError) -> Self {
        let is_locked = matches!(
            error,
            SyncError::File(FileError::Locked { .. })
                | SyncError::Index(revela_index::Error::File(FileError::Locked { .. }))
        );
        if is_locked { self } else { Self { scope: Scope::All, ..self } }
    }
}

fn wait(interrupt: &Interrupt) {
    let start = Instant::now();
    while start.elapsed() < AGAIN && !interrupt.requested() {
        std::thread::sleep(TICK);
    }
}

/// Looks at a part of the folder. New folders are watched before they are looked into, so that nothing is missed.
fn one(
    sync: &mut FolderSync,
    eyes: &mut Eyes,
    due: &Due,
    interrupt: &Interrupt,
    tell: &mut dyn FnMut(Notice),
) -> Result<Report, SyncError> {
    if let Scope::Paths(paths) = &due.scope {
        eyes.forget(paths);
    }
    let has_folders = match &due.scope {
        Scope::All => true,
        Scope::Paths(paths) => paths.iter().any(|path| path.is_dir()),
    };
    if has_folders {
        let folders = sync.folders(&due.scope, interrupt)?;
        eyes.look_at(&folders, tell);
    }
    let silent = revela_base::progress::Silent;
    sync.pass(&due.scope, Haste::Quick, &silent, interrupt).map(|(report, _)| report)
}

/// What the system tells: something happened here, or something was missed.
enum Message {
    Here(Vec<PathBuf>),
    Missed,
}

/// Watches folders.
struct Eyes {
    root: PathBuf,
    watcher: RecommendedWatcher,
    messages: Receiver<Message>,
    /// Those that are watched.
    watched: BTreeSet<PathBuf>,
    /// Whether there are others.
    is_blind: bool,
}

/// Whether every folder is watched for itself. Elsewhere the system watches a whole tree at no cost.
const EACH: bool = cfg!(any(target_os = "linux", target_os = "android"));

impl Eyes {
    fn open(root: PathBuf) -> Result<Self, SyncError> {
        let (sender, messages) = mpsc::channel();
        let handler = move |event: notify::Result<notify::Event>| {
            let message = match event {
                Ok(event) if event.need_rescan() => Message::Missed,
                Ok(event) if is_change(event.kind) => Message::Here(event.paths),
                Ok(_) => return,
                Err(_) => Message::Missed,
            };
            // Nobody listens any more when the program ends.
            let _ = sender.send(message);
        };
        let watcher =
            notify::recommended_watcher(handler).map_err(|error| SyncError::Watch(error.to_string()))?;
        Ok(Self { root, watcher, messages, watched: BTreeSet::new(), is_blind: false })
    }

    /// Watches these folders, and says once where that is not possible.
    fn look_at(&mut self, folders: &[PathBuf], tell: &mut dyn FnMut(Notice)) {
        let root = [self.root.clone()];
        let (folders, mode) =
            if EACH { (folders, RecursiveMode::NonRecursive) } else { (&root[..], RecursiveMode::Recursive) };
        for folder in folders {
            match self.watcher.watch(folder, mode) {
                Ok(()) => {
                    self.watched.insert(folder.clone());
                }
                Err(error) => {
                    let Some(why) = why(&error) else { continue };
                    if !std::mem::replace(&mut self.is_blind, true) {
                        tell(Notice::Looking(why, LOOK));
                    }
                    return;
                }
            }
        }
    }

    /// Forgets folders that are gone, so that the same names can be watched again.
    fn forget(&mut self, paths: &BTreeSet<PathBuf>) {
        for path in paths.iter().filter(|path| !path.is_dir()) {
            let below = self.watched.range(path.clone()..).take_while(|watched| watched.starts_with(path));
            for folder in below.cloned().collect::<Vec<_>>() {
                // The system has mostly forgotten it already.
                let _ = self.watcher.unwatch(&folder);
                self.watched.remove(&folder);
            }
        }
    }

    /// Waits a moment for something to happen, and then until it is over.
    fn burst(&self) -> Option<Due> {
        let first = match self.messages.recv_timeout(TICK) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(TICK);
                return None;
            }
        };
        let since = Instant::now();
        let mut paths = BTreeSet::new();
        let mut is_all = self.take(first, &mut paths);
        if paths.is_empty() && !is_all {
            return None;
        }
        while since.elapsed() < BURST
            && let Ok(message) = self.messages.recv_timeout(QUIET)
        {
            is_all |= self.take(message, &mut paths);
        }
        let scope = if is_all { Scope::All } else { Scope::Paths(paths) };
        Some(Due { scope, since: Some(since) })
    }

    /// Adds what a message is about. Returns whether it is about everything.
    fn take(&self, message: Message, paths: &mut BTreeSet<PathBuf>) -> bool {
        match message {
            Message::Missed => true,
            Message::Here(here) => {
                paths.extend(here.iter().filter_map(|path| concerned(&self.root, path)));
                paths.contains(&self.root)
            }
        }
    }
}

/// The part of the folder that an event at this path is about; nothing for what is never looked at.
fn concerned(root: &Path, path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(root).ok()?;
    let name = below.file_name().unwrap_or_default();
    let (part, is_rule) = match IGNORE_FILES.iter().any(|file| name == *file) {
        true => (below.parent()?, true),
        false => (below, false),
    };
    let is_hidden = part.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
    (!is_hidden).then(|| if is_rule { root.join(part) } else { path.to_owned() })
}

/// Whether something was changed, and not only looked at.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// Why a folder cannot be watched; nothing where it is gone.
fn why(error: &notify::Error) -> Option<String> {
    match &error.kind {
        ErrorKind::PathNotFound => None,
        ErrorKind::Io(io) if io.kind() == std::io::ErrorKind::NotFound => None,
        ErrorKind::MaxFilesWatch => Some(
            "the system's limit of watched folders is reached (on Linux raise fs.inotify.max_user_watches)"
                .to_owned(),
        ),
        _ => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_things_concern_nobody_and_rules_the_folder_that_they_are_in() {
        let root = Path::new("/r");
        let at = |path: &str| concerned(root, Path::new(path)).map(|path| path.display().to_string());
        assert_eq!(at("/r/a/b.md").as_deref(), Some("/r/a/b.md"));
        assert_eq!(at("/r/a/.gitignore").as_deref(), Some("/r/a"));
        assert_eq!(at("/r/.revelaignore").as_deref(), Some("/r/"));
        assert_eq!(at("/r").as_deref(), Some("/r"));
        for hidden in ["/r/.git/index", "/r/a/.b.swp", "/r/.revela/collection/.gitignore", "/elsewhere"] {
            assert_eq!(at(hidden), None, "{hidden}");
        }
    }
}
