//! Changing a collection.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use revela_base::embed::Embedder;
use revela_base::file::{DirLock, FileError};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_search::{Duplicates, Embedded, Entry};

use super::feed::{self, BLOCK, Watch};
use super::handle::ShardHandle;
use super::manifest::{Manifest, ShardEntry};
use super::sink::{self, Sink};
use super::spool::{self, Spool};
use super::{Collection, sweep};
use crate::error::Error;
use crate::metric::{Zeros, prepare};
use crate::rowset::RowSet;
use crate::vectors::{RowReader, Rows, Vectors};

/// The one writer of a collection: holds its lock while it lives. Each change is made as a whole or not at
/// all, also when the process is killed; collections that are open don't see it.
///
/// ```no_run
/// # fn main() -> Result<(), revela_index::Error> {
/// let mut writer = revela_index::CollectionWriter::open("notes.collection".as_ref())?;
/// writer.delete(["old", "older"])?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CollectionWriter {
    path: PathBuf,
    manifest: Manifest,
    _lock: DirLock,
}

impl CollectionWriter {
    /// Takes the lock of a collection, and clears away what changes that were killed have left.
    ///
    /// # Errors
    /// [`FileError::Locked`] when there is another writer, [`FileError`] when there is no collection.
    pub fn open(path: &Path) -> Result<Self, Error> {
        // Locking makes the folder, which must not happen for a mistyped name.
        Manifest::read(path)?;
        let lock = DirLock::acquire(path)?;
        let manifest = Manifest::read(path)?;
        sweep::sweep(path, &manifest)?;
        Ok(Self { path: path.to_owned(), manifest, _lock: lock })
    }

