//! What is known of a folder's files: `sync.jsonl`, and the log of what happened since.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use revela_base::file::FileError;
use revela_base::lines::{LinesReader, LinesWriter};
use revela_index::Collection;
use serde::{Deserialize, Serialize};

use crate::error::SyncError;
use crate::log::{Event, Log};
use crate::record::{Named, Record, id};

/// Its name in a collection's folder.
pub(crate) const FILE: &str = "sync.jsonl";
const FORMAT: &str = "revela.sync.files";
const VERSION: u32 = 1;

/// Bytes of the log from which on everything is written anew, where that is less.
const LOG: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// The collection's generation of which this is known.
    generation: u64,
    /// The folder; with `?` for what is not UTF-8 in it.
    folder: String,
    /// The rules by which files were cut: others cut them otherwise.
    rules: u32,
}

/// Counts changes of what this program makes of the same file with the same settings.
const RULES: u32 = 1;

/// The rules of a file that only says which folder it is.
const NO_RULES: u32 = 0;

/// What is known of the files of a collection's folder.
pub(crate) struct Store {
    dir: PathBuf,
    folder: String,
    /// The generation of the collection of which it is known.
    generation: u64,
    records: BTreeMap<String, Record>,
    log: Log,
    /// Whether `sync.jsonl` is what the log goes on from.
    has_base: bool,
    /// Bytes of `sync.jsonl`.
    base: u64,
}

/// The folder that a collection holds, as it was written down.
pub(crate) fn folder(collection: &Path) -> Result<String, FileError> {
    let path = collection.join(FILE);
    let (_, head) = LinesReader::<Named>::open::<Head>(&path, FORMAT, VERSION..=VERSION)?;
    Ok(head.folder)
}

impl Store {
    /// Reads what is known of a collection. What is not known of this very generation is found out from the collection
    /// itself, and files of which it has passages are to be cut again.
    ///
    /// Gives ids in the collection that are no file's passages, too.
    pub(crate) fn open(collection: &Collection, folder: &Path) -> Result<(Self, Vec<String>), SyncError> {
        let dir = collection.path();
        let (log, events) = Log::open(dir)?;
        let mut store = Self {
            dir: dir.to_owned(),
            folder: folder.to_string_lossy().into_owned(),
            generation: collection.generation(),
            records: BTreeMap::new(),
            log,
            has_base: false,
            base: 0,
        };
        let known = store.read(collection, events)?;
        let strays = if known { Vec::new() } else { store.ask(collection)? };
        Ok((store, strays))
    }

    /// Reads the files; false where they do not tell the collection's present state.
    fn read(&mut self, collection: &Collection, events: Vec<Event>) -> Result<bool, SyncError> {
        let path = self.dir.join(FILE);
        let read = || -> Result<(Head, BTreeMap<String, Record>), FileError> {
            let (reader, head) = LinesReader::<Named>::open::<Head>(&path, FORMAT, VERSION..=VERSION)?;
            let named = reader.map(|named| named.map(|named| (named.path, named.record)));
            Ok((head, named.collect::<Result<_, _>>()?))
        };
        let (head, records) = match read() {
            Ok(read) => read,
            Err(error @ FileError::Version { .. }) => return Err(error.into()),
            // It saves work and is not needed.
            Err(_) => return Ok(false),
        };
        self.refuse_other_folder(&head.folder)?;
        if head.rules != RULES {
            return Ok(false);
        }
        self.records = records;
        self.base = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let mut generation = head.generation;
        let (mut about_to_change, mut ends_with_begin) = (BTreeSet::new(), false);
        for event in events.into_iter().filter(|event| event.generation() >= head.generation) {
            generation = event.generation();
            ends_with_begin = matches!(event, Event::Begin { .. });
            match event {
                Event::Begin { paths, .. } => about_to_change.extend(paths),
                Event::Known { records, gone, .. } => {
                    for path in records.iter().map(|named| &named.path).chain(&gone) {
                        about_to_change.remove(path);
                    }
                    self.put(records, &gone);
                }
            }
        }
        let now = collection.generation();
        let is_known = now == generation || (ends_with_begin && now == generation + 1);
        if is_known {
            self.records.extend(about_to_change.into_iter().map(|path| (path, Record::default())));
            self.has_base = true;
        }
        Ok(is_known)
    }

