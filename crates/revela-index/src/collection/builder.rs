//! Building a new collection.

use std::path::{Path, PathBuf};

use revela_base::checksum::Checksum;
use revela_base::embed::Embedder;
use revela_base::file::{DirLock, FileError};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_base::seed::Seed;
use revela_search::{Duplicates, Embedded, Entry};

use super::feed::{self, Watch};
use super::manifest::{BuildParameters, Manifest, Settings, TextSpace, VectorSpace};
use super::sink::Sink;
use super::spool::{self, Spool};
use super::{Collection, sweep};
use crate::bm25::Analyser;
use crate::error::Error;
use crate::metric::Metric;
use crate::options::VectorOptions;
use crate::vectors::RowReader;

/// Options of a new collection, and the ways to fill it.
///
/// ```no_run
/// # use revela_index::{CollectionBuilder, bm25::Analyser};
/// let builder = CollectionBuilder::new("code.collection".as_ref()).analyser(Analyser::Code);
/// ```
#[derive(Debug, Clone)]
pub struct CollectionBuilder {
    path: PathBuf,
    metric: Option<Metric>,
    analyser: Analyser,
    shard_rows: u32,
    duplicates: Duplicates,
    chunker: Option<serde_json::Value>,
    seed: Seed,
    vectors: VectorOptions,
}

impl CollectionBuilder {
    /// A collection that will stand at `path`, which must not hold one yet. The embedder's similarity, prose,
    /// a million rows per shard, no duplicate ids, unless other options are set.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            metric: None,
            analyser: Analyser::Prose,
            shard_rows: 1_000_000,
            duplicates: Duplicates::Refuse,
            chunker: None,
            seed: Seed(0),
            vectors: VectorOptions::default(),
        }
    }

    /// How vectors are compared, instead of as their embedder says (given vectors: by cosine).
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = Some(metric);
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

    /// Builds from passages, or entries with a payload: their texts always, and their vectors where there is
    /// an embedder. Started
    /// again after a kill or an error, it neither embeds again what was embedded nor, unless the last of
    /// equal ids wins, makes full shards again that were made.
    ///
    /// # Errors
    /// [`FileError::Exists`] when a collection stands there, [`FileError::Locked`] when one is being
    /// built there, [`Error::Source`] for the passages' own errors, [`Error::DuplicateId`],
    /// [`Error::Embed`], [`Error::Row`] for vectors that cannot be used, [`Error::Interrupted`].
    pub fn build<P, E>(
        &self,
        passages: impl IntoIterator<Item = Result<P, E>>,
        embedder: Option<&dyn Embedder>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Collection, Error>
    where
        P: Into<Entry>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let vectors = match embedder {
            Some(embedder) => {
                let encoder = Some(embedder.fingerprint());
                Some(self.space(embedder.dimension(), embedder.metric(), encoder)?)
            }
            None => None,
        };
        let texts = Some(TextSpace { analyser: self.analyser });
        self.fill(vectors, texts, Watch { progress, interrupt }, |sink, watch| {
            let spool = |e: &dyn Embedder| Spool::open(&self.path, e.dimension());
            let embedder = embedder.map(|e| Ok::<_, Error>((e, spool(e)?))).transpose()?;
            feed::passages(sink, passages, embedder, watch)
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
        let space = self.space(rows.dim(), Metric::default(), None)?;
        self.fill(Some(space), None, Watch { progress, interrupt }, |sink, watch| {
            feed::vectors(sink, rows, ids, 0, watch)
        })
    }

    /// Builds from entries that bring vectors of `dim` numbers. `encoder` says who made these, so that texts can be
    /// searched for with it; without it vectors must be. Without `with_texts` only ids, payloads and vectors are kept.
    ///
    /// # Errors
    /// As [`build`](Self::build); [`Error::Dimension`] for a vector of another length.
    pub fn build_embedded<E>(
        &self,
        rows: impl IntoIterator<Item = Result<Embedded, E>>,
        dim: usize,
        encoder: Option<&dyn Embedder>,
        with_texts: bool,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Collection, Error>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let usual = encoder.map_or(Metric::default(), Embedder::metric);
        let space = self.space(dim, usual, encoder.map(Embedder::fingerprint))?;
        let texts = with_texts.then_some(TextSpace { analyser: self.analyser });
        self.fill(Some(space), texts, Watch { progress, interrupt }, |sink, watch| {
            feed::embedded(sink, rows, dim, watch)
        })
    }

    fn space(&self, dim: usize, usual: Metric, encoder: Option<Checksum>) -> Result<VectorSpace, Error> {
        match u32::try_from(dim) {
            Ok(dim) if dim > 0 => {
                self.vectors.check(dim)?;
                let dtype = self.vectors.dtype;
                Ok(VectorSpace { dim, dtype, metric: self.metric.unwrap_or(usual), encoder })
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
        watch: Watch<'_>,
        push: impl FnOnce(&mut Sink<'_>, Watch<'_>) -> Result<(), Error>,
    ) -> Result<Collection, Error> {
        if self.shard_rows == 0 {
            let (option, rule) = ("shard_rows", "a shard needs at least one row");
            return Err(Error::Option { option, value: "0".to_owned(), rule });
        }
        let lock = DirLock::acquire(&self.path)?;
        if Manifest::exists(&self.path) {
            return Err(FileError::Exists { path: self.path.clone() }.into());
        }
        sweep::refuse_foreign(&self.path)?;
        let settings = Settings {
            generation: 0,
            next_shard: 0,
            vectors,
            texts,
            chunker: self.chunker.clone(),
            build: BuildParameters { shard_rows: self.shard_rows, seed: self.seed, vectors: self.vectors },
        };
        let empty = Manifest { settings, shards: Vec::new() };
        sweep::sweep(&self.path, &empty)?;
        let filled = || -> Result<Manifest, Error> {
            let mut sink = Sink::new(&self.path, empty.clone(), self.duplicates, watch)?;
            push(&mut sink, watch)?;
            let manifest = sink.finish()?;
            manifest.publish(&self.path)?;
            Ok(manifest)
        }();
        if filled.is_err() {
            // The reason why it failed is what matters; what stays is cleared by the next build.
            let _ = sweep::sweep(&self.path, &empty);
        }
        let manifest = filled?;
        sweep::sweep(&self.path, &manifest)?;
        spool::remove(&self.path)?;
        drop(lock);
        Collection::open(&self.path)
    }
}
