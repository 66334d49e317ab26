//! Turning a stream of rows into shards.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use revela_base::artifact::FileEntry;
use revela_base::checksum::Checksum;
use revela_base::file::{FileError, sync_dir};
use revela_search::{Duplicates, Passage};

use super::feed::Watch;
use super::handle::ShardHandle;
use super::manifest::{self, Deleted, Manifest, Settings, ShardEntry};
use super::resume::{self, Begun, Finished, Known, Row};
use crate::bm25::TextIndexWriter;
use crate::error::Error;
use crate::metric::{self, Metric, Zeros};
use crate::payload::{Payload, PayloadColumn};
use crate::rowset::RowSet;
use crate::shard::ShardInput;
use crate::vectors::Vectors;

/// Adds rows to a collection's folder, shard by shard. Nothing counts until the manifest that
/// [`finish`](Self::finish) returns is published.
pub(super) struct Sink<'a> {
    dir: &'a Path,
    manifest: Manifest,
    duplicates: Duplicates,
    watch: Watch<'a>,
    /// The shards of the manifest.
    closed: Vec<ShardHandle>,
    /// Rows of closed shards that a later row with the same id replaces, by shard.
    replaced: BTreeMap<usize, RowSet>,
    open: Option<OpenShard>,
    rows: u64,
    /// The settings before the change.
    began: Settings,
    /// Full shards of the change.
    added: Vec<ShardEntry>,
    /// Full shards of the same change when it was last begun.
    finished: Finished,
}

