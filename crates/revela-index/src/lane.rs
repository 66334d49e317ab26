//! One query's way through the shards of a collection, in turns.

use revela_search::Effort;

use crate::codes::{Coded, CodedQuery, CodesView};
use crate::collection::{Collection, ShardHandle};
use crate::copies::CopiesView;
use crate::exact::{self, ExactScratch};
use crate::heads::{HeadQuery, Heads};
use crate::hnsw::{Company, GraphView, Scorer, Walk};
use crate::nearest::{NearestQuery, Place, Ranked};
use crate::row_order::RowOrderView;
use crate::rowset::RowSet;
use crate::shard::Shard;
use crate::signs::Sieve;
use crate::topk::{Scored, TopK};
use crate::vectors::StoredRows;

/// A filter that lets fewer than one row in this many through is answered by comparing just those.
pub(crate) const FEW: u32 = 16;

/// A filtered walk may compare one row in this many before a scan takes over; comparing rows that lie
/// anywhere takes a few times as long as comparing them in order.
const WALK_SHARE: usize = 4;

/// Memory of searches, used again by the next one.
#[derive(Debug)]
pub(crate) struct Scratch {
    coded: CodedQuery,
    walk: Walk,
    exact: ExactScratch,
    raw: Vec<i32>,
    rows: Vec<u32>,
    in_shard: TopK<u32>,
    over_all: TopK<Place>,
    ranked: Ranked,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            coded: CodedQuery::default(),
            walk: Walk::default(),
            exact: ExactScratch::default(),
            raw: Vec::new(),
            rows: Vec::new(),
            in_shard: TopK::new(0),
            over_all: TopK::new(0),
            ranked: Vec::new(),
        }
    }
}

/// A search in progress. Walks take one turn at a time; whatever else answers a shard is done in one.
pub(crate) struct Lane<'a> {
    collection: &'a Collection,
    scratch: &'a mut Scratch,
    company: Company,
    query: Option<(usize, NearestQuery<'a>)>,
    /// The shard that is searched.
    shard: u32,
    stage: Stage<'a>,
}

