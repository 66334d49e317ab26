//! What every store must do, as one suite of tests, with a store of rows in memory that does it.
//!
//! A store's own tests hand [`check`] a way to make one; it panics at the first promise that is not kept.
#![allow(clippy::panic, clippy::unwrap_used)]

mod memory;
mod suite;

use revela_base::checksum::{Checksum, Fingerprint};
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};

pub use memory::RowsInMemory;
pub use suite::{Fixture, check};

/// Words in small letters, cut at what is neither letter nor digit.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// An embedder without a model: counts words at positions that their checksums name. Texts that share words are
/// alike.
#[derive(Debug, Clone)]
pub struct WordEmbedder {
    dimension: usize,
}

impl WordEmbedder {
    /// Vectors of this length, at least 1.
    pub fn new(dimension: usize) -> Self {
        Self { dimension: dimension.max(1) }
    }
}

impl Embedder for WordEmbedder {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn fingerprint(&self) -> Checksum {
        Fingerprint::new().part("word embedder", self.dimension.to_le_bytes()).finish()
    }

    fn metric(&self) -> Metric {
        Metric::Cosine
    }

    fn embed(&self, _kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        let mut data = vec![0.0; texts.len() * self.dimension];
        for (text, vector) in texts.iter().zip(data.chunks_exact_mut(self.dimension)) {
            for word in words(text) {
                let digest = u64::from_str_radix(&Checksum::of(word.as_bytes()).short(), 16).unwrap_or(0);
                vector[(digest % self.dimension as u64) as usize] += 1.0 + (digest % 7) as f32 / 10.0;
            }
            // A text without words has a direction, too.
            vector[0] += 0.01;
        }
        Ok(data)
    }
}
