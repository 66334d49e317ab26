//! A collection as one of the stores that programs search.

use std::convert::Infallible;

use revela_base::embed::Embedder;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_search::{
    Answers, Count, Description, Duplicates, Entry, Prepared, Snippet, Store, StoreError, StoreWriter,
};

use crate::collection::CollectionWriter;
use crate::searcher::Searcher;

impl Store for Searcher {
    fn describe(&self) -> &Description {
        self.description()
    }

    fn count(&self) -> Result<Count, StoreError> {
        let shards = self.collection().shards();
        Ok(Count {
            passages: self.collection().len(),
            deleted: shards.iter().map(|shard| u64::from(shard.deleted)).sum(),
            shards: shards.len(),
            bytes: shards.iter().map(|shard| shard.bytes).sum::<u64>() + self.collection().text_bytes(),
        })
    }

    fn search(&self, queries: &[Prepared<'_>]) -> Result<Answers, StoreError> {
        Ok(Answers { hits: self.hits_of(queries)?, missing: Vec::new() })
    }

    fn get(&self, ids: &[&str]) -> Result<Vec<Option<Entry>>, StoreError> {
        Ok(self.collection().checked(|| ids.iter().map(|id| self.entry(id)).collect())?)
    }

    fn has(&self, ids: &[&str]) -> Result<Vec<bool>, StoreError> {
        Ok(ids.iter().map(|id| self.collection().contains(id)).collect::<Result<_, _>>()?)
    }

    fn snippet(&self, words: &str, text: &str, length: usize) -> Snippet {
        self.snippet_of(words, text, length)
    }

    fn writer(&self) -> Option<&dyn StoreWriter> {
        Some(self)
    }
}

/// Holds the folder's lock only while a change is made, so that other programs can change it, too.
impl StoreWriter for Searcher {
    fn add(
        &self,
        entries: Vec<Entry>,
        embedder: Option<&dyn Embedder>,
        duplicates: Duplicates,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), StoreError> {
        let mut writer = CollectionWriter::open(self.collection().path())?;
        // A collection without vectors wants no encoder.
        let embedder = embedder.filter(|_| self.collection().vectors().is_some());
        let entries = entries.into_iter().map(Ok::<_, Infallible>);
        Ok(writer.add(entries, embedder, duplicates, progress, interrupt)?)
    }

    fn delete(&self, ids: &[&str]) -> Result<u64, StoreError> {
        Ok(CollectionWriter::open(self.collection().path())?.delete(ids)?)
    }
}
