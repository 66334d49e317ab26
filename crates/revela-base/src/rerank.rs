//! The contract between what scores pairs of a query and a passage and what ranks by such scores.
//!
//! It lives beside [`embed`](crate::embed) for the same reason: the index and the server need no model code.

use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;

/// How a model scores pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A classification head's logit.
    CrossEncoder,
    /// How much more likely "yes" is than "no" as the answer to a prompt.
    YesNo,
    /// The query's likelihood given the passage.
    Likelihood,
}

/// Reranking failed; the message says why and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot rerank: {0}")]
pub struct RerankError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A query and a passage.
pub type Pair<'a> = (&'a str, &'a str);

/// Says how relevant passages are to queries by reading both together.
pub trait Reranker: Send + Sync {
    /// Changes whenever the same pair could get another score: weights, tokenizer, prompt, length.
    fn fingerprint(&self) -> Checksum;

    /// Tokens that scoring this pair takes, after cutting.
    ///
    /// # Errors
    /// [`RerankError`] when a text cannot be encoded.
    fn tokens(&self, pair: Pair<'_>) -> Result<usize, RerankError>;

    /// A score per pair, in order; larger is more relevant. Scores of one reranker can be compared with each other,
    /// also across queries, as far as the model was made for that.
    ///
    /// Implementations sort and batch as they like; callers pass as many pairs as they want to wait for.
    ///
    /// # Errors
    /// [`RerankError`] when a text cannot be encoded, the device fails, or a score is no finite number.
    fn scores(&self, pairs: &[Pair<'_>]) -> Result<Vec<f32>, RerankError>;
}

/// The order in which scores rank their places: the largest first, and equal ones as they stood before.
///
/// ```
/// assert_eq!(revela_base::rerank::order(&[0.5, 2.0, 0.5]), [1, 0, 2]);
/// ```
pub fn order(scores: &[f32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..scores.len()).collect();
    let score = |place: usize| scores.get(place).copied().unwrap_or(f32::NEG_INFINITY);
    places.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
    places
}
