//! Answering queries from a collection.

use std::sync::Arc;

use rayon::prelude::*;
use revela_base::embed::{Embedder, TextKind};

use crate::bm25::{self, Snippet};
use crate::collection::Collection;
use crate::error::Error;
use crate::filter::FilterCache;
use crate::fusion::{Fusion, Ranking};
use crate::metric::Zeros;
use crate::nearest::{self, NearestQuery, Place, Ranked};
use crate::passage::Passage;
use crate::query::{Found, Hit, Mode, Query, QueryInput};
use crate::rowset::RowSet;
use crate::topk::Scored;
use crate::vectors::Rows;

/// Searches a collection; cheap to clone, usable from many threads at once.
#[derive(Clone)]
pub struct Searcher {
    collection: Arc<Collection>,
    filters: Arc<FilterCache>,
    embedder: Option<Arc<dyn Embedder>>,
}

/// A query whose mode is settled and whose vector is at hand.
struct Plan<'a> {
    query: &'a Query,
    mode: Mode,
    vector: Option<Vec<f32>>,
    /// The rows of each shard that may be found; nothing where all live rows may.
    filter: Option<Arc<Vec<RowSet>>>,
}

impl Plan<'_> {
    /// How many hits each ranking must give.
    fn depth(&self) -> usize {
        match self.mode {
            Mode::Hybrid(_) => self.query.depth.max(self.query.k),
            _ => self.query.k,
        }
    }

    fn is_dense(&self) -> bool {
        matches!(self.mode, Mode::Dense | Mode::Hybrid(_))
    }
}

impl Searcher {
    /// Searches with BM25, and with vectors that queries bring.
    pub fn new(collection: impl Into<Arc<Collection>>) -> Self {
        Self { collection: collection.into(), filters: Arc::default(), embedder: None }
    }

    /// Lets texts be embedded, so that they can be searched for by similarity.
    ///
    /// # Errors
    /// [`Error::WrongEncoder`] when the collection's vectors came from another encoder.
    pub fn with_embedder(mut self, embedder: Arc<dyn Embedder>) -> Result<Self, Error> {
        self.collection.check_encoder(embedder.fingerprint())?;
        self.embedder = Some(embedder);
        Ok(self)
    }

    /// The collection.
    pub fn collection(&self) -> &Collection {
        &self.collection
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
        self.answer_all(queries, |(rank, found)| {
            let Passage { id, title, text } = self.collection.passage_at(found.id)?;
            let payload = self.collection.payload_at(found.id)?;
            Ok(Hit { id, score: found.score, rank, title, text, payload })
        })
    }

    /// As [`search_batch`](Self::search_batch), without reading what was found: ids and scores, best first.
    ///
    /// # Errors
    /// As [`search`](Self::search), for the first query that fails.
    pub fn find_batch(&self, queries: &[Query]) -> Result<Vec<Vec<Found>>, Error> {
        self.answer_all(queries, |(_, found)| {
            Ok(Found { id: self.collection.id_at(found.id)?.to_owned(), score: found.score })
        })
    }

