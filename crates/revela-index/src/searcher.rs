//! Answering queries from a collection.

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;
use revela_base::checksum::Checksum;
use revela_base::embed::Embedder;
use revela_search::{
    Description, Entry, Hit, Mode, Passage, Prepared, Query, QueryInput, Scored, Snippet, VectorField,
    embed_texts, prepare,
};

use crate::bm25;
use crate::collection::Collection;
use crate::error::Error;
use crate::filter::FilterCache;
use crate::metric::Zeros;
use crate::nearest::{self, NearestQuery, Place, Ranked};
use crate::rowset::RowSet;

/// One found passage by its id alone.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// The passage's id.
    pub id: String,
    /// As a [`Hit`]'s.
    pub score: f32,
}

/// Searches a collection; cheap to clone, usable from many threads at once. As a [`Store`](revela_search::Store)
/// it is a snapshot.
#[derive(Clone)]
pub struct Searcher {
    collection: Arc<Collection>,
    description: Arc<Description>,
    filters: Arc<FilterCache>,
    /// With its fingerprint.
    embedder: Option<(Arc<dyn Embedder>, Checksum)>,
}

/// A prepared query with its vector as the metric wants it.
struct Plan<'a> {
    prepared: &'a Prepared<'a>,
    vector: Option<Vec<f32>>,
    /// The rows of each shard that may be found; nothing where all live rows may.
    filter: Option<Arc<Vec<RowSet>>>,
}

impl Searcher {
    /// Searches with BM25, and with vectors that queries bring.
    pub fn new(collection: impl Into<Arc<Collection>>) -> Self {
        let collection = collection.into();
        let description = Arc::new(describe(&collection));
        Self { collection, description, filters: Arc::default(), embedder: None }
    }

    /// Lets texts be embedded, so that they can be searched for by similarity.
    ///
    /// # Errors
    /// [`Error::WrongEncoder`] when the collection's vectors came from another encoder.
    pub fn with_embedder(mut self, embedder: Arc<dyn Embedder>) -> Result<Self, Error> {
        let fingerprint = embedder.fingerprint();
        self.collection.check_encoder(fingerprint)?;
        self.embedder = Some((embedder, fingerprint));
        Ok(self)
    }

    /// The collection.
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// What queries are planned by.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Answers one query.
    ///
    /// # Errors
    /// [`Error::Option`] for `k` = 0, [`Error::Unsupported`] when the mode needs what the collection, the
    /// query or the searcher lacks, [`Error::Dimension`] and [`Error::Row`] for an unusable vector.
    pub fn search(&self, query: &Query) -> Result<Vec<Hit>, Error> {
        Ok(self.search_batch(std::slice::from_ref(query))?.pop().unwrap_or_default())
    }

    /// Answers queries in parallel; the answers are in the order of the queries.
    ///
    /// # Errors
    /// As [`search`](Self::search), for the first query that fails.
    pub fn search_batch(&self, queries: &[Query]) -> Result<Vec<Vec<Hit>>, Error> {
        self.answer_all(&self.prepared(queries)?, |place| self.hit(place))
    }

    /// As [`search_batch`](Self::search_batch), without reading what was found: ids and scores, best first.
    ///
    /// # Errors
    /// As [`search`](Self::search), for the first query that fails.
    pub fn find_batch(&self, queries: &[Query]) -> Result<Vec<Vec<Found>>, Error> {
        self.answer_all(&self.prepared(queries)?, |(_, found)| {
            Ok(Found { id: self.collection.id_at(found.id)?.to_owned(), score: found.score })
        })
    }

