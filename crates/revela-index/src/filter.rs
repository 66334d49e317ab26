//! Which rows of a collection a filter lets through.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use revela_search::{Filter, Predicate};

use crate::collection::{Collection, ShardHandle};
use crate::error::Error;
use crate::rowset::RowSet;

/// Payloads that a thread reads at least.
const PAYLOADS: usize = 1024;

/// The rows of each shard that may be found, deleted ones left out; nothing where all live rows may. Payloads are
/// read for all passages, on all threads.
pub(crate) fn resolve(filter: &Filter, collection: &Collection) -> Result<Option<Vec<RowSet>>, Error> {
    let shards = collection.handles().iter();
    match filter {
        Filter::All => Ok(None),
        Filter::Ids(ids) => shards.map(|shard| rows_of_ids(shard, ids)).collect::<Result<_, _>>().map(Some),
        Filter::Prefix(prefix) => {
            shards.map(|shard| rows_under(shard, prefix)).collect::<Result<_, _>>().map(Some)
        }
        Filter::Payload(predicate) => {
            predicate.check()?;
            let rows = |shard| rows_that_fit(shard, predicate);
            shards.map(rows).collect::<Result<_, _>>().map(Some)
        }
    }
}

/// Whether both are the same ids or an equal condition. Equal lists of ids that were read twice count as
/// different, as comparing long ones takes longer than finding their rows.
fn is_same(one: &Filter, other: &Filter) -> bool {
    match (one, other) {
        (Filter::Ids(a), Filter::Ids(b)) => Arc::ptr_eq(a, b),
        (Filter::Prefix(a), Filter::Prefix(b)) => a == b,
        (Filter::Payload(a), Filter::Payload(b)) => a == b,
        _ => false,
    }
}

/// Filters that are remembered.
const REMEMBERED: usize = 8;

/// What the last filters let through, so that one that is asked with again costs nothing. Belongs to one
/// collection.
#[derive(Debug, Default)]
pub(crate) struct FilterCache(Mutex<VecDeque<(Filter, Arc<Vec<RowSet>>)>>);

impl FilterCache {
    /// As [`resolve`].
    pub(crate) fn resolve(
        &self,
        filter: &Filter,
        collection: &Collection,
    ) -> Result<Option<Arc<Vec<RowSet>>>, Error> {
        if *filter == Filter::All {
            return Ok(None);
        }
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rows)) = lock().iter().find(|(known, _)| is_same(known, filter)) {
            return Ok(Some(rows.clone()));
        }
        let resolved = resolve(filter, collection)?.map(Arc::new);
        if let Some(rows) = &resolved {
            let mut known = lock();
            known.push_front((filter.clone(), rows.clone()));
            known.truncate(REMEMBERED);
        }
        Ok(resolved)
    }
}

fn rows_of_ids(shard: &ShardHandle, ids: &HashSet<String>) -> Result<RowSet, Error> {
    let mut rows = RowSet::empty(shard.rows());
    for id in ids {
        if let Some(row) = shard.find(id)? {
            rows.insert(row);
        }
    }
    Ok(rows)
}

fn rows_under(shard: &ShardHandle, prefix: &str) -> Result<RowSet, Error> {
    let mut rows = RowSet::empty(shard.rows());
    for row in (0..shard.rows()).filter(|&row| shard.is_live(row)) {
        if shard.shard().id(row)?.starts_with(prefix) {
            rows.insert(row);
        }
    }
    Ok(rows)
}

fn rows_that_fit(shard: &ShardHandle, predicate: &Predicate) -> Result<RowSet, Error> {
    let fits = |row: u32| -> Result<Option<u32>, Error> {
        let fits = shard.is_live(row) && predicate.fits(&shard.shard().payload(row)?);
        Ok(fits.then_some(row))
    };
    let found: Vec<Option<u32>> =
        (0..shard.rows()).into_par_iter().with_min_len(PAYLOADS).map(fits).collect::<Result<_, _>>()?;
    let mut rows = RowSet::empty(shard.rows());
    for row in found.into_iter().flatten() {
        rows.insert(row);
    }
    Ok(rows)
}