/// The shard that is being filled.
struct OpenShard {
    name: String,
    ids: Vec<String>,
    by_id: HashMap<String, u32>,
    replaced: Vec<u32>,
    payloads: PayloadColumn,
    vectors: Option<Vectors>,
    texts: Option<TextIndexWriter>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        dir: &'a Path,
        manifest: Manifest,
        duplicates: Duplicates,
        watch: Watch<'a>,
    ) -> Result<Self, Error> {
        let open = |entry| ShardHandle::open(dir, &manifest.settings, entry);
        let closed = manifest.shards.iter().map(open).collect::<Result<_, _>>()?;
        let replaced = BTreeMap::new();
        let began = manifest.settings.clone();
        let (finished, added) = (Finished::of(dir, &began, duplicates), Vec::new());
        Ok(Self {
            dir,
            manifest,
            duplicates,
            watch,
            closed,
            replaced,
            open: None,
            rows: 0,
            began,
            added,
            finished,
        })
    }

    /// Adds rows: one passage each (only the id counts in a collection without texts), and the numbers
    /// of one vector each where the collection has vectors. Rows beyond the payloads have none.
    pub(super) fn push(
        &mut self,
        passages: &[Passage],
        payloads: &[Payload],
        mut data: Vec<f32>,
    ) -> Result<(), Error> {
        self.prepare(&mut data)?;
        self.push_prepared(passages, payloads, &data)
    }

    /// Checks the numbers of the next rows.
    pub(super) fn check(&self, data: &[f32]) -> Result<(), Error> {
        self.prepare(&mut data.to_vec())
    }

    /// Makes the numbers of the next rows what is stored.
    fn prepare(&self, data: &mut [f32]) -> Result<(), Error> {
        let Some(space) = &self.manifest.settings.vectors else { return Ok(()) };
        let dim = space.dim as usize;
        // Vectors that come with texts were made of them by an encoder.
        let zeros = if self.manifest.settings.texts.is_some() { Zeros::Kept } else { Zeros::Refused };
        metric::prepare(space.metric, zeros, "the vectors", self.rows, dim, data)?;
        space.dtype.round("the vectors", self.rows, dim, data)
    }

    /// Adds rows whose vectors are already as they are stored.
    pub(super) fn push_prepared(
        &mut self,
        passages: &[Passage],
        payloads: &[Payload],
        data: &[f32],
    ) -> Result<(), Error> {
        let dim = self.manifest.settings.vectors.as_ref().map_or(0, |space| space.dim as usize);
        if data.len() != passages.len() * dim {
            let detail = format!("{} numbers for {} rows of {dim}", data.len(), passages.len());
            return Err(Error::Shape { what: "the vectors".to_owned(), detail });
        }
        for (number, passage) in passages.iter().enumerate() {
            let vector = data.get(number * dim..(number + 1) * dim).unwrap_or_default();
            self.push_row(passage, payloads.get(number), vector)?;
        }
        Ok(())
    }

    fn push_row(
        &mut self,
        passage: &Passage,
        payload: Option<&Payload>,
        vector: &[f32],
    ) -> Result<(), Error> {
        let row = Row { passage, payload, vector };
        if self.open.is_none() {
            match self.finished.compare(self.dir, &self.manifest.settings, row)? {
                Known::No => {}
                Known::NoLonger(begun) => self.take_over(begun)?,
                Known::Row => return self.count_known(&passage.id),
                Known::LastOf(entry, shard) => {
                    self.count_known(&passage.id)?;
                    return self.adopt(entry, shard);
                }
            }
        }
        self.replace_earlier(&passage.id)?;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.start()?,
        };
        open.push(row)?;
        self.rows += 1;
        let full = open.ids.len() >= self.manifest.settings.build.shard_rows as usize;
        self.open = Some(open);
        if full { self.close() } else { Ok(()) }
    }

    fn start(&mut self) -> Result<OpenShard, Error> {
        let next = &mut self.manifest.settings.next_shard;
        *next = self.finished.beyond.max(*next);
        OpenShard::start(self.dir, &mut self.manifest)
    }

    /// Counts a row that a finished shard has already.
    fn count_known(&mut self, id: &str) -> Result<(), Error> {
        self.rows += 1;
        self.replace_earlier(id)
    }

    /// Begins a shard with the rows that came again of a finished one.
    fn take_over(&mut self, begun: Begun) -> Result<(), Error> {
        let mut open = self.start()?;
        begun.each_row(|row| open.push(row))?;
        self.open = Some(open);
        Ok(())
    }

    /// Adds a finished shard as it is.
    fn adopt(&mut self, entry: ShardEntry, shard: ShardHandle) -> Result<(), Error> {
        self.closed.push(shard);
        self.added.push(entry.clone());
        self.manifest.shards.push(entry);
        Ok(())
    }

    fn replace_earlier(&mut self, id: &str) -> Result<(), Error> {
        let earlier_here = self.open.as_ref().and_then(|open| open.by_id.get(id).copied());
        let earlier = match earlier_here {
            Some(_) => None,
            None => self.find_closed(id)?,
        };
        if self.duplicates == Duplicates::Refuse && (earlier_here.is_some() || earlier.is_some()) {
            return Err(Error::DuplicateId { id: id.to_owned() });
        }
        if let (Some(row), Some(open)) = (earlier_here, &mut self.open) {
            open.replaced.push(row);
        }
        if let Some((shard, row)) = earlier {
            let limit = self.closed.get(shard).map_or(0, ShardHandle::rows);
            self.replaced.entry(shard).or_insert_with(|| RowSet::empty(limit)).insert(row);
        }
        Ok(())
    }

    /// Takes out the row with this id, whether it is of the collection or was just added.
    pub(super) fn remove(&mut self, id: &str) -> Result<(), Error> {
        if let Some(open) = &mut self.open
            && let Some(row) = open.by_id.remove(id)
        {
            open.replaced.push(row);
        }
        if let Some((shard, row)) = self.find_closed(id)? {
            let limit = self.closed.get(shard).map_or(0, ShardHandle::rows);
            self.replaced.entry(shard).or_insert_with(|| RowSet::empty(limit)).insert(row);
        }
        Ok(())
    }

    fn find_closed(&self, id: &str) -> Result<Option<(usize, u32)>, Error> {
        for (number, shard) in self.closed.iter().enumerate().rev() {
            let replaced = self.replaced.get(&number);
            let row = shard.find(id)?.filter(|&row| replaced.is_none_or(|set| !set.contains(row)));
            if let Some(row) = row {
                return Ok(Some((number, row)));
            }
        }
        Ok(None)
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let entry = open.close(self.dir, &self.manifest, self.watch)?;
        self.closed.push(ShardHandle::open(self.dir, &self.manifest.settings, &entry)?);
        if self.duplicates == Duplicates::Refuse && entry.rows >= self.manifest.settings.build.shard_rows {
            self.added.push(entry.clone());
            resume::note(self.dir, &self.began, &self.added)?;
        }
        self.manifest.shards.push(entry);
        Ok(())
    }

    /// Writes what is still open. Returns the manifest of the collection with all rows added.
    pub(super) fn finish(mut self) -> Result<Manifest, Error> {
        if let Some(begun) = self.finished.give_up() {
            self.take_over(begun)?;
        }
        self.close()?;
        self.closed.iter().try_for_each(ShardHandle::check)?;
        let next = &mut self.manifest.settings.next_shard;
        *next = self.finished.beyond.max(*next);
        self.manifest.settings.generation += 1;
        delete_rows(self.dir, &mut self.manifest, &self.closed, &self.replaced)?;
        let is_left =
            |entry: &ShardEntry| entry.deleted.as_ref().is_none_or(|deleted| deleted.rows < entry.rows);
        self.manifest.shards.retain(is_left);
        Ok(self.manifest)
    }
}