    /// Adds passages, or entries with a payload, as new shards. With [`Duplicates::LastWins`] this is how passages are replaced. Started
    /// again after a kill, it does not embed again what was embedded.
    ///
    /// # Errors
    /// As [`CollectionBuilder::build`](super::CollectionBuilder::build); [`Error::WrongEncoder`] when the
    /// embedder is not the collection's, [`Error::Unsupported`] when there is none and vectors are needed.
    pub fn add<P, E>(
        &mut self,
        passages: impl IntoIterator<Item = Result<P, E>>,
        embedder: Option<&dyn Embedder>,
        duplicates: Duplicates,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), Error>
    where
        P: Into<Entry>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let then = |_: &mut Sink<'_>| Ok(());
        self.feed(passages, embedder, duplicates, then, Watch { progress, interrupt })
    }

    /// Adds or replaces passages and takes others out, all in one change: no reader sees one without the other. `removed` is
    /// asked for ids once all passages have come; ids that the collection lacks are ignored.
    /// Started again after a kill, it does not embed again what was embedded.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn change<P, E>(
        &mut self,
        passages: impl IntoIterator<Item = Result<P, E>>,
        removed: impl FnOnce() -> Vec<String>,
        embedder: Option<&dyn Embedder>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), Error>
    where
        P: Into<Entry>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let then = |sink: &mut Sink<'_>| removed().iter().try_for_each(|id| sink.remove(id));
        self.feed(passages, embedder, Duplicates::LastWins, then, Watch { progress, interrupt })
    }

    /// Pushes passages and then does what belongs into the same change.
    fn feed<P, E>(
        &mut self,
        passages: impl IntoIterator<Item = Result<P, E>>,
        embedder: Option<&dyn Embedder>,
        duplicates: Duplicates,
        then: impl FnOnce(&mut Sink<'_>) -> Result<(), Error>,
        watch: Watch<'_>,
    ) -> Result<(), Error>
    where
        P: Into<Entry>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if self.manifest.settings.texts.is_none() {
            return Err(self.unsupported("it has only vectors; add vectors to it"));
        }
        let embedder = self.matching(embedder)?;
        self.append(duplicates, watch.progress, watch.interrupt, |sink, watch| {
            feed::passages(sink, passages, embedder, watch)?;
            then(sink)
        })?;
        Ok(spool::remove(&self.path)?)
    }

    /// How many changes the collection has seen.
    pub fn generation(&self) -> u64 {
        self.manifest.settings.generation
    }

    /// Adds vectors as new shards to a collection without texts. Without ids, rows are numbered on from
    /// the rows that the collection has, deleted ones included.
    ///
    /// # Errors
    /// As [`CollectionBuilder::build_from_vectors`](super::CollectionBuilder::build_from_vectors);
    /// [`Error::Dimension`], and [`Error::Unsupported`] for a collection with texts.
    pub fn add_vectors(
        &mut self,
        rows: &mut RowReader,
        ids: Option<&[String]>,
        duplicates: Duplicates,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        let settings = &self.manifest.settings;
        let Some(space) = settings.vectors.as_ref().filter(|_| settings.texts.is_none()) else {
            return Err(self.unsupported("it has texts; add passages to it"));
        };
        let (expected, found) = (space.dim as usize, rows.dim());
        if expected != found {
            return Err(Error::Dimension { what: rows.what().to_owned(), expected, found });
        }
        let first = self.manifest.shards.iter().map(|shard| u64::from(shard.rows)).sum();
        self.append(duplicates, progress, interrupt, |sink, watch| {
            feed::vectors(sink, rows, ids, first, watch)
        })
    }

    /// Adds entries that bring their vectors, as new shards. `encoder` says who made these, and must be whoever
    /// made the collection's; nothing where those were given, too.
    ///
    /// # Errors
    /// As [`CollectionBuilder::build_embedded`](super::CollectionBuilder::build_embedded); [`Error::WrongEncoder`],
    /// and [`Error::Unsupported`] for a collection without vectors.
    pub fn add_embedded<E>(
        &mut self,
        rows: impl IntoIterator<Item = Result<Embedded, E>>,
        encoder: Option<&dyn Embedder>,
        duplicates: Duplicates,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), Error>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(space) = &self.manifest.settings.vectors else {
            return Err(self.unsupported("it has no vectors; add passages without them"));
        };
        match encoder {
            Some(encoder) => space.check_encoder(&self.path, encoder.fingerprint())?,
            None if space.encoder.is_some() => {
                return Err(self.unsupported("its vectors need the encoder that made them"));
            }
            None => {}
        }
        let dim = space.dim as usize;
        self.append(duplicates, progress, interrupt, |sink, watch| feed::embedded(sink, rows, dim, watch))
    }

    /// Deletes the passages with these ids; ids that the collection lacks are ignored. Returns how many
    /// there were. Their room is given back by [`compact`](Self::compact).
    ///
    /// # Errors
    /// [`FileError`] when the disk is full or a shard is damaged.
    pub fn delete(&mut self, ids: impl IntoIterator<Item = impl AsRef<str>>) -> Result<u64, Error> {
        let shards = self.handles()?;
        let mut deleted: BTreeMap<usize, RowSet> = BTreeMap::new();
        let mut count = 0;
        for id in ids {
            for (number, shard) in shards.iter().enumerate() {
                if let Some(row) = shard.find(id.as_ref())? {
                    let set = deleted.entry(number).or_insert_with(|| RowSet::empty(shard.rows()));
                    count += u64::from(set.insert(row));
                }
            }
        }
        shards.iter().try_for_each(ShardHandle::check)?;
        if count > 0 {
            let mut manifest = self.manifest.clone();
            manifest.settings.generation += 1;
            sink::delete_rows(&self.path, &mut manifest, &shards, &deleted)?;
            manifest.shards.retain(|entry| entry.deleted.as_ref().is_none_or(|d| d.rows < entry.rows));
            drop(shards);
            self.publish(manifest)?;
        }
        Ok(count)
    }

    /// Writes shards anew so that deleted passages no longer take room and small shards become one; full
    /// shards without deleted passages at the beginning stay as they are. Returns whether anything changed.
    ///
    /// # Errors
    /// [`FileError`] when the disk is full or a shard is damaged, [`Error::Interrupted`].
    pub fn compact(&mut self, progress: &dyn Progress, interrupt: &Interrupt) -> Result<bool, Error> {
        let full = |entry: &&ShardEntry| {
            entry.deleted.is_none() && entry.rows >= self.manifest.settings.build.shard_rows
        };
        let kept = self.manifest.shards.iter().take_while(full).count();
        self.compact_after(kept, progress, interrupt)
    }

    /// Writes the last shards anew, so many of them, as [`compact`](Self::compact) does all: what many small changes have left
    /// becomes one shard, and what came before is not touched. Returns whether anything changed.
    ///
    /// # Errors
    /// As [`compact`](Self::compact).
    pub fn compact_last(
        &mut self,
        shards: usize,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<bool, Error> {
        self.compact_after(self.manifest.shards.len().saturating_sub(shards), progress, interrupt)
    }

    /// Writes all but the first shards anew.
    fn compact_after(
        &mut self,
        kept: usize,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<bool, Error> {
        let rest = self.manifest.shards.get(kept..).unwrap_or_default();
        if rest.iter().all(|entry| entry.deleted.is_none()) && rest.len() <= 1 {
            return Ok(false);
        }
        let collection = Collection::with_manifest(&self.path, &self.manifest)?;
        let mut manifest = self.manifest.clone();
        manifest.shards.truncate(kept);
        let mut sink = Sink::new(&self.path, manifest, Duplicates::Refuse, Watch { progress, interrupt })?;
        let live = collection.handles().iter().skip(kept).map(|shard| u64::from(shard.live_rows())).sum();
        let task = progress.task("compact", "passages", Some(live));
        collection.checked(|| {
            for number in kept..collection.handles().len() {
                copy_shard(&collection, number as u32, &mut sink, interrupt, &mut |done| task.advance(done))?;
            }
            Ok(())
        })?;
        let manifest = sink.finish()?;
        drop(collection);
        self.publish(manifest)?;
        Ok(true)
    }

    /// Measures anew what the graphs find, with rows as queries or with given ones, such as will be asked. Returns how
    /// many graphs there are.
    ///
    /// # Errors
    /// [`Error::Dimension`] and [`Error::Row`] for queries that cannot be asked, [`FileError`] when the disk is full or a shard is
    /// damaged, [`Error::Interrupted`].
    pub fn measure(
        &mut self,
        queries: Option<&Vectors>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<usize, Error> {
        let Some(space) = &self.manifest.settings.vectors else { return Ok(0) };
        let dim = space.dim as usize;
        let mut asked = queries.map(|queries| queries.view().data().to_vec());
        if let (Some(queries), Some(data)) = (queries, &mut asked) {
            let found = queries.view().dim();
            if found != dim {
                return Err(Error::Dimension { what: "the queries".to_owned(), expected: dim, found });
            }
            prepare(space.metric, Zeros::Refused, "the queries", 0, dim, data)?;
        }
        let asked = asked.as_deref().map(|data| Rows::new("the queries", dim, data)).transpose()?;
        let shards = self.handles()?;
        let (mut manifest, mut count) = (self.manifest.clone(), 0);
        for (entry, shard) in manifest.shards.iter_mut().zip(&shards) {
            if let Some(curve) = shard.measure(asked, progress, interrupt)? {
                (entry.recall, count) = (Some(curve), count + 1);
            }
        }
        shards.iter().try_for_each(ShardHandle::check)?;
        drop(shards);
        self.publish(manifest)?;
        Ok(count)
    }

    fn append(
        &mut self,
        duplicates: Duplicates,
        progress: &dyn Progress,
        interrupt: &Interrupt,
        push: impl FnOnce(&mut Sink<'_>, Watch<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let watch = Watch { progress, interrupt };
        let appended = || -> Result<Manifest, Error> {
            let mut sink = Sink::new(&self.path, self.manifest.clone(), duplicates, watch)?;
            push(&mut sink, watch)?;
            sink.finish()
        }();
        match appended {
            Ok(manifest) => self.publish(manifest),
            Err(error) => {
                // The reason why it failed is what matters; what stays is cleared by the next writer.
                let _ = sweep::sweep(&self.path, &self.manifest);
                Err(error)
            }
        }
    }

    /// Makes a change, then removes what it has replaced.
    fn publish(&mut self, manifest: Manifest) -> Result<(), Error> {
        manifest.publish(&self.path)?;
        self.manifest = manifest;
        Ok(sweep::sweep(&self.path, &self.manifest)?)
    }

    fn handles(&self) -> Result<Vec<ShardHandle>, FileError> {
        let open = |entry| ShardHandle::open(&self.path, &self.manifest.settings, entry);
        self.manifest.shards.iter().map(open).collect()
    }

    /// The embedder that the collection needs, with its spool; nothing for one without vectors.
    fn matching<'e>(
        &self,
        embedder: Option<&'e dyn Embedder>,
    ) -> Result<Option<(&'e dyn Embedder, Spool)>, Error> {
        match (&self.manifest.settings.vectors, embedder) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(self.unsupported("it has no vectors; add passages without an encoder")),
            (Some(_), None) => Err(self.unsupported("its vectors need the encoder that made them")),
            (Some(space), Some(embedder)) => {
                space.check_encoder(&self.path, embedder.fingerprint())?;
                Ok(Some((embedder, Spool::open(&self.path, space.dim as usize)?)))
            }
        }
    }

    fn unsupported(&self, what: &str) -> Error {
        Error::Unsupported(format!("cannot add to {} so: {what}", self.path.display()))
    }
}

/// Pushes the live rows of a shard.
fn copy_shard(
    collection: &Collection,
    number: u32,
    sink: &mut Sink<'_>,
    interrupt: &Interrupt,
    advance: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let Some(shard) = collection.handles().get(number as usize) else { return Ok(()) };
    let live: Vec<u32> = (0..shard.rows()).filter(|&row| shard.is_live(row)).collect();
    let rows = shard.shard().rows();
    for block in live.chunks(BLOCK) {
        interrupt.check()?;
        let passages = block.iter().map(|&row| collection.passage_at((number, row)));
        let passages = passages.collect::<Result<Vec<_>, _>>()?;
        let vectors = rows.iter().flat_map(|rows| block.iter().filter_map(|&row| rows.get(row)));
        let payloads = block.iter().map(|&row| collection.payload_at((number, row)));
        let payloads = payloads.collect::<Result<Vec<_>, _>>()?;
        sink.push_prepared(&passages, &payloads, &vectors.flatten().collect::<Vec<f32>>())?;
        advance(block.len() as u64);
    }
    Ok(())
}
