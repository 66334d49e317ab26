//! A collection that is served: what is open now, and how it is replaced by what stands on disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use revela_base::checksum::Checksum;
use revela_index::info::ShardInfo;
use revela_index::{Collection, Searcher};
use revela_search::{Count, Description, Mode, Query, Store, StoreError, VectorField};

use crate::metrics::{Event, Metrics, lock};

/// What is open of a collection, ready to be searched.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// How much it held when it was opened.
    pub(crate) count: Count,
    /// The folder's collection, where it is one: for what only folders have to be asked or told.
    pub(crate) folder: Option<Searcher>,
}

impl Opened {
    fn folder(path: &Path) -> Result<Self, StoreError> {
        let searcher = Searcher::new(Collection::open(path)?);
        // Opens the texts too, so that a snapshot needs its folder no more.
        if searcher.collection().texts().is_some() {
            searcher.search(&Query::text("a").k(1).mode(Mode::Bm25))?;
        }
        let store: Arc<dyn Store> = Arc::new(searcher.clone());
        Ok(Self { count: store.count()?, store, folder: Some(searcher) })
    }

    fn store(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        Ok(Self { count: store.count()?, store, folder: None })
    }

    pub(crate) fn describe(&self) -> &Description {
        self.store.describe()
    }

    /// Its shards, where it is a folder that can be compacted.
    pub(crate) fn shards(&self) -> Vec<ShardInfo> {
        self.folder.as_ref().map(|searcher| searcher.collection().shards()).unwrap_or_default()
    }
}

/// Where a collection comes from.
pub(crate) enum Origin {
    /// A folder on this machine, which other programs may change.
    Folder(PathBuf),
    /// A store that whoever embeds the server has opened.
    Store(Arc<dyn Store>),
}

/// A collection under its name; what is open is replaced as a whole.
pub(crate) struct Live {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    /// Fingerprint of the server's encoder.
    pub(crate) encoder: Option<Checksum>,
    opened: RwLock<Arc<Opened>>,
    /// Held while it is opened anew.
    opening: Mutex<()>,
    /// Whether the last look at the folder failed, so that a failure is told once.
    failing: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Live {
    pub(crate) fn open(
        name: &str,
        origin: Origin,
        encoder: Option<Checksum>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let opened = match &origin {
            Origin::Folder(path) => Opened::folder(path)?,
            Origin::Store(store) => Opened::store(store.clone())?,
        };
        let other = |vectors: VectorField| encoder.is_some() && vectors.encoder != encoder;
        if opened.describe().vectors.is_some_and(other) {
            let advice = "texts are searched for by BM25 only; start with the encoder that made the vectors";
            tracing::warn!(collection = name, advice, "the encoder is not the one of this collection");
        }
        Ok(Self {
            name: name.to_owned(),
            origin,
            encoder,
            opened: RwLock::new(Arc::new(opened)),
            opening: Mutex::default(),
            failing: AtomicBool::new(false),
            metrics,
        })
    }

    /// What is open now; it stays usable whatever happens to the folder.
    pub(crate) fn now(&self) -> Arc<Opened> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the folder, and opens it anew when it has changed; a store is counted again. What cannot be opened
    /// leaves the old.
    pub(crate) fn refresh(&self) -> Result<(), StoreError> {
        let _alone = lock(&self.opening);
        match self.newer() {
            Ok(opened) => {
                self.failing.store(false, Ordering::Relaxed);
                if let Some(opened) = opened {
                    self.replace(opened);
                }
                Ok(())
            }
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    self.metrics.count(Event::ReloadFailed);
                    let advice = "what was open is served on; repair or rebuild the collection";
                    tracing::error!(collection = self.name, %error, advice, "cannot open the collection");
                }
                Err(error)
            }
        }
    }

    /// What should be open instead, where that is not what is open.
    fn newer(&self) -> Result<Option<Opened>, StoreError> {
        let now = self.now();
        match (&self.origin, &now.folder) {
            (Origin::Folder(_), Some(searcher)) if searcher.collection().is_current()? => Ok(None),
            (Origin::Folder(path), _) => Opened::folder(path).map(Some),
            (Origin::Store(store), _) => {
                let opened = Opened::store(store.clone())?;
                Ok((opened.count != now.count).then_some(opened))
            }
        }
    }

    fn replace(&self, opened: Opened) {
        let generation = opened.folder.as_ref().map(|searcher| searcher.collection().generation());
        let passages = opened.count.passages;
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(opened);
        match generation {
            Some(generation) => {
                self.metrics.count(Event::Reloaded);
                tracing::info!(collection = self.name, generation, passages, "collection opened anew");
            }
            None => tracing::debug!(collection = self.name, passages, "store counted anew"),
        }
    }
}
