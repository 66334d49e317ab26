//! One pass over a folder: what is seen is compared with what is known, and the collection changed by the difference.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use revela_base::embed::Embedder;
use revela_base::file::{DirLock, FileError, create_dir, write_atomic};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_index::bm25::Analyser;
use revela_index::{Collection, CollectionBuilder, CollectionWriter, Entry};
use revela_text::Format;

use crate::change::Pass;
use crate::config::{Folder, Settings, Stored, home_of};
use crate::error::SyncError;
use crate::join::Haste;
use crate::report::Report;
use crate::scan::{self, Ground, Scan, Scope};
use crate::store::Store;

/// Keeps one collection true to one folder.
pub struct FolderSync {
    folder: Folder,
    embedder: Option<Arc<dyn Embedder>>,
    /// What is known, as long as nobody else changes the collection.
    store: Option<Store>,
}

impl FolderSync {
    /// For this folder; with an embedder, the collection has vectors.
    pub fn new(folder: Folder, embedder: Option<Arc<dyn Embedder>>) -> Self {
        Self { folder, embedder, store: None }
    }

    /// The collection's folder.
    pub fn collection(&self) -> &Path {
        &self.folder.collection
    }

    /// The folder that is kept.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Makes the collection true to the folder; makes it first where there is none.
    ///
    /// Whatever ends this, a kill included: the next time gives what it would have given.
    ///
    /// # Errors
    /// [`SyncError::Folder`] when the folder cannot be looked at, [`SyncError::OtherFolder`] and the like when the
    /// collection is not this folder's, [`FileError::Locked`](revela_base::file::FileError::Locked) while somebody else
    /// changes it. A file that cannot be used is no error: it is counted in the report.
    pub fn sync(&mut self, progress: &dyn Progress, interrupt: &Interrupt) -> Result<Report, SyncError> {
        self.pass(&Scope::All, Haste::None, progress, interrupt).map(|(report, _)| report)
    }

