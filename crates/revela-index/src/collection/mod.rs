//! A folder that can be searched: shards of vectors, their texts, and a manifest that names them.
//!
//! ```text
//! collection/
//!   manifest.jsonl    settings, then one line per shard; replacing it is what makes a change
//!   000000.shard      ids and vectors of some rows, immutable, read in place
//!   000000.text/      BM25 index and stored texts of the same rows, immutable
//!   000000.deleted-3  rows that no longer count, since change 3
//! ```
//!
//! Readers never wait: they read the manifest and open what it names, and if a writer has meanwhile
//! replaced both, they start again. An opened [`Collection`] is a snapshot that later changes don't touch:
//! a shard that a reader has open is not removed (see `sweep`).

mod builder;
mod feed;
mod handle;
mod manifest;
mod resume;
mod sink;
mod spool;
mod sweep;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use revela_base::checksum::Checksum;
use revela_base::file::FileError;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_search::Passage;

use crate::error::Error;
use crate::info::ShardInfo;
use crate::payload::Payload;
use manifest::Manifest;

pub use crate::vectors::Dtype;
pub use builder::CollectionBuilder;
pub(crate) use handle::ShardHandle;
pub use manifest::{BuildParameters, TextSpace, VectorSpace};
pub use writer::CollectionWriter;

/// How often opening is tried again when a writer was faster.
const ATTEMPTS: usize = 10;

/// An opened collection: a snapshot that can be shared between threads.
pub struct Collection {
    path: PathBuf,
    manifest: Manifest,
    shards: Vec<ShardHandle>,
}

impl Collection {
    /// Whether a collection stands at this path, be it whole or damaged.
    pub fn is_at(path: &Path) -> bool {
        Manifest::exists(path)
    }

