//! Building a new collection.

use std::path::{Path, PathBuf};

use revela_base::checksum::Checksum;
use revela_base::embed::{Embedder, TextKind};
use revela_base::file::{DirLock, FileError};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_base::seed::Seed;
use serde::{Deserialize, Serialize};

use super::Collection;
use super::manifest::{BuildParameters, Manifest, Settings, TextSpace, VectorSpace};
use super::sink::Sink;
use crate::bm25::Analyser;
use crate::error::Error;
use crate::metric::Metric;
use crate::options::VectorOptions;
use crate::passage::Passage;
use crate::vectors::{RowBlock, RowReader};

/// Passages that are embedded and written together.
const BLOCK: usize = 512;

/// What to do when an id comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicates {
    /// Fail with [`Error::DuplicateId`].
    #[default]
    Refuse,
    /// The last one stays.
    LastWins,
}

/// Options of a new collection, and the ways to fill it.
///
/// ```no_run
/// # use revela_index::{CollectionBuilder, bm25::Analyser};
/// let builder = CollectionBuilder::new("code.collection".as_ref()).analyser(Analyser::Code);
/// ```
#[derive(Debug, Clone)]
pub struct CollectionBuilder {
    path: PathBuf,
    metric: Metric,
    analyser: Analyser,
    shard_rows: u32,
    duplicates: Duplicates,
    chunker: Option<serde_json::Value>,
    seed: Seed,
    vectors: VectorOptions,
}

