//! Embeds only texts that have no vector yet.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use revela_index::Collection;

use crate::error::SyncError;
use crate::record::id;

/// Texts that have a vector, and whose it is.
#[derive(Debug, Default)]
pub(crate) struct Texts(HashMap<Checksum, String>);

impl Texts {
    /// Takes note of a file's passages in the collection.
    pub(crate) fn add(&mut self, collection: &Collection, path: &str, chunks: u32) -> Result<(), SyncError> {
        for ordinal in 0..chunks {
            let id = id(path, ordinal);
            if let Some(passage) = collection.passage(&id)? {
                self.0.insert(Checksum::of(passage.full_text().as_bytes()), id);
            }
        }
        Ok(())
    }
}

/// An embedder in front of another one, which is asked only for texts that a collection has no vector of.
pub(crate) struct Reusing<'a> {
    inner: &'a dyn Embedder,
    collection: &'a Collection,
    texts: Texts,
    embedded: AtomicU64,
    reused: AtomicU64,
}

impl<'a> Reusing<'a> {
    pub(crate) fn new(inner: &'a dyn Embedder, collection: &'a Collection, texts: Texts) -> Self {
        Self { inner, collection, texts, embedded: AtomicU64::new(0), reused: AtomicU64::new(0) }
    }

    /// How many texts were embedded, and how many had a vector.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.embedded.load(Ordering::Relaxed), self.reused.load(Ordering::Relaxed))
    }

    fn known(&self, text: &str) -> Result<Option<Vec<f32>>, EmbedError> {
        let Some(id) = self.texts.0.get(&Checksum::of(text.as_bytes())) else { return Ok(None) };
        self.collection.vector(id).map_err(|error| EmbedError(error.into()))
    }
}

impl Embedder for Reusing<'_> {
    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    fn fingerprint(&self) -> Checksum {
        self.inner.fingerprint()
    }

    fn metric(&self) -> Metric {
        self.inner.metric()
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        let known = texts.iter().map(|text| self.known(text)).collect::<Result<Vec<_>, _>>()?;
        let unknown: Vec<&str> =
            texts.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(text, _)| *text).collect();
        let fresh = if unknown.is_empty() { Vec::new() } else { self.inner.embed(kind, &unknown)? };
        self.embedded.fetch_add(unknown.len() as u64, Ordering::Relaxed);
        self.reused.fetch_add((texts.len() - unknown.len()) as u64, Ordering::Relaxed);
        let mut fresh = fresh.chunks(self.dimension().max(1));
        let mut data = Vec::with_capacity(texts.len() * self.dimension());
        for vector in &known {
            match vector {
                Some(vector) => data.extend_from_slice(vector),
                None => data.extend_from_slice(fresh.next().unwrap_or_default()),
            }
        }
        Ok(data)
    }
}