/// What a search does next.
enum Stage<'a> {
    /// Begins with a shard.
    Enter,
    Walk(Walked<'a>),
    /// Compares in full what the walk has found.
    Settle(Walked<'a>),
}

impl<'a> Lane<'a> {
    pub(crate) fn new(collection: &'a Collection, scratch: &'a mut Scratch, company: Company) -> Self {
        Self { collection, scratch, company, query: None, shard: 0, stage: Stage::Enter }
    }

    /// Begins with a query, which is known by a number.
    pub(crate) fn begin(&mut self, number: usize, query: NearestQuery<'a>) {
        self.scratch.coded.fill(query.vector);
        self.scratch.over_all.reset(query.k);
        (self.query, self.shard, self.stage) = (Some((number, query)), 0, Stage::Enter);
    }

    /// Takes one turn. Whether there is another; if not, the ranking is complete.
    #[inline]
    pub(crate) fn step(&mut self) -> bool {
        let Some((_, query)) = self.query else { return false };
        match &self.stage {
            Stage::Enter => return self.enter(query),
            Stage::Walk(walked) => {
                if !walked.step(self.scratch) {
                    walked.fetch_found(&self.scratch.walk, query.k);
                    self.stage = Stage::Settle(*walked);
                }
            }
            Stage::Settle(walked) => {
                walked.settle((query.vector, query.k), self.scratch, &|_| true);
                self.leave();
            }
        }
        true
    }

    /// The number of the query.
    pub(crate) fn number(&self) -> usize {
        self.query.map_or(0, |(number, _)| number)
    }

    /// What was found, best first.
    pub(crate) fn ranked(&self) -> &Ranked {
        &self.scratch.ranked
    }

    /// Begins a walk through the next shard, or answers it at once. After the last one the ranking is made.
    fn enter(&mut self, query: NearestQuery<'a>) -> bool {
        let collection = self.collection;
        let Some(handle) = collection.handles().get(self.shard as usize) else {
            let Scratch { over_all, ranked, .. } = &mut *self.scratch;
            ranked.clear();
            over_all.drain(|hit| ranked.push(hit));
            ranked.sort_unstable();
            return false;
        };
        self.scratch.in_shard.reset(query.k);
        if let Some(rows) = handle.shard().rows() {
            let allowed = query.filter.and_then(|filter| filter.get(self.shard as usize));
            if let Some(walked) = search_shard(handle, rows, query, allowed, self.scratch) {
                walked.begin(self.scratch, self.company);
                self.stage = Stage::Walk(walked);
                return true;
            }
        }
        self.leave();
        true
    }

    /// Keeps what was found in a shard.
    fn leave(&mut self) {
        let (shard, Scratch { in_shard, over_all, .. }) = (self.shard, &mut *self.scratch);
        in_shard.drain(|hit| over_all.push(hit.score, (shard, hit.id)));
        (self.shard, self.stage) = (shard + 1, Stage::Enter);
    }
}

/// Leaves the nearest rows of one shard in `scratch.in_shard`, unless they should be walked to.
fn search_shard<'a>(
    handle: &'a ShardHandle,
    rows: StoredRows<'a>,
    query: NearestQuery<'a>,
    allowed: Option<&RowSet>,
    scratch: &mut Scratch,
) -> Option<Walked<'a>> {
    if let Some(allowed) = allowed.filter(|allowed| allowed.count() <= handle.rows() / FEW) {
        exact::compare(rows, query.vector, allowed.iter(), &mut scratch.exact, &mut scratch.in_shard);
        return None;
    }
    let (shard, order) = (handle.shard(), handle.shard().order());
    let keep = |row| match allowed {
        Some(allowed) => allowed.contains(row),
        None => handle.is_live(row),
    };
    if let Some(walked) = Walked::of(handle, query) {
        if allowed.is_none() && handle.live_rows() == handle.rows() {
            return Some(walked);
        }
        let budget = handle.rows() as usize / WALK_SHARE;
        let asked = (query.vector, query.k);
        if walked.search_filtered(asked, scratch, budget, &|place| keep(order.row(place))) {
            return None;
        }
        scratch.in_shard.reset(query.k);
    }
    exactly(rows, (shard.codes(), order), query.vector, &keep, scratch);
    None
}

/// Exact search among the rows for which `keep` is true, whatever there is to search by; the scores of the `k` best, best first.
pub(crate) fn exact_scores(
    parts: Parts<'_>,
    (query, k): (&[f32], usize),
    keep: &dyn Fn(u32) -> bool,
    scratch: &mut Scratch,
) -> Vec<f32> {
    scratch.coded.fill(query);
    scratch.in_shard.reset(k);
    exactly(parts.rows, (parts.codes, parts.order), query, keep, scratch);
    let mut scores = Vec::with_capacity(k);
    scratch.in_shard.drain(|hit| scores.push(hit.score));
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    scores
}

/// Leaves the nearest rows for which `keep` is true in `scratch.in_shard`.
fn exactly(
    rows: StoredRows<'_>,
    (codes, order): (Option<CodesView<'_>>, RowOrderView<'_>),
    query: &[f32],
    keep: &dyn Fn(u32) -> bool,
    scratch: &mut Scratch,
) {
    match codes {
        Some(codes) => {
            let query = (query, &scratch.coded);
            exact::scan(rows, (codes, order), query, keep, &mut scratch.exact, &mut scratch.in_shard);
        }
        None => {
            let kept = (0..rows.len() as u32).filter(|&row| keep(row));
            exact::compare(rows, query, kept, &mut scratch.exact, &mut scratch.in_shard);
        }
    }
}