    /// Ranks for each query, and makes of each place with its rank, from 1, what is wanted.
    fn answer_all<T: Send>(
        &self,
        queries: &[Query],
        make: impl Fn((usize, Scored<Place>)) -> Result<T, Error> + Sync,
    ) -> Result<Vec<Vec<T>>, Error> {
        self.collection.checked(|| {
            let plans = self.plan(queries)?;
            let dense = self.dense_rankings(&plans)?;
            let answer = |(plan, dense): (&Plan<'_>, Ranked)| {
                let ranking = self.ranking(plan, dense)?;
                (1..).zip(ranking).take(plan.query.k).map(&make).collect()
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
        let analyser = self.collection.texts().map_or(bm25::Analyser::Prose, |texts| texts.analyser);
        bm25::snippet(analyser, query.words().unwrap_or_default(), &hit.text, length)
    }

    fn plan<'q>(&self, queries: &'q [Query]) -> Result<Vec<Plan<'q>>, Error> {
        let modes = queries.iter().map(|query| self.settled_mode(query)).collect::<Result<Vec<_>, _>>()?;
        let mut plans: Vec<Plan<'q>> = queries
            .iter()
            .zip(modes)
            .map(|(query, mode)| Plan { query, mode, vector: None, filter: None })
            .collect();
        self.embed_texts(&mut plans)?;
        for (number, plan) in plans.iter_mut().enumerate() {
            if let QueryInput::Vector(vector) | QueryInput::Both { vector, .. } = &plan.query.input
                && plan.is_dense()
            {
                plan.vector = Some(vector.clone());
            }
            plan.filter = self.filters.resolve(&plan.query.filter, &self.collection)?;
            if let Some(vector) = &mut plan.vector {
                // Beside a text, it is what an encoder made of it.
                let given = matches!(plan.query.input, QueryInput::Vector(_));
                let zeros = if given { Zeros::Refused } else { Zeros::Kept };
                self.check_vector(number, zeros, vector)?;
            }
        }
        Ok(plans)
    }

    /// The mode in which a query will be answered: what [`Mode::Auto`] means for it, and its own otherwise.
    ///
    /// # Errors
    /// [`Error::Option`] and [`Error::Unsupported`], as [`search`](Self::search).
    pub fn settled_mode(&self, query: &Query) -> Result<Mode, Error> {
        if query.k == 0 {
            let (option, rule) = ("k", "a query asks for at least one hit");
            return Err(Error::Option { option, value: "0".to_owned(), rule });
        }
        if query.weights.iter().any(|weight| !(*weight > 0.0 && weight.is_finite())) {
            let (option, rule) = ("weights", "rankings weigh a positive number each");
            return Err(Error::Option { option, value: format!("{:?}", query.weights), rule });
        }
        let brings_vector = !matches!(query.input, QueryInput::Text(_));
        let dense = self.collection.vectors().is_some() && (brings_vector || self.embedder.is_some());
        let words = self.collection.texts().is_some() && query.words().is_some();
        let lacking = |what: &str| {
            let path = self.collection.path().display();
            Err(Error::Unsupported(format!("cannot search {path} so: {what}")))
        };
        match query.mode {
            Mode::Auto if dense && words => Ok(Mode::Hybrid(Fusion::default())),
            Mode::Auto if dense => Ok(Mode::Dense),
            Mode::Auto if words => Ok(Mode::Bm25),
            Mode::Dense | Mode::Hybrid(_) | Mode::Auto if self.collection.vectors().is_none() && !words => {
                lacking("it has no vectors, and the query has no words")
            }
            Mode::Dense | Mode::Hybrid(_) if self.collection.vectors().is_none() => {
                lacking("it has no vectors; use BM25, or build it with an encoder")
            }
            Mode::Dense | Mode::Hybrid(_) | Mode::Auto if !dense => {
                lacking("a text needs the encoder that made the vectors; give it, or use BM25")
            }
            Mode::Bm25 | Mode::Hybrid(_) if !words => {
                lacking("BM25 needs a collection with texts and a query with words")
            }
            mode => Ok(mode),
        }
    }

    /// Embeds all texts that need it in one go.
    fn embed_texts(&self, plans: &mut [Plan<'_>]) -> Result<(), Error> {
        let Some(embedder) = &self.embedder else { return Ok(()) };
        let (mut texts, mut wanting) = (Vec::new(), Vec::new());
        for plan in plans {
            if let QueryInput::Text(text) = &plan.query.input
                && plan.is_dense()
            {
                texts.push(text.as_str());
                wanting.push(plan);
            }
        }
        if texts.is_empty() {
            return Ok(());
        }
        let data = embedder.embed(TextKind::Query, &texts)?;
        let vectors = Rows::new("the embedded queries", embedder.dimension(), &data)?;
        for (plan, vector) in wanting.into_iter().zip(vectors.iter()) {
            plan.vector = Some(vector.to_vec());
        }
        Ok(())
    }

    fn check_vector(&self, number: usize, zeros: Zeros, vector: &mut [f32]) -> Result<(), Error> {
        self.collection.vectors().map_or(Ok(()), |space| space.prepare_query(number, zeros, vector))
    }

    /// The dense ranking of each plan that wants one; empty for the others.
    fn dense_rankings(&self, plans: &[Plan<'_>]) -> Result<Vec<Ranked>, Error> {
        let (mut queries, mut asking) = (Vec::new(), Vec::new());
        for (number, plan) in plans.iter().enumerate() {
            if let Some(vector) = &plan.vector {
                queries.push(NearestQuery {
                    vector,
                    k: plan.depth(),
                    effort: plan.query.effort,
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
        let query = first.query(plan.query.words().unwrap_or_default());
        bm25::search(&indexes, &query, plan.depth(), &|(number, row)| match &plan.filter {
            Some(allowed) => allowed.get(number as usize).is_some_and(|rows| rows.contains(row)),
            None => shards.get(number as usize).is_some_and(|shard| shard.is_live(row)),
        })
    }

    fn ranking(&self, plan: &Plan<'_>, dense: Ranked) -> Result<Ranked, Error> {
        match plan.mode {
            Mode::Bm25 => self.bm25_ranking(plan),
            Mode::Hybrid(fusion) => {
                let words = self.bm25_ranking(plan)?;
                let [of_dense, of_words] = plan.query.weights;
                let rankings = [(&dense, of_dense), (&words, of_words)];
                let rankings = rankings.map(|(hits, weight)| Ranking { hits, weight });
                Ok(fusion.fuse(&rankings))
            }
            Mode::Dense | Mode::Auto => Ok(dense),
        }
    }
}

impl std::fmt::Debug for Searcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let encoder = self.embedder.as_ref().map(|embedder| embedder.fingerprint());
        f.debug_struct("Searcher").field("collection", &self.collection).field("encoder", &encoder).finish()
    }
}