impl CollectionBuilder {
    /// A collection that will stand at `path`, which must not hold one yet. Cosine similarity, prose,
    /// a million rows per shard, no duplicate ids, unless other options are set.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            metric: Metric::Cosine,
            analyser: Analyser::Prose,
            shard_rows: 1_000_000,
            duplicates: Duplicates::Refuse,
            chunker: None,
            seed: Seed(0),
            vectors: VectorOptions::default(),
        }
    }

    /// How vectors are compared.
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// How texts are split into terms.
    #[must_use]
    pub fn analyser(mut self, analyser: Analyser) -> Self {
        self.analyser = analyser;
        self
    }

    /// Rows after which a shard is closed. One shard's vectors are in memory while it is built.
    #[must_use]
    pub fn shard_rows(mut self, rows: u32) -> Self {
        self.shard_rows = rows;
        self
    }

    /// What happens when an id comes again.
    #[must_use]
    pub fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// How documents were cut into passages; stored as it is and given back by [`Collection::chunker`].
    #[must_use]
    pub fn chunker(mut self, settings: serde_json::Value) -> Self {
        self.chunker = Some(settings);
        self
    }

    /// How vectors are stored and made quick to search.
    #[must_use]
    pub fn vectors(mut self, options: VectorOptions) -> Self {
        self.vectors = options;
        self
    }

    /// Fixes everything that is drawn at random.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// Builds from passages: their texts always, and their vectors where there is an embedder.
    ///
    /// # Errors
    /// [`FileError::Exists`] when a collection stands there, [`FileError::Locked`] when one is being
    /// built there, [`Error::Source`] for the passages' own errors, [`Error::DuplicateId`],
    /// [`Error::Embed`], [`Error::Row`] for vectors that cannot be used, [`Error::Interrupted`].
    pub fn build<E>(
        &self,
        passages: impl IntoIterator<Item = Result<Passage, E>>,
        embedder: Option<&dyn Embedder>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Collection, Error>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let vectors = match embedder {
            Some(embedder) => Some(self.space(embedder.dimension(), Some(embedder.fingerprint()))?),
            None => None,
        };
        let texts = Some(TextSpace { analyser: self.analyser });
        self.fill(vectors, texts, progress, interrupt, |sink| {
            let task = progress.task("index", "passages", None);
            let mut passages = passages.into_iter();
            loop {
                interrupt.check()?;
                let block = passages.by_ref().take(BLOCK).collect::<Result<Vec<_>, _>>();
                let block = block.map_err(|e| Error::Source(e.into()))?;
                if block.is_empty() {
                    return Ok(());
                }
                sink.push(&block, embed(embedder, &block)?)?;
                task.advance(block.len() as u64);
            }
        })
    }

    /// Builds from vectors alone. Ids are those in the file, or the lines of `ids`, or else row numbers.
    ///
    /// # Errors
    /// As [`build`](Self::build); [`Error::Shape`] when `ids` are not as many as there are rows.
    pub fn build_from_vectors(
        &self,
        rows: &mut RowReader,
        ids: Option<&[String]>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Collection, Error> {
        let space = self.space(rows.dim(), None)?;
        let total = rows.rows();
        self.fill(Some(space), None, progress, interrupt, |sink| {
            let task = progress.task("index", "vectors", total);
            let mut block = RowBlock::default();
            let mut done = 0;
            loop {
                interrupt.check()?;
                let count = rows.next_block(BLOCK, &mut block)?;
                let named = name_rows(rows.what(), ids, &mut block.ids, done, count)?;
                if count == 0 {
                    return Ok(());
                }
                sink.push(&named, std::mem::take(&mut block.data))?;
                done += count;
                task.advance(count as u64);
            }
        })
    }

    fn space(&self, dim: usize, encoder: Option<Checksum>) -> Result<VectorSpace, Error> {
        match u32::try_from(dim) {
            Ok(dim) if dim > 0 => {
                self.vectors.check(dim)?;
                let dtype = self.vectors.dtype;
                Ok(VectorSpace { dim, dtype, metric: self.metric, encoder })
            }
            _ => Err(Error::Option {
                option: "dimension",
                value: dim.to_string(),
                rule: "vectors need at least one number",
            }),
        }
    }

    /// Fills a new folder and publishes its first manifest.
    fn fill(
        &self,
        vectors: Option<VectorSpace>,
        texts: Option<TextSpace>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
        push: impl FnOnce(&mut Sink<'_>) -> Result<(), Error>,
    ) -> Result<Collection, Error> {
        if self.shard_rows == 0 {
            let (option, rule) = ("shard_rows", "a shard needs at least one row");
            return Err(Error::Option { option, value: "0".to_owned(), rule });
        }
        let lock = DirLock::acquire(&self.path)?;
        if Manifest::exists(&self.path) {
            return Err(FileError::Exists { path: self.path.clone() }.into());
        }
        clear_leftovers(&self.path)?;
        let settings = Settings {
            generation: 0,
            next_shard: 0,
            vectors,
            texts,
            chunker: self.chunker.clone(),
            build: BuildParameters { shard_rows: self.shard_rows, seed: self.seed, vectors: self.vectors },
        };
        let manifest = Manifest { settings, shards: Vec::new() };
        let filled = || -> Result<(), Error> {
            let mut sink = Sink::new(&self.path, manifest, self.duplicates, progress, interrupt)?;
            push(&mut sink)?;
            Ok(sink.finish()?.publish(&self.path)?)
        }();
        if filled.is_err() {
            // The reason why it failed is what matters; what stays is cleared by the next build.
            let _ = clear_leftovers(&self.path);
        }
        filled?;
        drop(lock);
        Collection::open(&self.path)
    }
}

/// Removes what a build that did not finish has left. Called under the lock, with no manifest there.
///
/// A folder with anything else in it was not ours to begin with and is refused.
fn clear_leftovers(dir: &Path) -> Result<(), FileError> {
    let mut ours = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(FileError::io("read", dir))? {
        let path = entry.map_err(FileError::io("read", dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == ".lock" {
            continue;
        }
        let temporary = name.starts_with('.') && name.ends_with(".tmp");
        let (number, kind) = name.split_once('.').unwrap_or_default();
        let numbered = number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit());
        let known = kind == "shard" || kind == "text" || kind.starts_with("deleted-");
        if !(temporary || numbered && known) {
            return Err(FileError::Exists { path });
        }
        ours.push(path);
    }
    for path in ours {
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.map_err(FileError::io("remove", &path))?;
    }
    Ok(())
}

fn embed(embedder: Option<&dyn Embedder>, block: &[Passage]) -> Result<Vec<f32>, Error> {
    let Some(embedder) = embedder else { return Ok(Vec::new()) };
    let texts: Vec<_> = block.iter().map(Passage::full_text).collect();
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    Ok(embedder.embed(TextKind::Passage, &texts)?)
}

/// Passages with nothing but ids, for rows `done` to `done + count`.
fn name_rows(
    what: &str,
    given: Option<&[String]>,
    in_file: &mut Vec<String>,
    done: usize,
    count: usize,
) -> Result<Vec<Passage>, Error> {
    let in_file = std::mem::take(in_file);
    let ids: Vec<String> = match given {
        Some(given) => {
            let ids = given.get(done..done + count);
            let left_over = count == 0 && given.len() != done;
            let (Some(ids), false) = (ids, left_over) else {
                let detail = format!("there are {} ids for its rows", given.len());
                return Err(Error::Shape { what: what.to_owned(), detail });
            };
            ids.to_vec()
        }
        None if in_file.len() == count => in_file,
        None => (done..done + count).map(|row| row.to_string()).collect(),
    };
    Ok(ids.into_iter().map(|id| Passage { id, title: String::new(), text: String::new() }).collect())
}
