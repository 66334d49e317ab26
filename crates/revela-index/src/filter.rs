//! Searching only a part of a collection.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use crate::collection::{Collection, ShardHandle};
use crate::error::Error;
use crate::payload::Predicate;
use crate::rowset::RowSet;

/// Payloads that a thread reads at least.
const PAYLOADS: usize = 1024;

/// Which passages may be found. Those that may not are left out before the best are chosen, so a filter
/// never costs results.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Filter {
    /// All.
    #[default]
    All,
    /// Those with one of these ids; ids that the collection lacks are ignored.
    Ids(Arc<HashSet<String>>),
    /// Those for whose id the function is true.
    IdPredicate(Arc<dyn Fn(&str) -> bool + Send + Sync>),
    /// Those whose payload fits.
    Payload(Arc<Predicate>),
}

impl Filter {
    /// Only these ids.
    pub fn ids(ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::Ids(Arc::new(ids.into_iter().map(Into::into).collect()))
    }

    /// Only ids for which the function is true. It is called for every passage, once per search.
    pub fn id_predicate(predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::IdPredicate(Arc::new(predicate))
    }

    /// Only passages whose payload fits. The first search with
    /// it reads the payloads of all passages, on all threads; a [`Searcher`](crate::Searcher) remembers the last few.
    pub fn payload(predicate: Predicate) -> Self {
        Self::Payload(Arc::new(predicate))
    }

    /// Whether both are the same ids or an equal predicate.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ids(a), Self::Ids(b)) => Arc::ptr_eq(a, b),
            (Self::Payload(a), Self::Payload(b)) => a == b,
            _ => false,
        }
    }

    /// The rows of each shard that may be found, deleted ones left out; nothing where all live rows may.
    pub(crate) fn resolve(&self, collection: &Collection) -> Result<Option<Vec<RowSet>>, Error> {
        let shards = collection.handles().iter();
        match self {
            Self::All => Ok(None),
            Self::Ids(ids) => shards.map(|shard| rows_of_ids(shard, ids)).collect::<Result<_, _>>().map(Some),
            Self::IdPredicate(predicate) => {
                let rows = |shard| rows_where(shard, predicate.as_ref());
                shards.map(rows).collect::<Result<_, _>>().map(Some)
            }
            Self::Payload(predicate) => {
                predicate.check()?;
                let rows = |shard| rows_that_fit(shard, predicate);
                shards.map(rows).collect::<Result<_, _>>().map(Some)
            }
        }
    }
}

/// Filters that are remembered.
const REMEMBERED: usize = 8;

/// What the last filters let through, so that one that is asked with again costs nothing. Belongs to one
/// collection. Functions are not remembered: they may change their minds.
#[derive(Debug, Default)]
pub(crate) struct FilterCache(Mutex<VecDeque<(Filter, Arc<Vec<RowSet>>)>>);

impl FilterCache {
    /// As [`Filter::resolve`].
    pub(crate) fn resolve(
        &self,
        filter: &Filter,
        collection: &Collection,
    ) -> Result<Option<Arc<Vec<RowSet>>>, Error> {
        if !matches!(filter, Filter::Ids(_) | Filter::Payload(_)) {
            return Ok(filter.resolve(collection)?.map(Arc::new));
        }
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rows)) = lock().iter().find(|(known, _)| known.is_same(filter)) {
            return Ok(Some(rows.clone()));
        }
        let resolved = filter.resolve(collection)?.map(Arc::new);
        if let Some(rows) = &resolved {
            let mut known = lock();
            known.push_front((filter.clone(), rows.clone()));
            known.truncate(REMEMBERED);
        }
        Ok(resolved)
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Ids(ids) => write!(f, "Ids({})", ids.len()),
            Self::IdPredicate(_) => f.write_str("IdPredicate"),
            Self::Payload(predicate) => f.debug_tuple("Payload").field(predicate).finish(),
        }
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

fn rows_where(
    shard: &ShardHandle,
    predicate: &(dyn Fn(&str) -> bool + Send + Sync),
) -> Result<RowSet, Error> {
    let mut rows = RowSet::empty(shard.rows());
    for row in (0..shard.rows()).filter(|&row| shard.is_live(row)) {
        if predicate(shard.shard().id(row)?) {
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
