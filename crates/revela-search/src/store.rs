//! The trait of everything that can be searched, and what programs hold of it.

use std::sync::Arc;

use revela_base::checksum::Checksum;
use revela_base::embed::Embedder;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;

use crate::describe::{Count, Description};
use crate::error::{QueryError, StoreError};
use crate::passage::{Duplicates, Entry};
use crate::prepared::{Prepared, embed_texts, prepare};
use crate::query::{Hit, Query, Snippet};

/// Answers to several queries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// The hits of each query, in the order of the queries; ranks count from 1.
    pub hits: Vec<Vec<Hit>>,
    /// Parts of the store that did not answer, by name; only a store that was told to live with that leaves
    /// any out.
    pub missing: Vec<String>,
}

/// Something that can be searched: a folder, an engine elsewhere, rows in memory.
///
/// It is a snapshot or not, as its own documentation says. It may be asked from many threads at once, and every
/// method may block.
pub trait Store: Send + Sync {
    /// What it is; known since it was opened.
    fn describe(&self) -> &Description;

    /// How much it holds.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn count(&self) -> Result<Count, StoreError>;

    /// Answers queries that were prepared for its description.
    ///
    /// # Errors
    /// [`StoreError`], for the first query that fails; what the store cannot do is refused by name.
    fn search(&self, queries: &[Prepared<'_>]) -> Result<Answers, StoreError>;

    /// The passages with these ids, in their order; nothing for an id that the store lacks.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn get(&self, ids: &[&str]) -> Result<Vec<Option<Entry>>, StoreError>;

    /// Which of these ids the store has.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn has(&self, ids: &[&str]) -> Result<Vec<bool>, StoreError> {
        Ok(self.get(ids)?.iter().map(Option::is_some).collect())
    }

    /// The piece of a text of at most about `length` bytes that shows why these words find it; the beginning
    /// where the store cannot tell.
    fn snippet(&self, words: &str, text: &str, length: usize) -> Snippet {
        let _ = words;
        Snippet::beginning(text, length)
    }

    /// What changes it; nothing where it only can be read.
    fn writer(&self) -> Option<&dyn StoreWriter> {
        None
    }
}

/// Changes a store. Each change is made as a whole or not at all, and lasts once the call returns. A store that is
/// a snapshot shows it only when it is opened anew.
pub trait StoreWriter: Send + Sync {
    /// Adds passages, embedded where the store has vectors.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: a conflict for ids that are there or come twice unless the last one wins,
    /// unsupported without the encoder that made the vectors.
    fn add(
        &self,
        entries: Vec<Entry>,
        embedder: Option<&dyn Embedder>,
        duplicates: Duplicates,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), StoreError>;

    /// Deletes the passages with these ids; ids that the store lacks are ignored. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn delete(&self, ids: &[&str]) -> Result<u64, StoreError>;
}

/// A store with the encoder for its texts: what programs that may block ask. Cheap to clone.
#[derive(Clone)]
pub struct Retriever {
    store: Arc<dyn Store>,
    /// With its fingerprint, which takes long to compute for some.
    embedder: Option<(Arc<dyn Embedder>, Checksum)>,
}

impl Retriever {
    /// Searches with BM25, and with vectors that queries bring.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, embedder: None }
    }

    /// Lets texts be embedded, so that they can be searched for by similarity.
    ///
    /// # Errors
    /// [`QueryError::WrongEncoder`] when the store's vectors came from another encoder,
    /// [`QueryError::NoVectors`].
    pub fn with_embedder(mut self, embedder: Arc<dyn Embedder>) -> Result<Self, QueryError> {
        let fingerprint = embedder.fingerprint();
        self.store.describe().check_encoder(fingerprint)?;
        self.embedder = Some((embedder, fingerprint));
        Ok(self)
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Answers one query.
    ///
    /// # Errors
    /// As [`search_batch`](Self::search_batch).
    pub fn search(&self, query: &Query) -> Result<Vec<Hit>, StoreError> {
        Ok(self.search_batch(std::slice::from_ref(query))?.hits.pop().unwrap_or_default())
    }

    /// Answers queries, in their order.
    ///
    /// # Errors
    /// As [`prepare`], [`embed_texts`] and [`Store::search`].
    pub fn search_batch(&self, queries: &[Query]) -> Result<Answers, StoreError> {
        let encoder = self.embedder.as_ref().map(|(_, fingerprint)| *fingerprint);
        let mut prepared = prepare(queries, self.store.describe(), encoder)?;
        if let Some((embedder, _)) = &self.embedder {
            embed_texts(&mut prepared, &**embedder)?;
        }
        self.store.search(&prepared)
    }

    /// The piece of a hit's text of at most about `length` bytes that shows why it matches.
    pub fn snippet(&self, query: &Query, hit: &Hit, length: usize) -> Snippet {
        self.store.snippet(query.words().unwrap_or_default(), &hit.text, length)
    }
}

impl std::fmt::Debug for Retriever {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let encoder = self.embedder.as_ref().map(|(_, fingerprint)| fingerprint);
        f.debug_struct("Retriever").field("store", self.store.describe()).field("encoder", &encoder).finish()
    }
}