/// Takes rows, by shard, out of a manifest that counts a change already.
pub(super) fn delete_rows(
    dir: &Path,
    manifest: &mut Manifest,
    shards: &[ShardHandle],
    rows: &BTreeMap<usize, RowSet>,
) -> Result<(), FileError> {
    for (&number, rows) in rows {
        if let (Some(entry), Some(shard)) = (manifest.shards.get_mut(number), shards.get(number)) {
            let mut deleted = RowSet::empty(entry.rows);
            (0..entry.rows).filter(|&row| rows.contains(row) || !shard.is_live(row)).for_each(|row| {
                deleted.insert(row);
            });
            entry.deleted = write_deleted(dir, &entry.name, manifest.settings.generation, &deleted)?;
        }
    }
    Ok(())
}

/// Writes the set of a shard's deleted rows under a new name; nothing for the empty set.
fn write_deleted(
    dir: &Path,
    name: &str,
    generation: u64,
    rows: &RowSet,
) -> Result<Option<Deleted>, FileError> {
    let count = rows.count();
    if count == 0 {
        return Ok(None);
    }
    let file = format!("{name}.deleted-{generation}");
    rows.write(&dir.join(&file))?;
    Ok(Some(Deleted { file, rows: count }))
}

impl OpenShard {
    fn start(dir: &Path, manifest: &mut Manifest) -> Result<Self, Error> {
        let settings = &mut manifest.settings;
        let name = format!("{:06}", settings.next_shard);
        settings.next_shard += 1;
        let folder = dir.join(manifest::text_folder(&name));
        let texts = settings.texts.as_ref().map(|texts| TextIndexWriter::in_dir(&folder, texts.analyser));
        let vectors = settings.vectors.as_ref().map(|space| Vectors::empty(space.dim as usize));
        Ok(Self {
            name,
            ids: Vec::new(),
            by_id: HashMap::new(),
            replaced: Vec::new(),
            payloads: PayloadColumn::default(),
            vectors: vectors.transpose()?,
            texts: texts.transpose()?,
        })
    }

    fn push(&mut self, row: Row<'_>) -> Result<(), Error> {
        let Row { passage, payload, vector } = row;
        self.payloads.push(payload)?;
        if let Some(texts) = &mut self.texts {
            texts.add(&passage.id, &passage.title, &passage.text)?;
        }
        if let Some(vectors) = &mut self.vectors {
            vectors.push_checked(vector);
        }
        self.by_id.insert(passage.id.clone(), self.ids.len() as u32);
        self.ids.push(passage.id.clone());
        Ok(())
    }

    fn close(self, dir: &Path, manifest: &Manifest, watch: Watch<'_>) -> Result<ShardEntry, Error> {
        let settings = &manifest.settings;
        let options = settings.build.vectors;
        let metric = settings.vectors.as_ref().map_or(Metric::Cosine, |space| space.metric);
        let rows = self.vectors.as_ref().map(Vectors::view);
        let vectors = rows.map(|rows| options.prepare(rows, metric, watch.progress, watch.interrupt));
        let texts = match self.texts {
            None => None,
            Some(texts) => {
                drop(texts.finish()?);
                Some(list_files(&dir.join(manifest::text_folder(&self.name)))?)
            }
        };
        let vectors = vectors.transpose()?;
        let recall = vectors.as_ref().and_then(|vectors| vectors.recall.clone());
        let input = ShardInput {
            metric,
            vectors,
            ids: &self.ids,
            payloads: Some(&self.payloads),
            seed: settings.build.seed.derive(&self.name).0,
            encoder: settings.vectors.as_ref().and_then(|space| space.encoder),
        };
        let identity = input.write(&dir.join(manifest::shard_file(&self.name)))?;
        let rows = self.ids.len() as u32;
        let mut replaced = RowSet::empty(rows);
        self.replaced.iter().for_each(|&row| {
            replaced.insert(row);
        });
        let deleted = write_deleted(dir, &self.name, settings.generation + 1, &replaced)?;
        Ok(ShardEntry { name: self.name, rows, identity, texts, deleted, recall })
    }
}

/// Syncs the files of a finished text index and describes them. Lock files, which only its writer
/// needed, are removed.
fn list_files(folder: &Path) -> Result<BTreeMap<String, FileEntry>, FileError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(FileError::io("read", folder))? {
        paths.push(entry.map_err(FileError::io("read", folder))?.path());
    }
    paths.sort();
    let mut files = BTreeMap::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".lock") {
            std::fs::remove_file(&path).map_err(FileError::io("remove", &path))?;
            continue;
        }
        let file = std::fs::File::open(&path).map_err(FileError::io("open", &path))?;
        file.sync_all().map_err(FileError::io("sync", &path))?;
        let bytes = file.metadata().map_err(FileError::io("open", &path))?.len();
        files.insert(name, FileEntry { bytes, blake3: Checksum::of_file(&path)? });
    }
    sync_dir(folder)?;
    Ok(files)
}
