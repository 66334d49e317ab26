//! The vectors nearest to queries, over all shards of a collection.

use std::cell::RefCell;

use rayon::prelude::*;
use revela_search::Effort;

use crate::collection::Collection;
use crate::error::Error;
use crate::hnsw::Company;
use crate::lane::{Lane, Scratch};
use crate::rowset::RowSet;
use crate::topk::Scored;
use crate::turns::{LANES, in_turns};

/// A row of a collection: (shard, row).
pub(crate) type Place = (u32, u32);

/// Places, best first.
pub(crate) type Ranked = Vec<Scored<Place>>;

/// The most queries that a thread takes at a time.
pub(crate) const TAKEN: usize = 256;

/// One vector to be searched for, already as the metric wants it.
#[derive(Clone, Copy)]
pub(crate) struct NearestQuery<'a> {
    pub(crate) vector: &'a [f32],
    pub(crate) k: usize,
    pub(crate) effort: Effort,
    /// The rows of each shard that may be found; nothing where all live rows may.
    pub(crate) filter: Option<&'a [RowSet]>,
}

/// Memory of a thread's searches, used again by the next ones.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Vec<Scratch>);

thread_local! {
    static THREAD: RefCell<Lanes> = RefCell::default();
}

/// How many queries each thread should take at a time.
pub(crate) fn share(queries: usize) -> usize {
    queries.div_ceil(rayon::current_num_threads()).clamp(1, TAKEN)
}

/// Ranks the collection for each query, on all threads; for one query on this thread.
pub(crate) fn rank(collection: &Collection, queries: &[NearestQuery<'_>]) -> Result<Vec<Ranked>, Error> {
    let rank_some = |queries: &[NearestQuery<'_>]| {
        let mut all = vec![Vec::new(); queries.len()];
        let keep = |number: usize, ranked: &Ranked| all[number].clone_from(ranked);
        THREAD.with_borrow_mut(|lanes| search(collection, queries, lanes, keep))?;
        Ok(all)
    };
    if let [_] = queries {
        return rank_some(queries);
    }
    let parts = queries.par_chunks(share(queries.len())).map(rank_some);
    Ok(parts.collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect())
}

/// Ranks the collection for each query on this thread. Each ranking is handed out with its query's number
/// as soon as it is known, in no particular order.
pub(crate) fn search<'a>(
    collection: &'a Collection,
    queries: &'a [NearestQuery<'a>],
    lanes: &'a mut Lanes,
    mut each: impl FnMut(usize, &Ranked),
) -> Result<(), Error> {
    check_lengths(collection, queries)?;
    let wanted = queries.len().min(LANES);
    if lanes.0.len() < wanted {
        lanes.0.resize_with(wanted, Scratch::default);
    }
    let begin = |lane: &mut Lane<'a>, number: usize| lane.begin(number, queries[number]);
    let step = |lane: &mut Lane<'a>| {
        let more = lane.step();
        if !more {
            each(lane.number(), lane.ranked());
        }
        more
    };
    match &mut lanes.0[..wanted] {
        // A search that comes alone allocates nothing.
        [scratch] => {
            in_turns(&mut [Lane::new(collection, scratch, Company::Alone)], queries.len(), begin, step)
        }
        scratches => {
            let lane = |scratch| Lane::new(collection, scratch, Company::Others);
            in_turns(&mut scratches.iter_mut().map(lane).collect::<Vec<_>>(), queries.len(), begin, step)
        }
    }
    Ok(())
}

/// Refuses queries that are not as long as the rows of some shard.
fn check_lengths(collection: &Collection, queries: &[NearestQuery<'_>]) -> Result<(), Error> {
    for rows in collection.handles().iter().filter_map(|handle| handle.shard().rows()) {
        let expected = rows.dim();
        if let Some(query) = queries.iter().find(|query| query.vector.len() != expected) {
            let what = "the query".to_owned();
            return Err(Error::Dimension { what, expected, found: query.vector.len() });
        }
    }
    Ok(())
}
