//! Searching only a part of a collection.

use std::collections::HashSet;
use std::sync::Arc;

use crate::collection::{Collection, ShardHandle};
use crate::error::Error;
use crate::rowset::RowSet;

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
        }
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Ids(ids) => write!(f, "Ids({})", ids.len()),
            Self::IdPredicate(_) => f.write_str("IdPredicate"),
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