    /// Makes a new collection of the folder, and puts it in the place of the one that is there once it is whole.
    ///
    /// # Errors
    /// As [`sync`](Self::sync); [`SyncError::NotOurs`] when what stands there was not made by sync.
    pub fn sync_fresh(
        &mut self,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Report, SyncError> {
        let place = self.folder.collection.clone();
        if !Collection::is_at(&place) {
            return self.sync(progress, interrupt);
        }
        // A damaged one can be ours, too.
        let is_ours = match Collection::open(&place) {
            Ok(collection) => Settings::of(&collection).is_some(),
            Err(_) => place.join(crate::store::FILE).exists(),
        };
        if !is_ours {
            return Err(SyncError::NotOurs { path: place });
        }
        let beside = |what: &str| {
            let name = place.file_name().unwrap_or_default().to_string_lossy();
            place.with_file_name(format!(".{name}.{what}"))
        };
        let (new, old) = (beside("fresh"), beside("old"));
        for rest in [&new, &old] {
            remove(rest)?;
        }
        let folder = Folder { collection: new.clone(), ..self.folder.clone() };
        let report = Self::new(folder, self.embedder.clone()).sync(progress, interrupt)?;
        let _lock = DirLock::acquire(&place)?;
        rename(&place, &old)?;
        rename(&new, &place)?;
        remove(&old)?;
        self.store = None;
        Ok(report)
    }

    /// A pass over a part of the folder. Returns the folders that were looked into, too.
    pub(crate) fn pass(
        &mut self,
        scope: &Scope,
        haste: Haste,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(Report, Vec<PathBuf>), SyncError> {
        let start = Instant::now();
        let ground = self.ground()?;
        if !Collection::is_at(&self.folder.collection) {
            self.create(&ground, progress, interrupt)?;
        }
        let ground = self.ground()?;
        let mut writer = CollectionWriter::open(&self.folder.collection)?;
        let collection = Collection::open(&self.folder.collection)?;
        let settings = self.check(&collection)?;
        let kept = self.store.take().filter(|store| store.generation() == writer.generation());
        let (mut store, strays) = match kept {
            Some(store) => (store, Vec::new()),
            None => Store::open(&collection, &ground.root)?,
        };
        let ground = Ground { links: settings.links, ..ground };
        let pass = Pass { ground: &ground, settings: &settings, scope, haste, progress, interrupt };
        let scan = scan::scan(&ground, scope, interrupt)?;
        let folders = scan.folders.clone();
        let embedder = self.embedder.as_deref();
        let mut report = pass.apply(&mut writer, collection, &mut store, (scan, strays), embedder)?;
        // Only what went well is gone on from.
        self.store = Some(store);
        report.generation = writer.generation();
        report.seconds = start.elapsed().as_secs_f64();
        Ok((report, folders))
    }

    /// The folders of a part of the folder, without reading anything else.
    pub(crate) fn folders(&self, scope: &Scope, interrupt: &Interrupt) -> Result<Vec<PathBuf>, SyncError> {
        Ok(scan::scan(&self.ground()?, scope, interrupt)?.folders)
    }

    /// Where to look, with whole paths.
    pub(crate) fn ground(&self) -> Result<Ground, SyncError> {
        let path = &self.folder.path;
        let root =
            std::fs::canonicalize(path).map_err(|source| SyncError::Folder { path: path.clone(), source })?;
        if !root.is_dir() {
            return Err(SyncError::NoFolder { path: path.clone() });
        }
        let without = std::fs::canonicalize(&self.folder.collection)
            .or_else(|_| std::path::absolute(&self.folder.collection));
        let without = without.unwrap_or_else(|_| self.folder.collection.clone());
        Ok(Ground { root, without, links: self.folder.links.unwrap_or_default() })
    }

    /// Makes an empty collection.
    fn create(
        &self,
        ground: &Ground,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), SyncError> {
        let settings = self.folder.settings();
        settings.chunker.check()?;
        let analyser = match self.folder.analyser {
            Some(analyser) => analyser,
            None => usual_analyser(&scan::scan(ground, &Scope::All, interrupt)?),
        };
        if let Some(home) = home_of(&self.folder.collection) {
            create_dir(home)?;
            let ignore = home.join(".gitignore");
            if !ignore.exists() {
                write_atomic(&ignore, |out| out.write_all(b"*\n"))?;
            }
        }
        let chunker = serde_json::to_value(Stored { sync: settings })
            .map_err(|error| revela_index::Error::Source(error.into()))?;
        let none = std::iter::empty::<Result<Entry, SyncError>>();
        CollectionBuilder::new(&self.folder.collection).analyser(analyser).chunker(chunker).build(
            none,
            self.embedder.as_deref(),
            progress,
            interrupt,
        )?;
        Ok(())
    }

    /// The collection's settings, which must not differ from what was asked for.
    fn check(&self, collection: &Collection) -> Result<Settings, SyncError> {
        let path = || self.folder.collection.clone();
        let settings = Settings::of(collection).ok_or_else(|| SyncError::NotOurs { path: path() })?;
        settings.check_version(collection.path())?;
        let differs = |what, has: String, asked: String| {
            if has == asked { Ok(()) } else { Err(SyncError::Settings { path: path(), what, has, asked }) }
        };
        if let Some(size) = self.folder.chunk_size {
            differs("chunks of", words(settings.chunker.size), words(size))?;
        }
        if let Some(bytes) = self.folder.max_bytes {
            differs("a limit of", format!("{} bytes", settings.max_bytes), format!("{bytes} bytes"))?;
        }
        if let Some(links) = self.folder.links {
            differs("links", format!("{:?}", settings.links), format!("{links:?}"))?;
        }
        if let (Some(asked), Some(texts)) = (self.folder.analyser, collection.texts()) {
            differs("the analyser", format!("{:?}", texts.analyser), format!("{asked:?}"))?;
        }
        match (collection.vectors(), &self.embedder) {
            (Some(_), None) => {
                let encoder = settings.encoder.unwrap_or_else(|| "that made them".to_owned());
                Err(SyncError::NeedsEncoder { path: path(), encoder })
            }
            (None, Some(_)) => Err(SyncError::NoVectors { path: path() }),
            (Some(_), Some(embedder)) => {
                collection.check_encoder(embedder.fingerprint())?;
                Ok(settings)
            }
            (None, None) => Ok(settings),
        }
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    std::fs::rename(from, to).map_err(FileError::io("rename", from))
}

/// Removes a folder that may not be there.
fn remove(dir: &Path) -> Result<(), FileError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::io("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

fn words(count: usize) -> String {
    format!("{count} words")
}

/// Code where most documents are code.
fn usual_analyser(scan: &Scan) -> Analyser {
    let code = scan.files.iter().filter(|seen| matches!(seen.form.format(), Format::Code(_))).count();
    if code * 2 > scan.files.len() { Analyser::Code } else { Analyser::Prose }
}