    /// A folder that was moved takes its collection along; one that is still there is another one.
    fn refuse_other_folder(&self, holds: &str) -> Result<(), SyncError> {
        let asked = PathBuf::from(&self.folder);
        // The collection may be named as seen from where one is, the folder is known by its whole path.
        let whole = std::fs::canonicalize(&self.dir).unwrap_or_else(|_| self.dir.clone());
        let around = crate::config::home_of(&whole).and_then(Path::parent);
        let is_other = match around {
            Some(around) => around != asked,
            None => holds != self.folder && Path::new(holds).is_dir(),
        };
        if !is_other {
            return Ok(());
        }
        let holds = around.map_or(holds.to_owned(), |around| around.display().to_string());
        Err(SyncError::OtherFolder { path: self.dir.clone(), holds, asked })
    }

    /// Asks the collection which files it has passages of.
    fn ask(&mut self, collection: &Collection) -> Result<Vec<String>, SyncError> {
        self.records.clear();
        let mut strays = Vec::new();
        collection.each_id(|found| {
            match found.rsplit_once('#').map(|(path, n)| (path, n.parse::<u32>())) {
                Some((path, Ok(ordinal))) if id(path, ordinal) == found => {
                    let record = self.records.entry(path.to_owned()).or_default();
                    record.chunks = record.chunks.max(ordinal.checked_add(1));
                }
                _ => strays.push(found.to_owned()),
            }
        })?;
        Ok(strays)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the files do not say yet what is known of this generation.
    pub(crate) fn lags(&self, generation: u64) -> bool {
        !self.has_base || self.generation != generation
    }

    pub(crate) fn records(&self) -> &BTreeMap<String, Record> {
        &self.records
    }

    fn put(&mut self, records: Vec<Named>, gone: &[String]) {
        for path in gone {
            self.records.remove(path);
        }
        self.records.extend(records.into_iter().map(|named| (named.path, named.record)));
    }

    /// Says that the passages of these files, and of no others, are about to change.
    pub(crate) fn begin(&mut self, paths: Vec<String>) -> Result<(), SyncError> {
        if !self.has_base {
            // Nothing is known, and whoever comes after a kill shall not think so.
            return self.write(NO_RULES);
        }
        Ok(self.log.push(&Event::Begin { generation: self.generation, paths }, true)?)
    }

    /// Takes note of what is known now.
    pub(crate) fn know(
        &mut self,
        generation: u64,
        records: Vec<Named>,
        gone: Vec<String>,
    ) -> Result<(), SyncError> {
        self.generation = generation;
        if !self.has_base {
            self.put(records, &gone);
            return self.write_base();
        }
        let event = Event::Known { generation, records, gone };
        self.log.push(&event, false)?;
        if let Event::Known { records, gone, .. } = event {
            self.put(records, &gone);
        }
        if self.log.bytes() > LOG.max(self.base) { self.write_base() } else { Ok(()) }
    }

    /// Writes everything anew.
    fn write_base(&mut self) -> Result<(), SyncError> {
        self.write(RULES)?;
        self.has_base = true;
        Ok(())
    }

    fn write(&mut self, rules: u32) -> Result<(), SyncError> {
        let path = self.dir.join(FILE);
        let head = Head { generation: self.generation, folder: self.folder.clone(), rules };
        let mut writer = LinesWriter::create(&path, FORMAT, VERSION, &head)?;
        for (path, record) in self.records.iter().filter(|_| rules != NO_RULES) {
            writer.push(&Named { path: path.clone(), record: record.clone() })?;
        }
        writer.finish()?;
        self.log.clear()?;
        self.base = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Ok(())
    }
}
