//! The vectors nearest to a query, over all shards of a collection.

use std::cell::RefCell;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::codes::{Coded, CodedQuery, CodesView};
use crate::collection::{Collection, ShardHandle};
use crate::error::Error;
use crate::exact::{self, ExactScratch};
use crate::heads::HeadQuery;
use crate::hnsw::{GraphView, Scorer, Walk};
use crate::row_order::RowOrderView;
use crate::rowset::RowSet;
use crate::shard::Shard;
use crate::signs::Sieve;
use crate::topk::{Scored, TopK};
use crate::vectors::StoredRows;

/// A row of a collection: (shard, row).
pub(crate) type Place = (u32, u32);

/// Places, best first.
pub(crate) type Ranked = Vec<Scored<Place>>;

/// A filter that lets fewer than one row in this many through is answered by comparing just those.
const FEW: u32 = 16;

/// A filtered walk may compare one row in this many before a scan takes over; comparing rows that lie
/// anywhere takes a few times as long as comparing them in order.
const WALK_SHARE: usize = 4;

/// How hard to look for near vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Effort {
    /// Walks through graphs keep this many candidates (ef of the HNSW paper; never fewer than are asked
    /// for): more find more and take longer. Flat shards are always searched exactly.
    Ef(usize),
    /// Exactly the nearest, whatever it takes.
    Exact,
}

impl Default for Effort {
    fn default() -> Self {
        Self::Ef(64)
    }
}

/// One vector to be searched for, already as the metric wants it.
#[derive(Clone, Copy)]
pub(crate) struct NearestQuery<'a> {
    pub(crate) vector: &'a [f32],
    pub(crate) k: usize,
    pub(crate) effort: Effort,
    /// The rows of each shard that may be found; nothing where all live rows may.
    pub(crate) filter: Option<&'a [RowSet]>,
}

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
        }
    }
}

thread_local! {
    /// What a thread's searches use again.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Ranks the collection for each query, on all threads; for one query on this thread.
pub(crate) fn rank(collection: &Collection, queries: &[NearestQuery<'_>]) -> Result<Vec<Ranked>, Error> {
    let rank_one = |query: &NearestQuery<'_>| {
        let mut ranked = Vec::new();
        SCRATCH.with_borrow_mut(|scratch| search(collection, query, scratch, &mut ranked))?;
        Ok(ranked)
    };
    match queries {
        [query] => Ok(vec![rank_one(query)?]),
        _ => queries.par_iter().map(rank_one).collect(),
    }
}

/// Replaces `ranked` by the places nearest to the query.
pub(crate) fn search(
    collection: &Collection,
    query: &NearestQuery<'_>,
    scratch: &mut Scratch,
    ranked: &mut Ranked,
) -> Result<(), Error> {
    scratch.coded.fill(query.vector);
    scratch.over_all.reset(query.k);
    for (number, shard) in (0u32..).zip(collection.handles()) {
        let allowed = query.filter.and_then(|filter| filter.get(number as usize));
        let Some(rows) = shard.shard().rows() else { continue };
        if rows.dim() != query.vector.len() {
            let what = "the query".to_owned();
            return Err(Error::Dimension { what, expected: rows.dim(), found: query.vector.len() });
        }
        scratch.in_shard.reset(query.k);
        search_shard(shard, rows, query, allowed, scratch);
        scratch.in_shard.drain(|hit| scratch.over_all.push(hit.score, (number, hit.id)));
    }
    ranked.clear();
    scratch.over_all.drain(|hit| ranked.push(hit));
    ranked.sort_unstable();
    Ok(())
}

/// Leaves the nearest rows of one shard in `scratch.in_shard`.
fn search_shard(
    shard: &ShardHandle,
    rows: StoredRows<'_>,
    query: &NearestQuery<'_>,
    allowed: Option<&RowSet>,
    scratch: &mut Scratch,
) {
    if let Some(allowed) = allowed.filter(|allowed| allowed.count() <= shard.rows() / FEW) {
        return exact::compare(rows, query.vector, allowed.iter(), &mut scratch.exact, &mut scratch.in_shard);
    }
    let order = shard.shard().order();
    let keep = |row| match allowed {
        Some(allowed) => allowed.contains(row),
        None => shard.is_live(row),
    };
    let codes = shard.shard().codes();
    if let (Effort::Ef(ef), Some(graph)) = (query.effort, shard.shard().graph()) {
        let all = allowed.is_none() && shard.live_rows() == shard.rows();
        // A walk that keeps a good part of the rows takes longer than a scan.
        if ef.max(query.k) < shard.rows() as usize / FEW as usize {
            let keep = |node| keep(order.row(node));
            let keep: Option<&dyn Fn(u32) -> bool> = if all { None } else { Some(&keep) };
            let ef = ef.max(query.k);
            let complete = match codes {
                Some(codes) => walk_codes(shard.shard(), (graph, codes, rows), query, (ef, keep), scratch),
                None => walk_rows(shard.shard(), (graph, rows), query, (ef, keep), scratch),
            };
            if complete {
                return;
            }
            scratch.in_shard.reset(query.k);
        }
    }
    match codes {
        Some(codes) => {
            let query = (query.vector, &scratch.coded);
            exact::scan(rows, (codes, order), query, &keep, &mut scratch.exact, &mut scratch.in_shard);
        }
        None => {
            let live = (0..shard.rows()).filter(|&row| keep(row));
            exact::compare(rows, query.vector, live, &mut scratch.exact, &mut scratch.in_shard);
        }
    }
}

/// What a walk keeps: so many candidates, and of all nodes those for which this is true.
type Wanted<'a> = (usize, Option<&'a dyn Fn(u32) -> bool>);

