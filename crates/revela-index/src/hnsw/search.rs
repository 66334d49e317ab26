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

    /// Asks for what these rows are scored by to be brought near.
    fn fetch(&self, rows: impl Iterator<Item = u32>);

    /// The same for what they are sifted by.
    fn fetch_for_sifting(&self, _rows: impl Iterator<Item = u32>) {}

    /// Removes rows, in place, that are hardly as similar as `least`, and fetches the others.
    fn sift(&mut self, _sieve: &mut Sieve, rows: &mut Vec<u32>, _least: f32) {
        self.fetch(rows.iter().copied());
    }
}

/// Whether a walk shares its thread with others, which take their turns while it waits for memory.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// It must guess what it will need, and fetch that while it works on what it has.
    #[default]
    Alone,
    /// It fetches what it needs in its next turn.
    Others,
}

/// What a walk does next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Turn {
    #[default]
    Done,
    /// Looks up the neighbours on an upper level.
    Upper,
    /// Steps to the best of them, or a level down.
    Descend,
    /// Looks up the neighbours on level 0 of this node.
    Expand(u32),
    Sift,
    Score,
}

/// One search through a graph, in turns, and its memory, used again by the next one.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    company: Company,
    turn: Turn,
    visited: Visited,
    pool: Pool,
    candidates: BinaryHeap<Reverse<Found>>,
    /// Where the descent stands: the best node so far with its place, and the level.
    best: Option<(u32, Found)>,
    level: u32,
    places: Vec<u32>,
    fresh: Vec<u32>,
    scores: Vec<f32>,
    sieve: Sieve,
    /// The node whose neighbours were fetched ahead.
    ahead: Option<u32>,
    /// What the descent has compared, where that is wanted.
    met: Option<Vec<u32>>,
    /// A node that the next search takes for absent.
    absent: Option<u32>,
}

impl Walk {
    /// Walks that remember what their descents meet.
    pub(super) fn remembering() -> Self {
        Self { met: Some(Vec::new()), ..Self::default() }
    }

    /// Lets the next search be as if a node, which is on the lowest level only, were not there.
    pub(crate) fn leave_out(&mut self, node: u32) {
        self.absent = Some(node);
    }

    /// The nodes that the last descent has met on its way, from far to near; some come more than once.
    pub(super) fn met(&self) -> &[u32] {
        self.met.as_deref().unwrap_or_default()
    }

    /// Begins to look for the `ef` best nodes; [`step`](Self::step) goes on.
    pub(crate) fn begin(
        &mut self,
        graph: GraphView<'_>,
        scorer: &mut impl Scorer,
        ef: usize,
        company: Company,
    ) {
        self.visited.start(graph.count);
        if let Some(absent) = self.absent.take() {
            self.visited.insert(absent);
        }
        self.pool.reset(ef);
        scorer.start(&mut self.sieve);
        (self.company, self.turn, self.best, self.level) = (company, Turn::Done, None, graph.levels);
        self.ahead = None;
        self.fresh.clear();
        self.places.clear();
        self.met.iter_mut().for_each(Vec::clear);
        if let Some(entry) = graph.entry_node() {
            self.fresh.push(entry);
            self.places.push(graph.entry);
            scorer.fetch(self.fresh.iter().copied());
            self.turn = Turn::Descend;
        }
    }

    /// Takes the next turn, and fetches what the one after it needs. Whether there is one; if not, what was
    /// found is in [`found`](Self::found).
    #[inline]
    pub(crate) fn step(&mut self, graph: GraphView<'_>, scorer: &mut impl Scorer) -> bool {
        loop {
            match self.turn {
                Turn::Done => return false,
                Turn::Upper => self.look_up(graph, scorer),
                Turn::Descend => self.descend(graph, scorer),
                Turn::Expand(node) => self.expand(graph, scorer, node),
                Turn::Sift => self.sift(scorer),
                Turn::Score => {
                    self.score(scorer);
                    for (&node, &score) in self.fresh.iter().zip(&self.scores) {
                        self.pool.offer(Found::new(score, node));
                    }
                    self.go_on(graph);
                }
            }
            if self.company == Company::Others {
                return true;
            }
        }
    }