    /// Opens a collection. Vectors and texts are mapped, not read.
    ///
    /// # Errors
    /// [`FileError`] when the folder holds no collection, one of a newer version, or a damaged one.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut manifest = Manifest::read(path)?;
        for _ in 0..ATTEMPTS {
            match Self::with_manifest(path, &manifest) {
                Ok(collection) => return Ok(collection),
                Err(error) => {
                    let newer = Manifest::read(path)?;
                    if newer == manifest {
                        return Err(error.into());
                    }
                    manifest = newer;
                }
            }
        }
        Ok(Self::with_manifest(path, &manifest)?)
    }

    fn with_manifest(path: &Path, manifest: &Manifest) -> Result<Self, FileError> {
        let open = |entry| ShardHandle::open(path, &manifest.settings, entry);
        let shards = manifest.shards.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), manifest: manifest.clone(), shards })
    }

    /// Whether the folder still holds what was opened, and no file is known to have been cut since; a small
    /// file is read to tell.
    ///
    /// # Errors
    /// [`FileError`] when there is no collection any more, or a damaged one.
    pub fn is_current(&self) -> Result<bool, Error> {
        Ok(Manifest::read(&self.path)? == self.manifest && self.shards.iter().all(ShardHandle::is_whole))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Passages that can be found.
    pub fn len(&self) -> u64 {
        self.shards.iter().map(|shard| u64::from(shard.live_rows())).sum()
    }

    /// Whether there is nothing to be found.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many changes the collection has seen.
    pub fn generation(&self) -> u64 {
        self.manifest.settings.generation
    }

    /// What its vectors are, where it has some.
    pub fn vectors(&self) -> Option<&VectorSpace> {
        self.manifest.settings.vectors.as_ref()
    }

    /// What its texts are, where it has some.
    pub fn texts(&self) -> Option<&TextSpace> {
        self.manifest.settings.texts.as_ref()
    }

    /// How documents were cut into passages, as whoever cut them described it to the builder.
    pub fn chunker(&self) -> Option<&serde_json::Value> {
        self.manifest.settings.chunker.as_ref()
    }

    /// How it was built.
    pub fn build_parameters(&self) -> &BuildParameters {
        &self.manifest.settings.build
    }

    /// Its shards, oldest first.
    pub fn shards(&self) -> Vec<ShardInfo> {
        self.shards.iter().map(ShardHandle::info).collect()
    }

    /// Bytes of the text indexes.
    pub(crate) fn text_bytes(&self) -> u64 {
        let files = self.manifest.shards.iter().flat_map(|entry| entry.texts.iter().flatten());
        files.map(|(_, file)| file.bytes).sum()
    }

    /// What was read of the shards, unless some of it was not there (see [`crate::survive_truncated_files`]):
    /// then even a panic, which tantivy may answer zeros with, is that error.
    pub(crate) fn checked<T>(&self, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let read = catch_unwind(AssertUnwindSafe(read));
        self.shards.iter().try_for_each(ShardHandle::check)?;
        read.unwrap_or_else(|panic| resume_unwind(panic))
    }

    pub(crate) fn handles(&self) -> &[ShardHandle] {
        &self.shards
    }

    /// Where the live row with this id is, as (shard, row).
    pub(crate) fn find(&self, id: &str) -> Result<Option<(u32, u32)>, Error> {
        for (number, shard) in self.shards.iter().enumerate().rev() {
            if let Some(row) = shard.find(id)? {
                return Ok(Some((number as u32, row)));
            }
        }
        Ok(None)
    }

    /// Whether a passage with this id can be found.
    ///
    /// # Errors
    /// [`FileError`] when a shard is damaged.
    pub fn contains(&self, id: &str) -> Result<bool, Error> {
        self.checked(|| Ok(self.find(id)?.is_some()))
    }

    /// Hands out the id of every passage that can be found, shard by shard.
    ///
    /// # Errors
    /// [`FileError`] when a shard is damaged.
    pub fn each_id(&self, mut each: impl FnMut(&str)) -> Result<(), Error> {
        self.checked(|| {
            for shard in &self.shards {
                for row in (0..shard.rows()).filter(|&row| shard.is_live(row)) {
                    each(shard.shard().id(row)?);
                }
            }
            Ok(())
        })
    }

    /// The passage with this id; title and text are empty in a collection without texts.
    ///
    /// # Errors
    /// [`FileError`] or [`Error::Text`] when the collection is damaged.
    pub fn passage(&self, id: &str) -> Result<Option<Passage>, Error> {
        self.checked(|| self.find(id)?.map(|place| self.passage_at(place)).transpose())
    }

    fn shard_at(&self, number: u32) -> Result<&ShardHandle, Error> {
        let absent = || Error::Unsupported(format!("the collection has no shard number {number}"));
        self.shards.get(number as usize).ok_or_else(absent)
    }

    /// The id of a (shard, row).
    pub(crate) fn id_at(&self, (number, row): (u32, u32)) -> Result<&str, Error> {
        Ok(self.shard_at(number)?.shard().id(row)?)
    }

    /// The passage of a (shard, row).
    pub(crate) fn passage_at(&self, (number, row): (u32, u32)) -> Result<Passage, Error> {
        let shard = self.shard_at(number)?;
        let id = shard.shard().id(row)?.to_owned();
        if self.texts().is_none() {
            return Ok(Passage { id, title: String::new(), text: String::new() });
        }
        let passage = shard.texts()?.passage(row)?;
        if passage.id != id {
            let detail = format!("row {row} is {:?} in the texts and {id:?} in the shard", passage.id);
            return Err(FileError::corrupt(&self.path, detail).into());
        }
        Ok(passage)
    }

    /// What is known of the passage with this id beside its text; empty where nothing is.
    ///
    /// # Errors
    /// [`FileError`] when a shard is damaged.
    pub fn payload(&self, id: &str) -> Result<Option<Payload>, Error> {
        self.checked(|| self.find(id)?.map(|place| self.payload_at(place)).transpose())
    }

    /// The payload of a (shard, row).
    pub(crate) fn payload_at(&self, (number, row): (u32, u32)) -> Result<Payload, Error> {
        Ok(self.shard_at(number)?.shard().payload(row)?)
    }

    /// The vector of the passage with this id, as it is stored: of length 1 for [`Metric::Cosine`].
    ///
    /// [`Metric::Cosine`]: crate::Metric::Cosine
    ///
    /// # Errors
    /// [`FileError`] when a shard is damaged.
    pub fn vector(&self, id: &str) -> Result<Option<Vec<f32>>, Error> {
        self.checked(|| Ok(self.find(id)?.and_then(|place| self.vector_at(place))))
    }

    /// The vector of a (shard, row).
    pub(crate) fn vector_at(&self, (number, row): (u32, u32)) -> Option<Vec<f32>> {
        self.shards.get(number as usize)?.shard().rows()?.get(row)
    }

    /// Refuses an encoder that did not make the vectors.
    ///
    /// # Errors
    /// [`Error::WrongEncoder`], or [`Error::Unsupported`] where there are no vectors.
    pub fn check_encoder(&self, found: Checksum) -> Result<(), Error> {
        let Some(vectors) = self.vectors() else {
            return Err(Error::Unsupported(format!(
                "the collection {} has no vectors; build it with an encoder",
                self.path.display()
            )));
        };
        vectors.check_encoder(&self.path, found)
    }

    /// Reads every byte and compares it with the checksums.
    ///
    /// # Errors
    /// The first damage that is found; [`Error::Interrupted`].
    pub fn verify(&self, progress: &dyn Progress, interrupt: &Interrupt) -> Result<(), Error> {
        let task = progress.task("verify", "shards", Some(self.shards.len() as u64));
        for shard in &self.shards {
            interrupt.check()?;
            shard.verify()?;
            task.advance(1);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Collection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collection").field("path", &self.path).field("shards", &self.shards()).finish()
    }
}