/// The parts of a shard that walks read.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) graph: GraphView<'a>,
    pub(crate) rows: StoredRows<'a>,
    pub(crate) order: RowOrderView<'a>,
    pub(crate) copies: CopiesView<'a>,
    pub(crate) codes: Option<CodesView<'a>>,
    pub(crate) heads: Option<Heads<'a>>,
}

impl<'a> Parts<'a> {
    /// Those of a shard that has a graph.
    pub(crate) fn of(shard: &'a Shard) -> Option<Self> {
        Some(Self {
            graph: shard.graph()?,
            rows: shard.rows()?,
            order: shard.order(),
            copies: shard.copies(),
            codes: shard.codes(),
            heads: shard.heads(),
        })
    }
}

/// One query's walk through a shard.
#[derive(Clone, Copy)]
pub(crate) struct Walked<'a> {
    parts: Parts<'a>,
    /// Candidates that it keeps.
    ef: usize,
    by: By<'a>,
}

/// What a walk compares.
#[derive(Clone, Copy)]
enum By<'a> {
    Codes(CodesView<'a>),
    Rows(&'a [f32], Option<HeadQuery<'a>>),
}

/// Does something with what a walk compares by.
macro_rules! with_scorer {
    ($walked:expr, $scratch:expr, |$walk:ident, $scorer:ident| $work:expr) => {{
        let Scratch { coded, walk: $walk, raw, rows: given, .. } = $scratch;
        match &$walked.by {
            By::Codes(codes) => {
                let $scorer = &mut Coded { codes, query: coded, raw };
                $work
            }
            By::Rows(query, head) => {
                let $scorer = &mut Full {
                    rows: &$walked.parts.rows,
                    order: $walked.parts.order,
                    query,
                    head: head.as_ref(),
                    given,
                };
                $work
            }
        }
    }};
}

impl<'a> Walked<'a> {
    /// A walk through a shard; nothing where it has no graph or is better scanned.
    fn of(handle: &'a ShardHandle, query: NearestQuery<'a>) -> Option<Self> {
        let ef = match query.effort {
            Effort::Ef(ef) => ef,
            Effort::Recall(wanted) => handle.curve()?.ef(query.k, wanted)?,
            Effort::Exact => return None,
        };
        let parts = Parts::of(handle.shard())?;
        let ef = ef.max(query.k);
        // A walk that keeps a good part of the rows takes longer than a scan.
        if ef >= (parts.graph.count / FEW) as usize {
            return None;
        }
        Some(Self::through(parts, query.vector, ef))
    }

    pub(crate) fn through(parts: Parts<'a>, query: &'a [f32], ef: usize) -> Self {
        let by = match parts.codes {
            Some(codes) => By::Codes(codes),
            None => By::Rows(query, parts.heads.and_then(|heads| heads.query(query))),
        };
        Self { parts, ef, by }
    }

    fn begin(&self, scratch: &mut Scratch, company: Company) {
        with_scorer!(self, scratch, |walk, scorer| walk.begin(self.parts.graph, scorer, self.ef, company));
    }

    #[inline]
    fn step(&self, scratch: &mut Scratch) -> bool {
        with_scorer!(self, scratch, |walk, scorer| walk.step(self.parts.graph, scorer))
    }

    /// The scores of the `k` best rows that the walk finds at places for which `keep` is true, best first; nothing is left
    /// out where there is no such condition. A node that is absent is as if it were not in the graph.
    pub(crate) fn scores(
        &self,
        (query, k): (&[f32], usize),
        absent: Option<u32>,
        keep: Option<&dyn Fn(u32) -> bool>,
        scratch: &mut Scratch,
    ) -> Vec<f32> {
        scratch.coded.fill(query);
        scratch.in_shard.reset(k);
        absent.into_iter().for_each(|node| scratch.walk.leave_out(node));
        match keep {
            None => {
                with_scorer!(self, scratch, |walk, scorer| walk.search(self.parts.graph, scorer, self.ef));
                self.settle((query, k), scratch, &|_| true);
            }
            Some(keep) => {
                self.search_filtered((query, k), scratch, usize::MAX, keep);
            }
        }
        let mut scores = Vec::with_capacity(k);
        scratch.in_shard.drain(|hit| scores.push(hit.score));
        scores
    }