/// Walks by the codes. Whether the graph could answer.
fn walk_codes(
    shard: &Shard,
    (graph, codes, rows): (GraphView<'_>, CodesView<'_>, StoredRows<'_>),
    query: &NearestQuery<'_>,
    wanted: Wanted<'_>,
    scratch: &mut Scratch,
) -> bool {
    let Scratch { coded, walk, raw, exact, in_shard, .. } = scratch;
    let coded = &*coded;
    if !search_graph(walk, graph, &mut Coded { codes, query: coded, raw }, wanted) {
        return false;
    }
    let order = shard.order();
    // Those that the codes cannot tell from the k best are compared in full.
    let last = walk.found().nth(query.k.saturating_sub(1));
    let least = last.map_or(f32::NEG_INFINITY, |(node, score)| score - codes.doubt(coded, node));
    let most = |(node, score)| Scored { score: score + codes.doubt(coded, node), id: order.row(node) };
    let candidates = walk.found().map(most).filter(|candidate| candidate.score >= least);
    exact::decide(rows, query.vector, candidates, exact, in_shard);
    true
}

/// Walks by the full vectors. Whether the graph could answer.
fn walk_rows(
    shard: &Shard,
    (graph, rows): (GraphView<'_>, StoredRows<'_>),
    query: &NearestQuery<'_>,
    wanted: Wanted<'_>,
    scratch: &mut Scratch,
) -> bool {
    let Scratch { walk, rows: given, in_shard, .. } = scratch;
    let (order, head) = (shard.order(), shard.heads().and_then(|heads| heads.query(query.vector)));
    if !search_graph(walk, graph, &mut Full { rows, order, query: query.vector, head, given }, wanted) {
        return false;
    }
    // A damaged order may lead to rows that do not exist.
    let found = walk.found().filter(|&(_, score)| score > f32::NEG_INFINITY);
    found.take(query.k).for_each(|(node, score)| in_shard.push(score, order.row(node)));
    true
}

fn search_graph(
    walk: &mut Walk,
    graph: GraphView<'_>,
    scorer: &mut impl Scorer,
    (ef, keep): Wanted<'_>,
) -> bool {
    match keep {
        Some(keep) => {
            let budget = graph.count as usize / WALK_SHARE;
            walk.search_filtered(graph, scorer, ef, budget, keep)
        }
        None => {
            walk.search(graph, scorer, ef);
            true
        }
    }
}

/// Compares full vectors.
struct Full<'a> {
    rows: StoredRows<'a>,
    order: RowOrderView<'a>,
    query: &'a [f32],
    head: Option<HeadQuery<'a>>,
    /// The rows of the nodes that are compared.
    given: &'a mut Vec<u32>,
}

impl Scorer for Full<'_> {
    #[inline]
    fn sift(&mut self, _sieve: &mut Sieve, nodes: &mut Vec<u32>, least: f32) {
        if let Some(head) = &self.head {
            head.sift(nodes, least, |node| self.order.row(node));
        }
    }

    #[inline]
    fn scores(&mut self, nodes: &[u32], out: &mut [f32]) {
        self.given.clear();
        self.given.extend(nodes.iter().map(|&node| self.order.row(node)));
        self.rows.scores(self.query, self.given, out);
    }
}
