//! Search by vectors alone, with row numbers as answers: what benchmarks and bulk jobs need.

use std::sync::Arc;

use rayon::prelude::*;

use crate::collection::Collection;
use crate::error::Error;
use crate::filter::Filter;
use crate::nearest::{self, Effort, NearestQuery, Ranked, Scratch};
use crate::rowset::RowSet;
use crate::topk::Scored;
use crate::vectors::npy::Integers;
use crate::vectors::{Rows, Vectors};

/// Stands for "no such row" where a collection has fewer rows than were asked for.
const NO_ROW: i32 = -1;

/// Finds the rows of a collection that are nearest to vectors. Rows are numbered through all shards in the
/// order in which they were added, deleted ones included. After the first few searches it allocates
/// nothing. It serves one thread; make one for each.
///
/// ```no_run
/// # use revela_index::{Collection, Effort, RowSearcher};
/// # fn main() -> Result<(), revela_index::Error> {
/// let collection = Collection::open("vectors.collection".as_ref())?;
/// let mut searcher = RowSearcher::new(&collection);
/// for hit in searcher.search(&[0.1, 0.2, 0.3], 10, Effort::Ef(64))? {
///     println!("{} {}", hit.id, hit.score);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RowSearcher<'a> {
    collection: &'a Collection,
    /// The number of each shard's first row.
    first_rows: Vec<u64>,
    /// The rows of each shard that may be found; nothing where all live rows may.
    filter: Option<Arc<Vec<RowSet>>>,
    scratch: Scratch,
    query: Vec<f32>,
    ranked: Ranked,
    hits: Vec<Scored<u64>>,
}

impl<'a> RowSearcher<'a> {
    /// Searches this collection.
    pub fn new(collection: &'a Collection) -> Self {
        Self::within(collection, None)
    }

    /// Searches only what the filter lets through, which is found out once, here.
    ///
    /// # Errors
    /// [`Error::Predicate`] for an impossible predicate, and when a shard is damaged.
    pub fn filtered(collection: &'a Collection, filter: &Filter) -> Result<Self, Error> {
        Ok(Self::within(collection, filter.resolve(collection)?.map(Arc::new)))
    }

    fn within(collection: &'a Collection, filter: Option<Arc<Vec<RowSet>>>) -> Self {
        let sum = |sum: &mut u64, rows: u32| Some(std::mem::replace(sum, *sum + u64::from(rows)));
        let first_rows = collection.handles().iter().map(|shard| shard.rows()).scan(0, sum).collect();
        let (scratch, query) = (Scratch::default(), Vec::new());
        Self { collection, first_rows, filter, scratch, query, ranked: Vec::new(), hits: Vec::new() }
    }

    /// The `k` rows nearest to a vector, best first.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a collection without vectors, [`Error::Dimension`], [`Error::Row`] for NaN
    /// and under cosine similarity for zero, [`Error::Option`] for `k` = 0.
    pub fn search(&mut self, query: &[f32], k: usize, effort: Effort) -> Result<&[Scored<u64>], Error> {
        self.query.clear();
        self.query.extend_from_slice(query);
        let Some(space) = self.collection.vectors() else {
            let path = self.collection.path().display();
            return Err(Error::Unsupported(format!("the collection {path} has no vectors; use BM25")));
        };
        space.prepare_query(0, &mut self.query)?;
        check_k(k)?;
        let filter = self.filter.as_ref().map(|filter| filter.as_slice());
        let query = NearestQuery { vector: &self.query, k, effort, filter };
        let Self { collection, scratch, ranked, .. } = self;
        collection.checked(|| nearest::search(collection, &query, scratch, ranked))?;
        self.hits.clear();
        for hit in &self.ranked {
            let (shard, row) = hit.id;
            let first = self.first_rows.get(shard as usize).copied().unwrap_or_default();
            self.hits.push(Scored { score: hit.score, id: first + u64::from(row) });
        }
        Ok(&self.hits)
    }
}

fn check_k(k: usize) -> Result<(), Error> {
    if k > 0 {
        return Ok(());
    }
    Err(Error::Option { option: "k", value: "0".to_owned(), rule: "at least one hit must be asked for" })
}

/// The rows nearest to each query, on all threads: a matrix with `k` columns, in which -1 stands where a
/// collection has fewer rows.
///
/// # Errors
/// As [`RowSearcher::search`]; [`Error::Shape`] for row numbers that no 32-bit number holds.
pub fn search_rows(
    collection: &Collection,
    queries: &Vectors,
    k: usize,
    effort: Effort,
) -> Result<Integers, Error> {
    search_rows_where(collection, queries, k, effort, &Filter::All)
}

/// As [`search_rows`], among the rows that the filter lets through.
///
/// # Errors
/// As [`search_rows`] and [`RowSearcher::filtered`].
pub fn search_rows_where(
    collection: &Collection,
    queries: &Vectors,
    k: usize,
    effort: Effort,
    filter: &Filter,
) -> Result<Integers, Error> {
    check_k(k)?;
    let filter = filter.resolve(collection)?.map(Arc::new);
    let k = k.min(usize::try_from(collection.len()).unwrap_or(usize::MAX)).max(1);
    let mut found = vec![NO_ROW; queries.len() * k];
    let answer = |searcher: &mut RowSearcher<'_>, (query, out): (&[f32], &mut [i32])| {
        for (hit, out) in searcher.search(query, k, effort)?.iter().zip(out) {
            *out = i32::try_from(hit.id).map_err(|_| Error::Shape {
                what: "the row numbers".to_owned(),
                detail: format!("row {} does not fit 32 bits", hit.id),
            })?;
        }
        Ok(())
    };
    let rows: Rows<'_> = queries.view();
    rows.data()
        .par_chunks(rows.dim())
        .zip(found.par_chunks_mut(k))
        .map_init(|| RowSearcher::within(collection, filter.clone()), answer)
        .collect::<Result<(), Error>>()?;
    Integers::new("the row numbers", k, found)
}
