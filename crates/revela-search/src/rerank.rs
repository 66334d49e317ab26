//! Hits in a reranker's order: a step after a search, over the texts of what it found.

use std::borrow::Cow;

use revela_base::rerank::{Pair, RerankError, Reranker, order};

use crate::passage::full_text;
use crate::query::Hit;

impl Hit {
    /// Title and text as one, as [`Passage::full_text`](crate::Passage::full_text) has it.
    pub fn full_text(&self) -> Cow<'_, str> {
        full_text(&self.title, &self.text)
    }
}

/// Hits by these scores, one each in their order: the best `k`, with the scores and their new ranks. Hits of equal
/// scores stay as they stood.
pub fn reordered(hits: Vec<Hit>, scores: &[f32], k: usize) -> Vec<Hit> {
    let mut hits: Vec<Option<Hit>> = hits.into_iter().map(Some).collect();
    let taken = order(scores).into_iter().filter_map(|place| {
        let hit = hits.get_mut(place)?.take()?;
        Some(Hit { score: *scores.get(place)?, ..hit })
    });
    (1..).zip(taken.take(k)).map(|(rank, hit)| Hit { rank, ..hit }).collect()
}

/// Why hits were not ranked again.
#[derive(Debug, thiserror::Error)]
pub enum HitsError {
    /// There is nothing to read.
    #[error("a reranker reads texts, and this collection keeps none; index it with texts")]
    NoTexts,
    /// The reranker failed.
    #[error(transparent)]
    Rerank(#[from] RerankError),
}

/// The `k` hits that a reranker finds most relevant.
///
/// # Errors
/// When the hits are of a collection without texts, or the reranker fails.
pub fn rerank(reranker: &dyn Reranker, query: &str, hits: Vec<Hit>, k: usize) -> Result<Vec<Hit>, HitsError> {
    check_texts(&hits)?;
    let texts: Vec<Cow<'_, str>> = hits.iter().map(Hit::full_text).collect();
    let pairs: Vec<Pair<'_>> = texts.iter().map(|text| (query, text.as_ref())).collect();
    let scores = reranker.scores(&pairs)?;
    drop(texts);
    Ok(reordered(hits, &scores, k))
}

/// # Errors
/// When no hit has a text, so that there is nothing to read.
pub fn check_texts(hits: &[Hit]) -> Result<(), HitsError> {
    if hits.is_empty() || hits.iter().any(|hit| !hit.text.is_empty() || !hit.title.is_empty()) {
        return Ok(());
    }
    Err(HitsError::NoTexts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;
    use revela_base::checksum::Checksum;

    /// Scores by how many characters the passage has.
    struct Longest;

    impl Reranker for Longest {
        fn fingerprint(&self) -> Checksum {
            Checksum::of(b"longest")
        }

        fn tokens(&self, (query, passage): Pair<'_>) -> Result<usize, RerankError> {
            Ok(query.len() + passage.len())
        }

        fn scores(&self, pairs: &[Pair<'_>]) -> Result<Vec<f32>, RerankError> {
            Ok(pairs.iter().map(|(_, passage)| passage.len() as f32).collect())
        }
    }

    fn hit(rank: usize, text: &str) -> Hit {
        let (title, payload) = (String::new(), Payload::new());
        Hit { id: format!("d{rank}"), score: 9.0, rank, title, text: text.into(), payload }
    }

    #[test]
    fn the_best_come_first_with_new_ranks_and_ties_stay() {
        let hits = vec![hit(1, "aa"), hit(2, ""), hit(3, "bbbb"), hit(4, "cc")];
        let found = rerank(&Longest, "q", hits, 3).unwrap();
        let found: Vec<(usize, &str, f32)> = found.iter().map(|h| (h.rank, h.id.as_str(), h.score)).collect();
        assert_eq!(found, [(1, "d3", 4.0), (2, "d1", 2.0), (3, "d4", 2.0)]);
        assert!(rerank(&Longest, "q", vec![], 3).unwrap().is_empty());
    }

    #[test]
    fn a_collection_without_texts_is_refused() {
        let error = rerank(&Longest, "q", vec![hit(1, ""), hit(2, "")], 2).unwrap_err();
        assert!(error.to_string().contains("keeps none"), "{error}");
    }
}
