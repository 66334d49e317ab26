//! A collection that is served: what is open now, and how it is replaced by what stands on disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use revela_base::checksum::Checksum;
use revela_index::{Collection, Error as IndexError, Mode, Query, Searcher};

use crate::metrics::{Event, Metrics, lock};

/// What can be said of a text's vector in a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Embeddable {
    /// The server's encoder made the collection's vectors.
    Yes,
    /// The collection has no vectors.
    NoVectors,
    /// Its vectors came from another encoder, or from nowhere that is known.
    OtherEncoder,
    /// The server has no encoder.
    NoEncoder,
}

/// A snapshot of a collection, ready to be searched.
pub(crate) struct Opened {
    pub(crate) searcher: Searcher,
    pub(crate) embeddable: Embeddable,
}

impl Opened {
    fn open(path: &Path, encoder: Option<Checksum>) -> Result<Self, IndexError> {
        let collection = Collection::open(path)?;
        let embeddable = match (collection.vectors(), encoder) {
            (None, _) => Embeddable::NoVectors,
            (Some(_), None) => Embeddable::NoEncoder,
            (Some(vectors), Some(encoder)) if vectors.encoder == Some(encoder) => Embeddable::Yes,
            (Some(_), Some(_)) => Embeddable::OtherEncoder,
        };
        let searcher = Searcher::new(collection);
        // Opens the texts too, so that a snapshot needs its folder no more.
        if searcher.collection().texts().is_some() {
            searcher.search(&Query::text("a").k(1).mode(Mode::Bm25))?;
        }
        Ok(Self { searcher, embeddable })
    }

    pub(crate) fn collection(&self) -> &Collection {
        self.searcher.collection()
    }

    /// Modes in which a text can be searched for.
    pub(crate) fn modes(&self) -> Vec<&'static str> {
        let dense = self.embeddable == Embeddable::Yes;
        let texts = self.collection().texts().is_some();
        let all = [("dense", dense), ("bm25", texts), ("hybrid", dense && texts)];
        all.into_iter().filter_map(|(mode, possible)| possible.then_some(mode)).collect()
    }
}

/// A collection under its name; what is open is replaced as a whole.
pub(crate) struct Live {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    encoder: Option<Checksum>,
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
        path: &Path,
        encoder: Option<Checksum>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, IndexError> {
        let opened = Arc::new(Opened::open(path, encoder)?);
        if opened.embeddable == Embeddable::OtherEncoder {
            let advice = "texts are searched for by BM25 only; start with the encoder that made the vectors";
            tracing::warn!(collection = name, advice, "the encoder is not the one of this collection");
        }
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            encoder,
            opened: RwLock::new(opened),
            opening: Mutex::default(),
            failing: AtomicBool::new(false),
            metrics,
        })
    }

    /// What is open now; it stays usable whatever happens to the folder.
    pub(crate) fn now(&self) -> Arc<Opened> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the folder, and opens it anew when it has changed. What cannot be opened leaves the old.
    pub(crate) fn refresh(&self) -> Result<(), IndexError> {
        let _alone = lock(&self.opening);
        let changed = self.now().collection().is_current().map(|current| !current);
        let result = changed.and_then(|changed| match changed {
            true => Opened::open(&self.path, self.encoder).map(Some),
            false => Ok(None),
        });
        match result {
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

    fn replace(&self, opened: Opened) {
        let (generation, passages) = (opened.collection().generation(), opened.collection().len());
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(opened);
        self.metrics.count(Event::Reloaded);
        tracing::info!(collection = self.name, generation, passages, "collection opened anew");
    }
}