    /// Searches among the places for which `keep` is true. Whether the graph could answer.
    fn search_filtered(
        &self,
        query: (&[f32], usize),
        scratch: &mut Scratch,
        budget: usize,
        keep: &dyn Fn(u32) -> bool,
    ) -> bool {
        let Parts { graph, copies, .. } = self.parts;
        let kept = |node| copies.kind(node).any(keep);
        let found = with_scorer!(self, scratch, |walk, scorer| {
            walk.search_filtered(graph, scorer, self.ef, budget, &kept)
        });
        if found {
            self.settle(query, scratch, keep);
        }
        found
    }

    /// Fetches what is compared in full.
    fn fetch_found(&self, walk: &Walk, k: usize) {
        if let By::Codes(_) = self.by {
            let Parts { rows, order, .. } = self.parts;
            walk.found().take(k).for_each(|(node, _)| rows.fetch(order.row(node)));
        }
    }

    /// Leaves the best of what a walk has found in `scratch.in_shard`: rows at places for which `keep` is true.
    fn settle(&self, (query, k): (&[f32], usize), scratch: &mut Scratch, keep: &dyn Fn(u32) -> bool) {
        let Scratch { coded, walk, exact, in_shard, .. } = scratch;
        let (Parts { rows, order, copies, .. }, coded) = (self.parts, &*coded);
        // No more of a kind are wanted than of all.
        let unfolded = |(node, score): (u32, f32)| {
            copies.kind(node).filter(|&place| keep(place)).take(k).map(move |place| (place, score))
        };
        let found = || walk.found().flat_map(unfolded);
        let By::Codes(codes) = self.by else {
            // A damaged order may lead to rows that do not exist.
            let found = found().filter(|&(_, score)| score > f32::NEG_INFINITY);
            return found.take(k).for_each(|(place, score)| in_shard.push(score, order.row(place)));
        };
        // Those that the codes cannot tell from the k best are compared in full.
        let last = found().nth(k.saturating_sub(1));
        let least = last.map_or(f32::NEG_INFINITY, |(place, score)| score - codes.doubt(coded, place));
        let most = |(place, score)| Scored { score: score + codes.doubt(coded, place), id: order.row(place) };
        let candidates = found().map(most).filter(|candidate| candidate.score >= least);
        exact::decide(rows, query, candidates, exact, in_shard);
    }
}

/// Compares full vectors.
struct Full<'a> {
    rows: &'a StoredRows<'a>,
    order: RowOrderView<'a>,
    query: &'a [f32],
    head: Option<&'a HeadQuery<'a>>,
    /// The rows of the nodes that are compared.
    given: &'a mut Vec<u32>,
}

impl Scorer for Full<'_> {
    #[inline]
    fn fetch(&self, nodes: impl Iterator<Item = u32>) {
        nodes.for_each(|node| self.rows.fetch(self.order.row(node)));
    }

    #[inline]
    fn fetch_for_sifting(&self, nodes: impl Iterator<Item = u32>) {
        if let Some(head) = self.head {
            nodes.for_each(|node| head.fetch(self.order.row(node)));
        }
    }

    #[inline]
    fn sift(&mut self, _sieve: &mut Sieve, nodes: &mut Vec<u32>, least: f32) {
        let (rows, order) = (self.rows, self.order);
        match self.head {
            Some(head) => head.sift(nodes, least, |node| order.row(node), |node| rows.fetch(order.row(node))),
            None => self.fetch(nodes.iter().copied()),
        }
    }

    #[inline]
    fn scores(&mut self, nodes: &[u32], out: &mut [f32]) {
        self.given.clear();
        self.given.extend(nodes.iter().map(|&node| self.order.row(node)));
        self.rows.scores(self.query, self.given, out);
    }
}
