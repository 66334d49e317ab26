//! One query's way through the shards of a collection, in turns.

use crate::codes::{Coded, CodedQuery, CodesView};
use crate::collection::{Collection, ShardHandle};
use crate::exact::{self, ExactScratch};
use crate::heads::HeadQuery;
use crate::hnsw::{Company, GraphView, Scorer, Walk};
use crate::nearest::{Effort, NearestQuery, Place, Ranked};
use crate::row_order::RowOrderView;
use crate::rowset::RowSet;
use crate::shard::Shard;
use crate::signs::Sieve;
use crate::topk::{Scored, TopK};
use crate::vectors::StoredRows;

/// A filter that lets fewer than one row in this many through is answered by comparing just those.
const FEW: u32 = 16;

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
                walked.settle(query, self.scratch);
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
                walked.begin(query, self.scratch, self.company);
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
    if let Some(walked) = Walked::of(shard, rows, query) {
        if allowed.is_none() && handle.live_rows() == handle.rows() {
            return Some(walked);
        }
        if walked.search_filtered(query, scratch, &|node| keep(order.row(node))) {
            return None;
        }
        scratch.in_shard.reset(query.k);
    }
    match shard.codes() {
        Some(codes) => {
            let query = (query.vector, &scratch.coded);
            exact::scan(rows, (codes, order), query, &keep, &mut scratch.exact, &mut scratch.in_shard);
        }
        None => {
            let live = (0..handle.rows()).filter(|&row| keep(row));
            exact::compare(rows, query.vector, live, &mut scratch.exact, &mut scratch.in_shard);
        }
    }
    None
}

/// The parts of a shard that a walk reads.
#[derive(Clone, Copy)]
struct Walked<'a> {
    graph: GraphView<'a>,
    rows: StoredRows<'a>,
    order: RowOrderView<'a>,
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
                    rows: &$walked.rows,
                    order: $walked.order,
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
    /// The parts of a shard; nothing where it has no graph or is better scanned.
    fn of(shard: &'a Shard, rows: StoredRows<'a>, query: NearestQuery<'a>) -> Option<Self> {
        let (Effort::Ef(ef), Some(graph)) = (query.effort, shard.graph()) else { return None };
        // A walk that keeps a good part of the rows takes longer than a scan.
        if ef.max(query.k) >= (graph.count / FEW) as usize {
            return None;
        }
        let by = match shard.codes() {
            Some(codes) => By::Codes(codes),
            None => By::Rows(query.vector, shard.heads().and_then(|heads| heads.query(query.vector))),
        };
        Some(Self { graph, rows, order: shard.order(), by })
    }

    fn begin(&self, query: NearestQuery<'_>, scratch: &mut Scratch, company: Company) {
        with_scorer!(self, scratch, |walk, scorer| walk.begin(self.graph, scorer, ef_of(query), company));
    }

    #[inline]
    fn step(&self, scratch: &mut Scratch) -> bool {
        with_scorer!(self, scratch, |walk, scorer| walk.step(self.graph, scorer))
    }

    /// Searches among the rows for which `keep` is true. Whether the graph could answer.
    fn search_filtered(
        &self,
        query: NearestQuery<'_>,
        scratch: &mut Scratch,
        keep: &dyn Fn(u32) -> bool,
    ) -> bool {
        let budget = self.graph.count as usize / WALK_SHARE;
        let found = with_scorer!(self, scratch, |walk, scorer| {
            walk.search_filtered(self.graph, scorer, ef_of(query), budget, keep)
        });
        if found {
            self.settle(query, scratch);
        }
        found
    }

    /// Fetches what is compared in full.
    fn fetch_found(&self, walk: &Walk, k: usize) {
        if let By::Codes(_) = self.by {
            walk.found().take(k).for_each(|(node, _)| self.rows.fetch(self.order.row(node)));
        }
    }

    /// Leaves the best of what a walk has found in `scratch.in_shard`.
    fn settle(&self, query: NearestQuery<'_>, scratch: &mut Scratch) {
        let Scratch { coded, walk, exact, in_shard, .. } = scratch;
        let (order, coded) = (self.order, &*coded);
        let By::Codes(codes) = self.by else {
            // A damaged order may lead to rows that do not exist.
            let found = walk.found().filter(|&(_, score)| score > f32::NEG_INFINITY);
            return found.take(query.k).for_each(|(node, score)| in_shard.push(score, order.row(node)));
        };
        // Those that the codes cannot tell from the k best are compared in full.
        let last = walk.found().nth(query.k.saturating_sub(1));
        let least = last.map_or(f32::NEG_INFINITY, |(node, score)| score - codes.doubt(coded, node));
        let most = |(node, score)| Scored { score: score + codes.doubt(coded, node), id: order.row(node) };
        let candidates = walk.found().map(most).filter(|candidate| candidate.score >= least);
        exact::decide(self.rows, query.vector, candidates, exact, in_shard);
    }
}

/// Candidates that a walk keeps.
fn ef_of(query: NearestQuery<'_>) -> usize {
    match query.effort {
        Effort::Ef(ef) => ef.max(query.k),
        Effort::Exact => query.k,
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