    /// All turns of a walk that is alone.
    pub(crate) fn search(&mut self, graph: GraphView<'_>, scorer: &mut impl Scorer, ef: usize) {
        self.begin(graph, scorer, ef, Company::Alone);
        self.step(graph, scorer);
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
        // It is alone, but what is next stands among the candidates, of which the pool knows nothing to guess by.
        self.begin(graph, scorer, ef, Company::Others);
        while self.turn == Turn::Descend {
            self.descend(graph, scorer);
            if self.turn == Turn::Upper {
                self.look_up(graph, scorer);
            }
        }
        self.score(scorer);
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
                    self.expand(graph, scorer, best.node());
                    if self.turn == Turn::Sift {
                        self.sift(scorer);
                    }
                    self.score(scorer);
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

    /// The next turn of a walk on level 0.
    #[inline]
    fn go_on(&mut self, graph: GraphView<'_>) {
        if self.company == Company::Alone {
            for later in self.pool.peek_next(PEEKED + 1).skip(1) {
                graph.list(later).fetch();
            }
        }
        self.turn = match self.pool.expand_next() {
            Some(node) => {
                graph.list(node).fetch();
                Turn::Expand(node)
            }
            None => Turn::Done,
        };
    }

    /// Leaves the neighbours of a node that were not seen before among the fresh nodes.
    #[inline]
    fn expand(&mut self, graph: GraphView<'_>, scorer: &mut impl Scorer, node: u32) {
        match graph.list(node) {
            Links::Wide(slots) => self.visited.insert_all(slots.iter().copied(), &mut self.fresh),
            Links::Packed(slots) => self.visited.insert_all(slots.iter().map(unpack), &mut self.fresh),
        }
        // Until there are enough nodes none can be left out.
        if self.pool.worst_of_enough().is_some() {
            if self.ahead != Some(node) {
                scorer.fetch_for_sifting(self.fresh.iter().copied());
            }
            self.turn = Turn::Sift;
        } else {
            scorer.fetch(self.fresh.iter().copied());
            self.turn = Turn::Score;
        }
        if self.company == Company::Alone
            && let Some(next) = self.pool.peek_next(1).next()
        {
            scorer.fetch_for_sifting(graph.neighbours(next));
            self.ahead = Some(next);
        }
    }

    /// Leaves only those among the fresh nodes that may be good enough.
    #[inline]
    fn sift(&mut self, scorer: &mut impl Scorer) {
        if let Some(worst) = self.pool.worst_of_enough() {
            scorer.sift(&mut self.sieve, &mut self.fresh, worst);
        }
        self.turn = Turn::Score;
    }

    #[inline]
    fn score(&mut self, scorer: &mut impl Scorer) {
        if self.scores.len() < self.fresh.len() {
            self.scores.resize(self.fresh.len(), 0.0);
        }
        scorer.scores(&self.fresh, &mut self.scores[..self.fresh.len()]);
    }

    fn look_up(&mut self, graph: GraphView<'_>, scorer: &mut impl Scorer) {
        self.places.clear();
        self.fresh.clear();
        let place = self.best.map_or(graph.entry, |(place, _)| place);
        for place in graph.upper_neighbours(place, self.level) {
            if let Some(node) = graph.upper_node(place) {
                self.places.push(place);
                self.fresh.push(node);
            }
        }
        scorer.fetch(self.fresh.iter().copied());
        self.turn = Turn::Descend;
    }

    /// On each upper level steps to the best neighbour while that is better. Every step improves, so
    /// it ends even in a damaged graph.
    fn descend(&mut self, graph: GraphView<'_>, scorer: &mut impl Scorer) {
        self.score(scorer);
        if let Some(met) = &mut self.met {
            met.extend_from_slice(&self.fresh);
        }
        let found = self.fresh.iter().zip(&self.scores).map(|(&node, &score)| Found::new(score, node));
        let nearest = self.places.iter().copied().zip(found).min_by_key(|&(_, found)| found);
        match (nearest, self.best) {
            (Some(nearest), best) if best.is_none_or(|best| nearest.1 < best.1) => self.best = Some(nearest),
            _ => self.level = self.level.saturating_sub(1),
        }
        let Some((place, best)) = self.best else { return };
        if self.level > 0 {
            graph.upper_list(place, self.level).fetch();
            self.turn = Turn::Upper;
            return;
        }
        // The search begins where the descent ended, and at the entry point, from which all can be reached.
        graph.list(best.node()).fetch();
        self.fresh.clear();
        let first = [Some(best.node()), graph.entry_node()];
        self.fresh.extend(first.into_iter().flatten().filter(|&node| self.visited.insert(node)));
        scorer.fetch(self.fresh.iter().copied());
        self.turn = Turn::Score;
    }
}
