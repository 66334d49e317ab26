//! What rankings are made of.

use std::cmp::Ordering;

/// An id with its score; larger scores are better, equal scores are ordered by ascending id.
///
/// `Ord` is that ranking: the *smaller* value ranks first, so sorting ascending gives a ranked list.
/// NaN, which checked input never produces, ranks after every number, so damage can't break the order.
#[derive(Debug, Clone, Copy)]
pub struct Scored<I> {
    /// Similarity or BM25 score.
    pub score: f32,
    /// A row, a node, or a (shard, row) pair.
    pub id: I,
}

impl<I: Ord> Ord for Scored<I> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.score.is_nan(), other.score.is_nan()) {
            // Adding zero makes -0.0 equal to 0.0.
            (false, false) => (other.score + 0.0).total_cmp(&(self.score + 0.0)),
            (mine, theirs) => mine.cmp(&theirs),
        }
        .then_with(|| self.id.cmp(&other.id))
    }
}

impl<I: Ord> PartialOrd for Scored<I> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<I: Ord> PartialEq for Scored<I> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<I: Ord> Eq for Scored<I> {}
