//! Searching one text index, or several as one.

use std::collections::HashMap;

use tantivy::query::{
    Bm25StatisticsProvider, BooleanQuery, BoostQuery, EnableScoring, Occur, Query, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{TantivyError, Term};

use super::TextIndex;
use crate::error::Error;
use crate::topk::{Scored, TopK};

/// A bag of terms with weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextQuery {
    terms: Vec<(String, f32)>,
}

impl TextQuery {
    /// Terms with the weights by which their scores are multiplied; a text's terms have their counts.
    pub fn new(terms: impl IntoIterator<Item = (String, f32)>) -> Self {
        Self { terms: terms.into_iter().collect() }
    }

    fn on_field(&self, field: Field) -> BooleanQuery {
        let clause = |(term, weight): &(String, f32)| -> (Occur, Box<dyn Query>) {
            let query = TermQuery::new(Term::from_field_text(field, term), IndexRecordOption::WithFreqs);
            (Occur::Should, Box::new(BoostQuery::new(Box::new(query), *weight)))
        };
        BooleanQuery::new(self.terms.iter().map(clause).collect())
    }
}

impl TextIndex {
    /// The query that a text is: its terms, each with its count.
    pub fn query(&self, text: &str) -> TextQuery {
        let terms = self.analyser.terms(text);
        TextQuery::new(terms.into_iter().map(|(term, count)| (term, count as f32)))
    }

    /// In how many rows a term occurs.
    ///
    /// # Errors
    /// [`Error::Text`] when the index is damaged.
    pub fn document_frequency(&self, term: &str) -> Result<u32, Error> {
        let count = self
            .searcher
            .doc_freq(&Term::from_field_text(self.fields.body, term))
            .map_err(self.place.error("search"))?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// The `k` best rows, best first, equal scores in row order. Rows that share no term with the query
    /// are never returned.
    ///
    /// # Errors
    /// [`Error::Text`] when the index is damaged.
    pub fn search(&self, query: &TextQuery, k: usize) -> Result<Vec<Scored<u32>>, Error> {
        let found = search(&[self], query, k, &|_| true)?;
        Ok(found.into_iter().map(|hit| Scored { score: hit.score, id: hit.id.1 }).collect())
    }
}

/// The `k` best rows of several indexes as (index, row), scored as if they were one index.
///
/// Rows for which `keep` is false are left out; they still count in the statistics.
///
/// # Errors
/// [`Error::Text`] when an index is damaged.
pub fn search(
    indexes: &[&TextIndex],
    query: &TextQuery,
    k: usize,
    keep: &dyn Fn((u32, u32)) -> bool,
) -> Result<Vec<Scored<(u32, u32)>>, Error> {
    let mut top = TopK::new(k);
    if k == 0 || query.terms.is_empty() {
        return Ok(top.into_sorted());
    }
    let statistics = Statistics::collect(indexes, query)?;
    let bounds_hold = indexes.len() == 1;
    for (number, index) in (0u32..).zip(indexes) {
        let mut offer = |row, score| {
            if keep((number, row)) {
                top.push(score, (number, row));
            }
            // Rows come in ascending order, so a later row whose score equals the threshold loses.
            top.threshold().max(f32::MIN)
        };
        visit(index, query, &statistics, bounds_hold, &mut offer).map_err(index.place.error("search"))?;
    }
    Ok(top.into_sorted())
}

/// Offers every row that could enter a ranking; `offer` returns the score that a row must exceed.
///
/// tantivy's skipping relies on bounds that were computed with one index's own average length; with the
/// statistics of several indexes they are no bounds, so then every match is scored.
fn visit(
    index: &TextIndex,
    query: &TextQuery,
    statistics: &Statistics,
    bounds_hold: bool,
    offer: &mut dyn FnMut(u32, f32) -> f32,
) -> Result<(), TantivyError> {
    let scoring = EnableScoring::enabled_from_statistics_provider(statistics, &index.searcher);
    let weight = query.on_field(index.fields.body).weight(scoring)?;
    for segment in index.searcher.segment_readers() {
        if bounds_hold {
            weight.for_each_pruning(f32::MIN, segment, offer)?;
        } else {
            weight.for_each(segment, &mut |row, score| {
                offer(row, score);
            })?;
        }
    }
    Ok(())
}

/// What BM25 needs to know about all indexes together.
struct Statistics {
    tokens: u64,
    rows: u64,
    frequencies: HashMap<Term, u64>,
}

impl Statistics {
    fn collect(indexes: &[&TextIndex], query: &TextQuery) -> Result<Self, Error> {
        let mut all = Self { tokens: 0, rows: 0, frequencies: HashMap::new() };
        for index in indexes {
            all.add(index, query).map_err(index.place.error("search"))?;
        }
        Ok(all)
    }

    fn add(&mut self, index: &TextIndex, query: &TextQuery) -> Result<(), TantivyError> {
        self.tokens += index.searcher.total_num_tokens(index.fields.body)?;
        self.rows += index.searcher.total_num_docs()?;
        for (term, _) in &query.terms {
            let term = Term::from_field_text(index.fields.body, term);
            let frequency = index.searcher.doc_freq(&term)?;
            *self.frequencies.entry(term).or_default() += frequency;
        }
        Ok(())
    }
}

impl Bm25StatisticsProvider for Statistics {
    fn total_num_tokens(&self, _field: Field) -> tantivy::Result<u64> {
        Ok(self.tokens)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.rows)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        Ok(self.frequencies.get(term).copied().unwrap_or(0))
    }
}
