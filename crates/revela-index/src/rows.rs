//! Search by vectors alone, with row numbers as answers: what benchmarks and bulk jobs need.

use std::sync::Arc;

use rayon::prelude::*;
use revela_search::{Effort, Filter};

use crate::collection::Collection;
use crate::error::Error;
use crate::filter;
use crate::metric::Zeros;
use crate::nearest::{self, Lanes, NearestQuery, Ranked, TAKEN};
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
    lanes: Lanes,
    /// Queries as the metric wants them.
    queries: Vec<f32>,
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
        Ok(Self::within(collection, filter::resolve(filter, collection)?.map(Arc::new)))
    }

    fn within(collection: &'a Collection, filter: Option<Arc<Vec<RowSet>>>) -> Self {
        let sum = |sum: &mut u64, rows: u32| Some(std::mem::replace(sum, *sum + u64::from(rows)));
        let first_rows = collection.handles().iter().map(|shard| shard.rows()).scan(0, sum).collect();
        let (lanes, queries, hits) = (Lanes::default(), Vec::new(), Vec::new());
        Self { collection, first_rows, filter, lanes, queries, hits }
    }

    /// The `k` rows nearest to a vector, best first.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a collection without vectors, [`Error::Dimension`], [`Error::Row`] for NaN
    /// and under cosine similarity for zero, [`Error::Option`] for `k` = 0.
    pub fn search(&mut self, query: &[f32], k: usize, effort: Effort) -> Result<&[Scored<u64>], Error> {
        self.prepare(0, query, query.len())?;
        check_k(k)?;
        let filter = self.filter.as_ref().map(|filter| filter.as_slice());
        let query = NearestQuery { vector: &self.queries, k, effort, filter };
        let Self { collection, lanes, hits, first_rows, .. } = self;
        collection.checked(|| {
            nearest::search(collection, &[query], lanes, |_, ranked| number(ranked, first_rows, hits))
        })?;
        Ok(&self.hits)
    }

    /// The `k` rows nearest to each of several vectors, on this thread. `each` is given the number of a
    /// vector with its rows, best first, in no particular order of vectors. Faster than asking for one after
    /// the other: while one search waits for memory, others go on.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn search_many(
        &mut self,
        queries: Rows<'_>,
        k: usize,
        effort: Effort,
        each: impl FnMut(usize, &[Scored<u64>]),
    ) -> Result<(), Error> {
        self.search_from(0, queries, k, effort, each)
    }

    /// As [`search_many`](Self::search_many) for queries that errors number from `number` on.
    fn search_from(
        &mut self,
        number_of_first: usize,
        queries: Rows<'_>,
        k: usize,
        effort: Effort,
        mut each: impl FnMut(usize, &[Scored<u64>]),
    ) -> Result<(), Error> {
        check_k(k)?;
        let dim = queries.dim();
        for (part, data) in queries.data().chunks(TAKEN * dim).enumerate() {
            let first = part * TAKEN;
            self.prepare(number_of_first + first, data, dim)?;
            let filter = self.filter.as_ref().map(|filter| filter.as_slice());
            let query = |vector| NearestQuery { vector, k, effort, filter };
            let queries: Vec<NearestQuery<'_>> = self.queries.chunks_exact(dim).map(query).collect();
            let Self { collection, lanes, hits, first_rows, .. } = self;
            let give = |at: usize, ranked: &Ranked| {
                number(ranked, first_rows, hits);
                each(first + at, hits);
            };
            collection.checked(|| nearest::search(collection, &queries, lanes, give))?;
        }
        Ok(())
    }

    /// Makes queries, of which `first` is the number of the first one, what the metric wants.
    fn prepare(&mut self, first: usize, queries: &[f32], dim: usize) -> Result<(), Error> {
        let Some(space) = self.collection.vectors() else {
            let path = self.collection.path().display();
            return Err(Error::Unsupported(format!("the collection {path} has no vectors; use BM25")));
        };
        self.queries.clear();
        self.queries.extend_from_slice(queries);
        if queries.is_empty() {
            return space.prepare_query(first, Zeros::Refused, &mut self.queries);
        }
        let mut numbered = self.queries.chunks_mut(dim).enumerate();
        numbered.try_for_each(|(at, query)| space.prepare_query(first + at, Zeros::Refused, query))
    }
}

/// Replaces `hits` by what was found, with row numbers that go through all shards.
fn number(ranked: &Ranked, first_rows: &[u64], hits: &mut Vec<Scored<u64>>) {
    hits.clear();
    hits.extend(ranked.iter().map(|hit| {
        let (shard, row) = hit.id;
        let first = first_rows.get(shard as usize).copied().unwrap_or_default();
        Scored { score: hit.score, id: first + u64::from(row) }
    }));
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
/// As [`RowSearcher::search`]; [`Error::Shape`] for more rows than 32-bit numbers count.
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
    check_numbers(collection)?;
    let filter = filter::resolve(filter, collection)?.map(Arc::new);
    let k = k.min(usize::try_from(collection.len()).unwrap_or(usize::MAX)).max(1);
    let (dim, mut found) = (queries.view().dim(), vec![NO_ROW; queries.len() * k]);
    let share = nearest::share(queries.len());
    let answer = |searcher: &mut RowSearcher<'_>, (part, (queries, out)): (usize, (&[f32], &mut [i32]))| {
        let rows = Rows::new("the queries", dim, queries)?;
        searcher.search_from(part * share, rows, k, effort, |query, hits| {
            let out = out.chunks_exact_mut(k).nth(query).unwrap_or_default();
            out.iter_mut().zip(hits).for_each(|(out, hit)| *out = hit.id as i32);
        })
    };
    (queries.view().data().par_chunks(share * dim))
        .zip(found.par_chunks_mut(share * k))
        .enumerate()
        .map_init(|| RowSearcher::within(collection, filter.clone()), answer)
        .collect::<Result<(), Error>>()?;
    Integers::new("the row numbers", k, found)
}

fn check_numbers(collection: &Collection) -> Result<(), Error> {
    let rows: u64 = collection.handles().iter().map(|shard| u64::from(shard.rows())).sum();
    if rows <= i32::MAX as u64 {
        return Ok(());
    }
    let detail = format!("{rows} rows do not fit 32 bits; ask a `RowSearcher`");
    Err(Error::Shape { what: "the row numbers".to_owned(), detail })
}
