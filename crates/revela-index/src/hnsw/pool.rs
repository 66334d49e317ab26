//! The nodes that a walk has found, best first, and those that it has seen.

/// A node with its score as one number that sorts like (score descending, node ascending). The lowest bit
/// tells whether the node's neighbours were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found(u64);

/// Nodes are numbered in 31 bits.
pub(crate) const MOST_NODES: u32 = 1 << 31;

impl Found {
    #[inline]
    pub(super) fn new(score: f32, node: u32) -> Self {
        // Flipping all bits of negative numbers and the sign of the others makes the bits of floats sort
        // like floats. Adding zero makes -0.0 equal to 0.0.
        let bits = (score + 0.0).to_bits();
        let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        Self(u64::from(!ascending) << 32 | u64::from(node) << 1)
    }

    #[inline]
    pub(super) fn node(self) -> u32 {
        self.0 as u32 >> 1
    }

    pub(super) fn score(self) -> f32 {
        let ascending = !((self.0 >> 32) as u32);
        f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending })
    }

    fn is_expanded(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Up to a limit of nodes, sorted. Shifting a few hundred numbers is faster than keeping two heaps.
#[derive(Debug, Default)]
pub(super) struct Pool {
    found: Vec<Found>,
    limit: usize,
    /// All before it are expanded.
    next: usize,
}

impl Pool {
    pub(super) fn reset(&mut self, limit: usize) {
        self.found.clear();
        self.found.reserve(limit + 1);
        (self.limit, self.next) = (limit, 0);
    }

    /// Whether a node would be refused.
    #[inline]
    pub(super) fn refuses(&self, found: Found) -> bool {
        self.found.len() >= self.limit && self.found.last().is_none_or(|&worst| found >= worst)
    }

    /// The score of the worst node, once there is room for no other.
    #[inline]
    pub(super) fn worst_of_enough(&self) -> Option<f32> {
        self.found.last().filter(|_| self.found.len() >= self.limit).map(|worst| worst.score())
    }

    #[inline]
    pub(super) fn offer(&mut self, found: Found) {
        if self.refuses(found) {
            return;
        }
        let place = self.found.partition_point(|&other| other < found);
        self.found.truncate(self.limit.saturating_sub(1));
        self.found.insert(place, found);
        self.next = self.next.min(place);
    }

    /// The best node that is not expanded, which then is.
    #[inline]
    pub(super) fn expand_next(&mut self) -> Option<u32> {
        while let Some(found) = self.found.get_mut(self.next) {
            self.next += 1;
            if !found.is_expanded() {
                found.0 |= 1;
                return Some(found.node());
            }
        }
        None
    }

    /// The nodes that would be next, as things stand.
    #[inline]
    pub(super) fn peek_next(&self, count: usize) -> impl Iterator<Item = u32> + '_ {
        self.found.iter().skip(self.next).take(count).map(|found| found.node())
    }

    /// Best first.
    pub(super) fn found(&self) -> &[Found] {
        &self.found
    }
}

/// Marks nodes as seen, one bit each.
#[derive(Debug, Default)]
pub(super) struct Visited {
    marks: Vec<u8>,
    /// Those that are marked.
    marked: Vec<u32>,
    /// Nodes of the graph that is searched; marks of larger ones may follow.
    count: usize,
}

impl Visited {
    /// Forgets all marks.
    pub(super) fn start(&mut self, count: u32) {
        for node in self.marked.drain(..) {
            if let Some(marks) = self.marks.get_mut(node as usize / 8) {
                *marks = 0;
            }
        }
        self.count = count as usize;
        if self.marks.len() < self.count.div_ceil(8) {
            self.marks.resize(self.count.div_ceil(8), 0);
        }
    }

