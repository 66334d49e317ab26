//! The contract between what embeds texts and what indexes or evaluates the vectors.
//!
//! It lives here so that the search library needs no model code and the models need no index: whoever
//! joins them (a program, a server, a test) passes one as `&dyn Embedder` to the other.

use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;

/// Which side of retrieval a text stands on; encoders may prefix or cut the two differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextKind {
    /// What a user asks.
    Query,
    /// What is searched.
    Passage,
}

/// The similarity by which vectors are ranked; larger is more alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The cosine of the angle: vectors are scaled to length 1 on the way in. Given vectors of zeros are refused; those that an
    /// encoder makes of a text without a token are similar to nothing.
    #[default]
    Cosine,
    /// The dot product of the vectors as they are.
    Dot,
}

impl Metric {
    /// Whether it is the one that counts where nothing else is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Embedding failed; the message says why and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot embed: {0}")]
pub struct EmbedError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Turns texts into vectors of one fixed dimension.
pub trait Embedder: Send + Sync {
    /// Length of every vector.
    fn dimension(&self) -> usize;

    /// Changes whenever the same text could get another vector: weights, tokenizer, prefixes, pooling.
    fn fingerprint(&self) -> Checksum;

    /// The similarity that its vectors are made for; part of the fingerprint.
    fn metric(&self) -> Metric;

    /// Embeds texts. Returns `texts.len() * dimension()` numbers, row-major, one row per text in order.
    ///
    /// Implementations sort and batch as they like; callers pass as many texts as they want to wait for.
    ///
    /// # Errors
    /// [`EmbedError`] when a text cannot be encoded or the device fails.
    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError>;
}
