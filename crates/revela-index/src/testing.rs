//! An embedder without a model, for tests and examples of whatever searches.

use revela_base::checksum::{Checksum, Fingerprint};
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};

use crate::bm25::Analyser;

/// Hashes terms to positions of a vector and counts them there, with a sign: texts that share words are
/// alike, as far as that goes. A text without terms gets a fixed direction of its own.
#[derive(Debug, Clone)]
pub struct HashEmbedder {
    dimension: usize,
}

impl HashEmbedder {
    /// Vectors of this length; a length of 0 is taken as 1.
    pub fn new(dimension: usize) -> Self {
        Self { dimension: dimension.max(1) }
    }

    fn embed_one(&self, text: &str, vector: &mut [f32]) {
        for (term, count) in Analyser::Prose.terms(text) {
            let hash = Checksum::of(term.as_bytes()).short();
            let hash = u64::from_str_radix(&hash, 16).unwrap_or(0);
            let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
            if let Some(number) = vector.get_mut((hash % self.dimension as u64) as usize) {
                *number += sign * (count as f32).sqrt();
            }
        }
        if let (true, Some(first)) = (vector.iter().all(|&x| x == 0.0), vector.first_mut()) {
            *first = 1.0;
        }
    }
}

impl Embedder for HashEmbedder {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn fingerprint(&self) -> Checksum {
        Fingerprint::new().part("hash embedder", self.dimension.to_le_bytes()).finish()
    }

    fn metric(&self) -> Metric {
        Metric::Cosine
    }

    fn embed(&self, _kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        let mut data = vec![0.0; texts.len() * self.dimension];
        for (text, vector) in texts.iter().zip(data.chunks_exact_mut(self.dimension)) {
            self.embed_one(text, vector);
        }
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_common_words_are_alike() {
        let embedder = HashEmbedder::new(256);
        let data = embedder
            .embed(TextKind::Passage, &["read a file", "reading files", "open sockets", "", "the"])
            .unwrap();
        let rows: Vec<&[f32]> = data.chunks(256).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        assert!(dot(rows[0], rows[1]) > 1.5 && dot(rows[0], rows[2]).abs() < 1.5);
        assert!(rows.iter().all(|row| dot(row, row) > 0.0));
    }
}