    /// Marks nodes up to the first that does not exist, and leaves those that were not marked before in
    /// `fresh`.
    #[inline]
    pub(super) fn insert_all(&mut self, nodes: impl ExactSizeIterator<Item = u32>, fresh: &mut Vec<u32>) {
        // Each node is written down, and its place used again unless it is new: whether it is cannot be
        // foreseen, and a branch would often be guessed wrongly.
        fresh.resize(nodes.len(), 0);
        let mut count = 0;
        for node in nodes.take_while(|&node| (node as usize) < self.count) {
            let (Some(marks), Some(place)) = (self.marks.get_mut(node as usize / 8), fresh.get_mut(count))
            else {
                break;
            };
            *place = node;
            count += usize::from(*marks >> (node % 8) & 1 == 0);
            *marks |= 1 << (node % 8);
        }
        fresh.truncate(count);
        self.marked.extend_from_slice(fresh);
    }

    /// Marks a node; returns whether it was not marked before. Nodes that don't exist count as marked.
    #[inline]
    pub(super) fn insert(&mut self, node: u32) -> bool {
        let Some(marks) = self.marks.get_mut(node as usize / 8).filter(|_| (node as usize) < self.count)
        else {
            return false;
        };
        let fresh = *marks >> (node % 8) & 1 == 0;
        if fresh {
            *marks |= 1 << (node % 8);
            self.marked.push(node);
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topk::Scored;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_order_is_the_order_of_rankings(
            a in (-3f32..3.0, 0u32..4), b in (-3f32..3.0, 0u32..4), zero in 0usize..4,
        ) {
            let zeros = [a.0, 0.0, -0.0, f32::INFINITY];
            let (a, b) = ((zeros[zero], a.1), (if zero == 0 { b.0 } else { 0.0 }, b.1));
            let plain = Scored { score: a.0, id: a.1 }.cmp(&Scored { score: b.0, id: b.1 });
            prop_assert_eq!(Found::new(a.0, a.1).cmp(&Found::new(b.0, b.1)), plain);
            prop_assert_eq!(Found::new(a.0, a.1).score(), a.0);
            prop_assert_eq!(Found::new(a.0, MOST_NODES - 1 - a.1).node(), MOST_NODES - 1 - a.1);
        }

        #[test]
        fn keeps_the_best_and_expands_each_once(
            scores in proptest::collection::vec(-9i8..9, 0..60), limit in 1usize..20,
        ) {
            let mut pool = Pool::default();
            pool.reset(limit);
            let mut expanded = Vec::new();
            for (node, &score) in scores.iter().enumerate() {
                pool.offer(Found::new(f32::from(score), node as u32));
                if node % 3 == 0 {
                    expanded.extend(pool.expand_next());
                }
            }
            while let Some(node) = pool.expand_next() {
                expanded.push(node);
            }
            prop_assert_eq!(pool.peek_next(9).count(), 0);
            let mut all: Vec<Found> =
                scores.iter().enumerate().map(|(n, &s)| Found::new(f32::from(s), n as u32)).collect();
            all.sort();
            all.truncate(limit);
            let nodes = |found: &[Found]| found.iter().map(|f| f.node()).collect::<Vec<_>>();
            prop_assert_eq!(nodes(pool.found()), nodes(&all));
            prop_assert!(pool.found().iter().all(|f| f.is_expanded()));
            let count = expanded.len();
            expanded.sort_unstable();
            expanded.dedup();
            prop_assert_eq!(expanded.len(), count);
        }
    }

    #[test]
    fn marks_last_one_search() {
        let mut visited = Visited::default();
        for round in 0..300 {
            visited.start(3);
            assert!(visited.insert(1) && !visited.insert(1) && visited.insert(2), "{round}");
            assert!(!visited.insert(3) && !visited.insert(u32::MAX));
            visited.start(2);
            let mut fresh = vec![7; 9];
            visited.insert_all([1, 0, 1, 2, 0].into_iter(), &mut fresh);
            assert_eq!(fresh, [1, 0]);
            visited.insert_all([0, 1].into_iter(), &mut fresh);
            assert_eq!(fresh, [0; 0]);
            assert!(!visited.insert(0) && !visited.insert(2));
        }
    }
}
