//! From a query to what a store is asked: the one place where searches are planned.

use std::borrow::Cow;

use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, TextKind};

use crate::describe::Description;
use crate::error::{Lack, QueryError};
use crate::fusion::Ranking;
use crate::query::{Mode, Query};
use crate::scored::Scored;

/// A query whose mode is settled. Where [`text_to_embed`](Self::text_to_embed) names a text, it wants its vector
/// ([`embed`](Self::embed)) before a store is asked; how and where that is made is the program's affair.
#[derive(Debug, Clone)]
pub struct Prepared<'q> {
    query: Cow<'q, Query>,
    mode: Mode,
    /// The vector of the query's text, where it was embedded here.
    embedded: Option<Vec<f32>>,
}

impl<'q> Prepared<'q> {
    /// Plans a query for a store, given the fingerprint of the encoder that can embed texts, where there is one.
    ///
    /// # Errors
    /// [`QueryError::Option`] for `k` = 0 or impossible weights, [`QueryError::Lacks`] when the mode needs what
    /// store, query or program lack.
    pub fn new(
        query: Cow<'q, Query>,
        store: &Description,
        encoder: Option<Checksum>,
    ) -> Result<Self, QueryError> {
        check_options(&query)?;
        let mode = settled_mode(&query, store, encoder)
            .map_err(|lack| QueryError::Lacks { store: store.location.clone(), lack })?;
        Ok(Self { query, mode, embedded: None })
    }

    /// The query as it was asked.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The mode in which it is answered; never [`Mode::Auto`].
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The text that must be embedded before a store is asked.
    pub fn text_to_embed(&self) -> Option<&str> {
        let wanted = self.mode.is_dense() && self.query.given_vector().is_none() && self.embedded.is_none();
        self.query.words().filter(|_| wanted)
    }

    /// Takes the vector of that text.
    pub fn embed(&mut self, vector: Vec<f32>) {
        self.embedded = Some(vector);
    }

    /// The vector to rank by, as it was given or embedded; nothing where similarity does not rank.
    ///
    /// # Errors
    /// [`QueryError::Lacks`] when the text was not embedded.
    pub fn vector(&self) -> Result<Option<&[f32]>, QueryError> {
        if !self.mode.is_dense() {
            return Ok(None);
        }
        let vector = self.query.given_vector().or(self.embedded.as_deref());
        let lacking = || QueryError::Lacks { store: "the store".to_owned(), lack: Lack::Embedding };
        vector.ok_or_else(lacking).map(Some)
    }

    /// The words to rank by; nothing where BM25 does not rank.
    pub fn words(&self) -> Option<&str> {
        self.query.words().filter(|_| self.mode.is_bm25())
    }

    /// How many hits each ranking must give.
    pub fn depth(&self) -> usize {
        match self.mode {
            Mode::Hybrid => self.query.depth.max(self.query.k),
            Mode::Auto | Mode::Dense | Mode::Bm25 => self.query.k,
        }
    }

    /// The two rankings of hybrid search as one, as the query wants them joined.
    pub fn fuse<I: Ord + Copy>(&self, dense: &[Scored<I>], bm25: &[Scored<I>]) -> Vec<Scored<I>> {
        let [of_dense, of_bm25] = self.query.weights;
        let rankings = [(dense, of_dense), (bm25, of_bm25)];
        self.query.fusion.fuse(&rankings.map(|(hits, weight)| Ranking { hits, weight }))
    }
}

fn check_options(query: &Query) -> Result<(), QueryError> {
    if query.k == 0 {
        let (option, rule) = ("k", "a query asks for at least one hit");
        return Err(QueryError::Option { option, value: "0".to_owned(), rule });
    }
    if query.weights.iter().any(|weight| !(*weight > 0.0 && weight.is_finite())) {
        let (option, rule) = ("weights", "rankings weigh a positive number each");
        return Err(QueryError::Option { option, value: format!("{:?}", query.weights), rule });
    }
    Ok(())
}

fn settled_mode(query: &Query, store: &Description, encoder: Option<Checksum>) -> Result<Mode, Lack> {
    let vectors = store.vectors.is_some();
    let dense = vectors && (query.given_vector().is_some() || store.embeds(encoder));
    let words = store.analyser.is_some() && query.words().is_some();
    match query.mode {
        Mode::Auto if dense && words => Ok(Mode::Hybrid),
        Mode::Auto if dense => Ok(Mode::Dense),
        Mode::Auto if words => Ok(Mode::Bm25),
        Mode::Dense | Mode::Hybrid | Mode::Auto if !vectors && !words => Err(Lack::VectorsAndWords),
        Mode::Dense | Mode::Hybrid if !vectors => Err(Lack::Vectors),
        Mode::Dense | Mode::Hybrid | Mode::Auto if !dense => {
            Err(if encoder.is_some() { Lack::OtherEncoder } else { Lack::Encoder })
        }
        Mode::Bm25 | Mode::Hybrid if !words => Err(Lack::Words),
        mode => Ok(mode),
    }
}

/// Plans queries for a store.
///
/// # Errors
/// As [`Prepared::new`], for the first query that fails.
pub fn prepare<'q>(
    queries: &'q [Query],
    store: &Description,
    encoder: Option<Checksum>,
) -> Result<Vec<Prepared<'q>>, QueryError> {
    queries.iter().map(|query| Prepared::new(Cow::Borrowed(query), store, encoder)).collect()
}

/// Embeds all texts that need it in one go.
///
/// # Errors
/// [`EmbedError`], also for an embedder that gives another count of numbers than it promises.
pub fn embed_texts(prepared: &mut [Prepared<'_>], embedder: &dyn Embedder) -> Result<(), EmbedError> {
    let texts: Vec<&str> = prepared.iter().filter_map(Prepared::text_to_embed).collect();
    let (count, width) = (texts.len(), embedder.dimension().max(1));
    if count == 0 {
        return Ok(());
    }
    let data = embedder.embed(TextKind::Query, &texts)?;
    if data.len() != count * width {
        let message = format!("{} numbers came for {count} texts of {width} dimensions", data.len());
        return Err(EmbedError(message.into()));
    }
    let mut wanting = prepared.iter_mut().filter(|plan| plan.text_to_embed().is_some());
    if count == 1 {
        // The one vector is handed on as it came.
        if let Some(plan) = wanting.next() {
            plan.embed(data);
        }
        return Ok(());
    }
    wanting.zip(data.chunks_exact(width)).for_each(|(plan, row)| plan.embed(row.to_vec()));
    Ok(())
}
