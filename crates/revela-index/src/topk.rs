//! The k best of a stream of scored ids, in a total order.

use std::collections::BinaryHeap;

pub use revela_search::Scored;

/// Keeps the `k` best of what is offered; the result does not depend on the order of the offers.
#[derive(Debug, Clone)]
pub struct TopK<I> {
    k: usize,
    /// The worst one kept is on top.
    heap: BinaryHeap<Scored<I>>,
}

impl<I: Ord + Copy> TopK<I> {
    /// Keeps up to `k`.
    pub fn new(k: usize) -> Self {
        // `k` may be "all" as a huge number, so the room grows with use.
        Self { k, heap: BinaryHeap::with_capacity(k.saturating_add(1).min(1 << 10)) }
    }

    /// Forgets everything and keeps up to `k` from now on; memory is used again.
    pub(crate) fn reset(&mut self, k: usize) {
        self.k = k;
        self.heap.clear();
    }

    /// How many are kept at most.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// Hands out what was kept, in no order, and forgets it.
    pub(crate) fn drain(&mut self, each: impl FnMut(Scored<I>)) {
        self.heap.drain().for_each(each);
    }

    /// Offers one.
    #[inline]
    pub fn push(&mut self, score: f32, id: I) {
        let offered = Scored { score, id };
        if self.heap.len() < self.k {
            self.heap.push(offered);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && offered < *worst
        {
            *worst = offered;
        }
    }

    /// The score below which an offer is refused; minus infinity while there is room.
    #[inline]
    pub fn threshold(&self) -> f32 {
        if self.heap.len() < self.k {
            return f32::NEG_INFINITY;
        }
        self.heap.peek().map_or(f32::INFINITY, |worst| worst.score)
    }

    /// What was kept, best first.
    pub fn into_sorted(self) -> Vec<Scored<I>> {
        self.heap.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(k: usize, offers: &[(f32, u32)]) -> Vec<(f32, u32)> {
        let mut top = TopK::new(k);
        offers.iter().for_each(|&(score, id)| top.push(score, id));
        top.into_sorted().into_iter().map(|s| (s.score, s.id)).collect()
    }

    #[test]
    fn best_first_and_ties_by_id() {
        let offers = [(1.0, 9), (3.0, 4), (3.0, 2), (2.0, 1), (1.0, 3)];
        assert_eq!(best(4, &offers), [(3.0, 2), (3.0, 4), (2.0, 1), (1.0, 3)]);
        let mut reversed = offers;
        reversed.reverse();
        assert_eq!(best(4, &reversed), best(4, &offers));
        assert_eq!(best(0, &offers), []);
        assert_eq!(best(usize::MAX, &offers).len(), 5);
    }

    #[test]
    fn zeros_are_equal_and_nan_is_last() {
        assert_eq!(best(3, &[(-0.0, 1), (0.0, 0), (f32::NAN, 2)])[..2], [(0.0, 0), (-0.0, 1)]);
        let kept = best(2, &[(f32::NAN, 0), (-f32::NAN, 1), (f32::NEG_INFINITY, 2)]);
        assert_eq!(kept[0], (f32::NEG_INFINITY, 2));
    }

    #[test]
    fn threshold_follows_the_worst_kept() {
        let mut top = TopK::new(2);
        top.push(5.0, 0);
        assert_eq!(top.threshold(), f32::NEG_INFINITY);
        top.push(7.0, 1);
        assert_eq!(top.threshold(), 5.0);
        top.push(6.0, 2);
        assert_eq!(top.threshold(), 6.0);
        assert_eq!(TopK::<u32>::new(0).threshold(), f32::INFINITY);
    }
}
