//! Rankings by similarity over all shards of a collection.

use rayon::prelude::*;

use crate::collection::{Collection, ShardHandle};
use crate::error::Error;
use crate::flat;
use crate::rowset::RowSet;
use crate::topk::{Scored, TopK};
use crate::vectors::Rows;

/// A row of a collection: (shard, row).
pub(crate) type Place = (u32, u32);

/// Places, best first.
pub(crate) type Ranked = Vec<Scored<Place>>;

/// One vector to be searched for, already as the metric wants it.
pub(crate) struct DenseQuery<'a> {
    pub(crate) vector: &'a [f32],
    pub(crate) k: usize,
    /// The rows of each shard that may be found; nothing where all live rows may.
    pub(crate) filter: Option<&'a [RowSet]>,
}

/// Ranks the collection for each query.
pub(crate) fn rank(collection: &Collection, queries: &[DenseQuery<'_>]) -> Result<Vec<Ranked>, Error> {
    let mut rankings = vec![Vec::new(); queries.len()];
    // Queries without a filter share their passes over the rows.
    let (together, alone): (Vec<_>, Vec<_>) =
        queries.iter().zip(&mut rankings).partition(|(query, _)| query.filter.is_none());
    rank_together(collection, together)?;
    alone.into_par_iter().try_for_each(|one| rank_together(collection, vec![one]))?;
    Ok(rankings)
}

/// Ranks for queries that share the filter of the first.
fn rank_together(
    collection: &Collection,
    mut queries: Vec<(&DenseQuery<'_>, &mut Ranked)>,
) -> Result<(), Error> {
    let Some(first) = queries.first().map(|(query, _)| *query) else { return Ok(()) };
    let data: Vec<f32> = queries.iter().flat_map(|(query, _)| query.vector).copied().collect();
    let vectors = Rows::new("the queries", first.vector.len(), &data)?;
    let k = queries.iter().map(|(query, _)| query.k).max().unwrap_or(0);
    let mut tops: Vec<TopK<Place>> = queries.iter().map(|(query, _)| TopK::new(query.k)).collect();
    for (number, shard) in (0u32..).zip(collection.handles()) {
        let allowed = first.filter.and_then(|filter| filter.get(number as usize));
        for (top, found) in tops.iter_mut().zip(scan(shard, vectors, k, allowed)?) {
            found.into_iter().for_each(|hit| top.push(hit.score, (number, hit.id)));
        }
    }
    for ((_, ranking), top) in queries.iter_mut().zip(tops) {
        **ranking = top.into_sorted();
    }
    Ok(())
}

fn scan(
    shard: &ShardHandle,
    queries: Rows<'_>,
    k: usize,
    allowed: Option<&RowSet>,
) -> Result<Vec<Vec<Scored<u32>>>, Error> {
    let Some(rows) = shard.shard().rows() else { return Ok(Vec::new()) };
    match allowed {
        Some(allowed) => flat::search(rows, queries, k, &|row| allowed.contains(row)),
        None => flat::search(rows, queries, k, &|row| shard.is_live(row)),
    }
}
