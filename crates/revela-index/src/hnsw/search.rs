//! Walking a graph towards a query.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::graph::GraphView;
use super::links::{Links, unpack};
use super::pool::{Found, Pool, Visited};
use crate::signs::Sieve;

/// Nodes whose lists are fetched before their turn.
const PEEKED: usize = 3;

/// Compares a query with rows.
pub(crate) trait Scorer {
    /// Writes the similarity of each row to its place in `out`.
    fn scores(&mut self, rows: &[u32], out: &mut [f32]);

    /// Is called before each search.
    fn start(&mut self, sieve: &mut Sieve) {
        sieve.reset();
    }

    /// Rows that are likely to be sifted soon.
    fn fetch(&self, _rows: impl Iterator<Item = u32>) {}

    /// Removes rows, in place, that are hardly as similar as `least`.
    fn sift(&mut self, _sieve: &mut Sieve, _rows: &mut Vec<u32>, _least: f32) {}
}

/// Memory of searches, used again by the next one.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    visited: Visited,
    pool: Pool,
    candidates: BinaryHeap<Reverse<Found>>,
    places: Vec<u32>,
    fresh: Vec<u32>,
    scores: Vec<f32>,
    sieve: Sieve,
}

impl Walk {
    /// The `ef` best nodes that a walk finds, in [`found`](Self::found).
    pub(crate) fn search(&mut self, graph: GraphView<'_>, scorer: &mut impl Scorer, ef: usize) {
        self.start(graph, scorer, ef);
        self.fresh
            .iter()
            .zip(&self.scores)
            .for_each(|(&node, &score)| self.pool.offer(Found::new(score, node)));
        while let Some(node) = self.pool.expand_next() {
            self.gather_fresh(graph, node);
            // While these neighbours are compared, what is likely to be needed next comes near.
            if let Some(next) = self.pool.peek_next(1).next() {
                scorer.fetch(graph.neighbours(next));
            }
            self.score_fresh(scorer);
            for (&node, &score) in self.fresh.iter().zip(&self.scores) {
                self.pool.offer(Found::new(score, node));
            }
            for next in self.pool.peek_next(PEEKED) {
                graph.list(next).fetch();
            }
        }
    }

    /// The `ef` best nodes for which `keep` is true. The walk goes through the others too, and goes on
    /// until it has found as many as it should, or has made more than `budget` comparisons: then the
    /// answer is false and what was found is not to be relied on.
    pub(crate) fn search_filtered(
        &mut self,
        graph: GraphView<'_>,
        scorer: &mut impl Scorer,
        ef: usize,
        budget: usize,
        keep: &dyn Fn(u32) -> bool,
    ) -> bool {
        self.start(graph, scorer, ef);
        self.candidates.clear();
        let mut compared = 0;
        loop {
            compared += self.fresh.len();
            if compared > budget {
                return false;
            }
            for (&node, &score) in self.fresh.iter().zip(&self.scores) {
                let found = Found::new(score, node);
                if self.pool.refuses(found) {
                    continue;
                }
                self.candidates.push(Reverse(found));
                if keep(node) {
                    self.pool.offer(found);
                }
            }
            match self.candidates.pop() {
                Some(Reverse(best)) if !self.pool.refuses(best) || self.is_kept(best) => {
                    self.gather_fresh(graph, best.node());
                    self.score_fresh(scorer);
                }
                _ => return true,
            }
        }
    }

    /// The worst kept node is refused when it is offered again, but must still be expanded.
    fn is_kept(&self, found: Found) -> bool {
        self.pool.found().last() == Some(&found)
    }

    /// What the last search found, best first.
    pub(crate) fn found(&self) -> impl ExactSizeIterator<Item = (u32, f32)> + '_ {
        self.pool.found().iter().map(|found| (found.node(), found.score()))
    }

    /// Descends to level 0. Leaves where the search should begin among the fresh nodes: where the descent
    /// ended, and the entry point, from which all nodes can be reached.
    fn start(&mut self, graph: GraphView<'_>, scorer: &mut impl Scorer, ef: usize) {
        self.visited.start(graph.count);
        self.pool.reset(ef);
        scorer.start(&mut self.sieve);
        self.fresh.clear();
        if let Some(entry) = graph.entry_node() {
            let near = self.descend(graph, scorer, entry);
            self.fresh.clear();
            self.fresh.extend([near, entry].into_iter().filter(|&node| self.visited.insert(node)));
        }
        self.score_fresh(scorer);
    }

    /// Leaves the neighbours of a node that were not seen before among the fresh nodes.
    #[inline]
    fn gather_fresh(&mut self, graph: GraphView<'_>, node: u32) {
        match graph.list(node) {
            Links::Wide(slots) => self.visited.insert_all(slots.iter().copied(), &mut self.fresh),
            Links::Packed(slots) => self.visited.insert_all(slots.iter().map(unpack), &mut self.fresh),
        }
    }

    /// Scores those of the fresh nodes that may be good enough; the others are no longer among them.
    #[inline]
    fn score_fresh(&mut self, scorer: &mut impl Scorer) {
        if let Some(worst) = self.pool.worst_of_enough() {
            scorer.sift(&mut self.sieve, &mut self.fresh, worst);
        }
        self.scores.resize(self.fresh.len(), 0.0);
        scorer.scores(&self.fresh, &mut self.scores);
    }

    /// On each upper level steps to the best neighbour while that is better. Every step improves, so
    /// it ends even in a damaged graph.
    fn descend(&mut self, graph: GraphView<'_>, scorer: &mut impl Scorer, entry: u32) -> u32 {
        if graph.levels == 0 {
            return entry;
        }
        self.fresh.clear();
        self.fresh.push(entry);
        self.score_fresh(scorer);
        let score = self.scores.first().copied().unwrap_or(f32::NEG_INFINITY);
        let (mut place, mut best) = (graph.entry, Found::new(score, entry));
        for level in (1..=graph.levels).rev() {
            while let Some((better, found)) = self.best_upper(graph, scorer, place, level)
                && found < best
            {
                (place, best) = (better, found);
            }
        }
        best.node()
    }

    fn best_upper(
        &mut self,
        graph: GraphView<'_>,
        scorer: &mut impl Scorer,
        place: u32,
        level: u32,
    ) -> Option<(u32, Found)> {
        self.places.clear();
        self.fresh.clear();
        for place in graph.upper_neighbours(place, level) {
            if let Some(node) = graph.upper_node(place) {
                self.places.push(place);
                self.fresh.push(node);
            }
        }
        self.score_fresh(scorer);
        let found = self.fresh.iter().zip(&self.scores).map(|(&node, &score)| Found::new(score, node));
        self.places.iter().copied().zip(found).min_by_key(|&(_, found)| found)
    }
}