    /// Queries that are ready to be answered, those that need it embedded.
    fn prepared<'q>(&self, queries: &'q [Query]) -> Result<Vec<Prepared<'q>>, Error> {
        let mut prepared = prepare(queries, &self.description, self.encoder())?;
        if let Some((embedder, _)) = &self.embedder {
            embed_texts(&mut prepared, &**embedder)?;
        }
        Ok(prepared)
    }

    /// Answers queries that were prepared for this collection's description.
    pub(crate) fn hits_of(&self, prepared: &[Prepared<'_>]) -> Result<Vec<Vec<Hit>>, Error> {
        self.answer_all(prepared, |place| self.hit(place))
    }

    fn hit(&self, (rank, found): (usize, Scored<Place>)) -> Result<Hit, Error> {
        let Passage { id, title, text } = self.collection.passage_at(found.id)?;
        let payload = self.collection.payload_at(found.id)?;
        Ok(Hit { id, score: found.score, rank, title, text, payload })
    }

    /// Ranks for each query, and makes of each place with its rank, from 1, what is wanted.
    fn answer_all<T: Send>(
        &self,
        prepared: &[Prepared<'_>],
        make: impl Fn((usize, Scored<Place>)) -> Result<T, Error> + Sync,
    ) -> Result<Vec<Vec<T>>, Error> {
        self.collection.checked(|| {
            let plan = |(number, prepared)| self.plan(number, prepared);
            let plans = prepared.iter().enumerate().map(plan).collect::<Result<Vec<_>, _>>()?;
            let dense = self.dense_rankings(&plans)?;
            let answer = |(plan, dense): (&Plan<'_>, Ranked)| {
                let ranking = self.ranking(plan, dense)?;
                (1..).zip(ranking).take(plan.prepared.query().k).map(&make).collect()
            };
            // For one, no other thread need be woken.
            match plans.len() {
                1 => plans.iter().zip(dense).map(answer).collect(),
                _ => plans.par_iter().zip(dense).map(answer).collect(),
            }
        })
    }

    /// The piece of a hit's text of at most about `length` bytes that shows why it matches, with the
    /// query's words marked.
    pub fn snippet(&self, query: &Query, hit: &Hit, length: usize) -> Snippet {
        self.snippet_of(query.words().unwrap_or_default(), &hit.text, length)
    }

    pub(crate) fn snippet_of(&self, words: &str, text: &str, length: usize) -> Snippet {
        let analyser = self.collection.texts().map_or(bm25::Analyser::Prose, |texts| texts.analyser);
        bm25::snippet(analyser, words, text, length)
    }

    /// The mode in which a query will be answered: what [`Mode::Auto`] means for it, and its own otherwise.
    ///
    /// # Errors
    /// [`Error::Option`] and [`Error::Unsupported`], as [`search`](Self::search).
    pub fn settled_mode(&self, query: &Query) -> Result<Mode, Error> {
        Ok(Prepared::new(Cow::Borrowed(query), &self.description, self.encoder())?.mode())
    }

    /// The passage of this id with its payload.
    pub(crate) fn entry(&self, id: &str) -> Result<Option<Entry>, Error> {
        let Some(place) = self.collection.find(id)? else { return Ok(None) };
        let (passage, payload) = (self.collection.passage_at(place)?, self.collection.payload_at(place)?);
        Ok(Some(Entry { passage, payload }))
    }

    fn encoder(&self) -> Option<Checksum> {
        self.embedder.as_ref().map(|(_, fingerprint)| *fingerprint)
    }

    fn plan<'a>(&self, number: usize, prepared: &'a Prepared<'a>) -> Result<Plan<'a>, Error> {
        let mut vector = prepared.vector()?.map(<[f32]>::to_vec);
        let filter = self.filters.resolve(&prepared.query().filter, &self.collection)?;
        if let (Some(vector), Some(space)) = (&mut vector, self.collection.vectors()) {
            // Beside a text, it is what an encoder made of it.
            let given = matches!(prepared.query().input, QueryInput::Vector(_));
            let zeros = if given { Zeros::Refused } else { Zeros::Kept };
            space.prepare_query(number, zeros, vector)?;
        }
        Ok(Plan { prepared, vector, filter })
    }

    /// The dense ranking of each plan that wants one; empty for the others.
    fn dense_rankings(&self, plans: &[Plan<'_>]) -> Result<Vec<Ranked>, Error> {
        let (mut queries, mut asking) = (Vec::new(), Vec::new());
        for (number, plan) in plans.iter().enumerate() {
            if let Some(vector) = &plan.vector {
                queries.push(NearestQuery {
                    vector,
                    k: plan.prepared.depth(),
                    effort: plan.prepared.query().effort,
                    filter: plan.filter.as_ref().map(|filter| filter.as_slice()),
                });
                asking.push(number);
            }
        }
        let mut rankings = vec![Vec::new(); plans.len()];
        for (number, found) in asking.into_iter().zip(nearest::rank(&self.collection, &queries)?) {
            if let Some(ranking) = rankings.get_mut(number) {
                *ranking = found;
            }
        }
        Ok(rankings)
    }

    fn bm25_ranking(&self, plan: &Plan<'_>) -> Result<Ranked, Error> {
        let shards = self.collection.handles();
        let indexes = shards.iter().map(|shard| shard.texts()).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = indexes.first() else { return Ok(Vec::new()) };
        let query = first.query(plan.prepared.words().unwrap_or_default());
        bm25::search(&indexes, &query, plan.prepared.depth(), &|(number, row)| match &plan.filter {
            Some(allowed) => allowed.get(number as usize).is_some_and(|rows| rows.contains(row)),
            None => shards.get(number as usize).is_some_and(|shard| shard.is_live(row)),
        })
    }

    fn ranking(&self, plan: &Plan<'_>, dense: Ranked) -> Result<Ranked, Error> {
        Ok(match plan.prepared.mode() {
            Mode::Bm25 => self.bm25_ranking(plan)?,
            Mode::Hybrid => plan.prepared.fuse(&dense, &self.bm25_ranking(plan)?),
            Mode::Dense | Mode::Auto => dense,
        })
    }
}

fn describe(collection: &Collection) -> Description {
    let vectors = collection.vectors().map(|space| VectorField {
        dimension: space.dim as usize,
        metric: space.metric,
        encoder: space.encoder,
    });
    Description {
        location: collection.path().display().to_string(),
        vectors,
        analyser: collection.texts().map(|texts| texts.analyser.name().to_owned()),
        chunked: collection.chunker().is_some(),
    }
}

impl std::fmt::Debug for Searcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Searcher")
            .field("collection", &self.collection)
            .field("encoder", &self.encoder())
            .finish()
    }
}
