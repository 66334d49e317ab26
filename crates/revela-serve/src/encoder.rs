//! What the server asks of an encoder beside vectors.

use revela_base::embed::{EmbedError, Embedder, TextKind};

/// An encoder that can count, so that batches are formed and usage is reported by tokens.
pub trait TextEncoder: Embedder {
    /// Tokens that embedding this text takes: with prefix and special tokens, and after cutting.
    ///
    /// # Errors
    /// [`EmbedError`] when the text cannot be encoded.
    fn tokens(&self, kind: TextKind, text: &str) -> Result<usize, EmbedError>;

    /// The text of token ids, as clients send them that tokenize themselves.
    ///
    /// # Errors
    /// [`EmbedError`] when an id is not one of the tokenizer's.
    fn decode(&self, ids: &[u32]) -> Result<String, EmbedError>;

    /// Tokens after which a text is cut.
    fn max_tokens(&self) -> usize;
}
