//! A pass under way: the difference between what is seen and what is known, and the collection changed by it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use revela_base::embed::Embedder;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_index::{Collection, CollectionWriter};
use revela_text::Chunker;

use crate::config::Settings;
use crate::error::{SyncError, unwrapped};
use crate::examine::Examiner;
use crate::feed::{Feed, Found};
use crate::join::{self, Haste};
use crate::record::{Record, id};
use crate::report::Report;
use crate::reuse::{Reusing, Texts};
use crate::scan::{self, Ground, Scan, Scope, Seen};
use crate::store::Store;

/// Passages after which what was embedded is made durable and can be found. Without vectors nothing takes long enough
/// to be worth a shard of its own.
const PORTION: usize = 20_000;

/// A pass under way.
pub(crate) struct Pass<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) settings: &'a Settings,
    pub(crate) scope: &'a Scope,
    pub(crate) haste: Haste,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) interrupt: &'a Interrupt,
}

/// What is different from what is known.
#[derive(Default)]
struct Difference {
    /// To be read.
    candidates: Vec<Seen>,
    /// What is known of them.
    known: HashMap<String, Record>,
    /// No longer there.
    gone: BTreeMap<String, Record>,
    /// Passages of no file.
    strays: Vec<String>,
    report: Report,
}

impl Pass<'_> {
    /// Brings the collection up to date with what was seen. `strays` are passages of no file.
    pub(crate) fn apply(
        &self,
        writer: &mut CollectionWriter,
        collection: Collection,
        store: &mut Store,
        seen: (Scan, Vec<String>),
        embedder: Option<&dyn Embedder>,
    ) -> Result<Report, SyncError> {
        let path = collection.path().to_owned();
        let (scan, strays) = seen;
        let difference = Difference { strays, ..self.difference(store, scan) };
        let mut report = self.change(writer, &collection, store, difference, embedder)?;
        drop(collection);
        let collection = Collection::open(&path)?;
        report.passages = collection.len();
        if join::is_due(&collection, self.haste) {
            store.begin(Vec::new())?;
            join::join(writer, collection, self.haste, self.progress, self.interrupt)?;
            store.know(writer.generation(), Vec::new(), Vec::new())?;
        }
        Ok(report)
    }

    fn difference(&self, store: &Store, scan: Scan) -> Difference {
        let mut difference =
            Difference { gone: self.known_here(store, &scan.unsure), ..Difference::default() };
        for (reason, path, detail) in scan.left_out {
            let shown = || format!("{}: {detail}", path.display());
            difference.report.leave_out(reason, shown);
        }
        for seen in scan.files {
            let Some(known) = difference.gone.remove(&seen.path) else {
                difference.candidates.push(seen);
                continue;
            };
            if known.stat != Some(seen.stat) || known.chunks.is_none() {
                difference.known.insert(seen.path.clone(), known);
                difference.candidates.push(seen);
                continue;
            }
            match known.left_out {
                Some(reason) => difference.report.leave_out(reason, || seen.path.clone()),
                None => difference.report.files.unchanged += 1,
            }
        }
        difference
    }

    /// What is known of the part that is looked at, but for what the system could not tell anything about.
    fn known_here(&self, store: &Store, unsure: &[std::path::PathBuf]) -> BTreeMap<String, Record> {
        let records = store.records();
        let is_sure = |path: &str| {
            unsure.is_empty() || !unsure.iter().any(|unsure| self.ground.root.join(path).starts_with(unsure))
        };
        let of = |path: &str, record: &Record| is_sure(path).then(|| (path.to_owned(), record.clone()));
        let Scope::Paths(paths) = self.scope else {
            return records.iter().filter_map(|(path, record)| of(path, record)).collect();
        };
        let mut here = BTreeMap::new();
        for name in paths.iter().filter_map(|path| scan::name(&self.ground.root, path)) {
            let inside = if name.is_empty() { String::new() } else { format!("{name}/") };
            here.extend(records.get(&name).and_then(|record| of(&name, record)));
            let below = records.range(inside.clone()..).take_while(|(path, _)| path.starts_with(&inside));
            here.extend(below.filter_map(|(path, record)| of(path, record)));
        }
        here
    }

    /// Changes the collection, a portion after the other; what is gone goes with the last, so that files that were moved
    /// are never missing.
    fn change(
        &self,
        writer: &mut CollectionWriter,
        collection: &Collection,
        store: &mut Store,
        mut difference: Difference,
        embedder: Option<&dyn Embedder>,
    ) -> Result<Report, SyncError> {
        let report = std::mem::take(&mut difference.report);
        let reusing = match embedder {
            Some(inner) => Some(Reusing::new(inner, collection, self.texts(collection, &difference)?)),
            None => None,
        };
        let gone = gone(collection, &difference.gone)?;
        let mut strays = std::mem::take(&mut difference.strays);
        let moved: HashSet<_> = difference.gone.values().filter_map(|record| record.content).collect();
        let examiner = Examiner {
            collection,
            known: difference.known,
            chunker: Chunker::new(self.settings.chunker, None)?,
            longest: self.settings.max_bytes,
        };
        let task = self.progress.task("sync", "files", Some(difference.candidates.len() as u64));
        let mut feed = Feed::new(&examiner, difference.candidates, moved, self.interrupt, task);
        feed.report = report;
        feed.report.files.removed += difference.gone.values().filter(|r| r.left_out.is_none()).count() as u64;
        loop {
            let is_any = feed.begin_portion()?;
            let is_due = is_any || !feed.found.remove.is_empty() || !strays.is_empty();
            if is_due || !gone.is_empty() {
                let paths = feed.open_paths().into_iter().chain(difference.gone.keys().cloned());
                store.begin(paths.collect())?;
                let embedder = reusing.as_ref().map(|reusing| reusing as &dyn Embedder);
                self.portion(writer, &mut feed, (std::mem::take(&mut strays), &gone), embedder)?;
            }
            let is_done = feed.is_done();
            let Found { records, gone: mut vanished, .. } = std::mem::take(&mut feed.found);
            if is_done {
                vanished.extend(std::mem::take(&mut difference.gone).into_keys());
            }
            let is_news = !records.is_empty() || !vanished.is_empty() || store.lags(writer.generation());
            if is_news {
                store.know(writer.generation(), records, vanished)?;
            }
            if is_done {
                let mut report = feed.report;
                (report.chunks.embedded, report.chunks.reused) =
                    reusing.as_ref().map_or((0, 0), Reusing::counts);
                return Ok(report);
            }
        }
    }

    /// Makes one change of the collection.
    fn portion(
        &self,
        writer: &mut CollectionWriter,
        feed: &mut Feed<'_>,
        (strays, gone): (Vec<String>, &[String]),
        embedder: Option<&dyn Embedder>,
    ) -> Result<(), SyncError> {
        let size = if embedder.is_some() { PORTION } else { usize::MAX };
        let feed = RefCell::new(feed);
        let entries = std::iter::from_fn(|| feed.borrow_mut().next(size));
        let remove = || {
            let mut feed = feed.borrow_mut();
            let mut remove = std::mem::take(&mut feed.found.remove);
            remove.extend(strays);
            if feed.is_done() {
                remove.extend_from_slice(gone);
            }
            feed.report.chunks.removed += remove.len() as u64;
            remove
        };
        writer.change(entries, remove, embedder, self.progress, self.interrupt).map_err(unwrapped)
    }

    /// The texts of all passages that are to be replaced or taken out.
    fn texts(&self, collection: &Collection, difference: &Difference) -> Result<Texts, SyncError> {
        let mut texts = Texts::default();
        if difference.candidates.is_empty() {
            return Ok(texts);
        }
        for (path, record) in difference.known.iter().chain(&difference.gone) {
            self.interrupt.check()?;
            texts.add(collection, path, record.chunks_in(collection, path)?)?;
        }
        Ok(texts)
    }
}

/// The passages of files that are gone.
fn gone(collection: &Collection, files: &BTreeMap<String, Record>) -> Result<Vec<String>, SyncError> {
    let mut ids = Vec::new();
    for (path, record) in files {
        ids.extend((0..record.chunks_in(collection, path)?).map(|ordinal| id(path, ordinal)));
    }
    Ok(ids)
}
