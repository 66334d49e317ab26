//! What a system retrieved: a ranking of documents for each query.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use crate::error::EvalError;
use crate::exclusions::Exclusions;

/// One retrieved document.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its id.
    pub document: String,
    /// Its score, higher is better. Single precision, because trec_eval compares scores so: two that
    /// differ only beyond it are tied.
    pub score: f32,
}

impl Hit {
    /// A retrieved document.
    pub fn new(document: impl Into<String>, score: f32) -> Self {
        Self { document: document.into(), score }
    }
}

/// trec_eval's order: by falling score, and documents of equal score by falling id (in bytes).
///
/// The rank that a system or a file gives is not looked at, so a run scores the same whatever the
/// order in which tied documents were found.
fn trec_order(a: &Hit, b: &Hit) -> Ordering {
    b.score.total_cmp(&a.score).then_with(|| b.document.cmp(&a.document))
}

/// The rankings of one system, by query id.
///
/// Every ranking is in trec_eval's order, holds each document once, and has finite scores.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run(BTreeMap<String, Vec<Hit>>);

impl Run {
    /// An empty run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a query's results, in any order.
    ///
    /// # Errors
    /// A score that is not finite, a document that occurs twice, a query that is there already.
    pub fn insert(&mut self, query: &str, mut hits: Vec<Hit>) -> Result<(), EvalError> {
        if self.0.contains_key(query) {
            return Err(EvalError::RepeatedQuery { query: query.to_owned() });
        }
        let mut seen = HashSet::with_capacity(hits.len());
        for hit in &mut hits {
            if !hit.score.is_finite() {
                let (query, document) = (query.to_owned(), hit.document.clone());
                return Err(EvalError::BadScore { query, document });
            }
            // Minus zero equals zero, but would sort below it.
            hit.score += 0.0;
            if !seen.insert(hit.document.as_str()) {
                let (query, document) = (query.to_owned(), hit.document.clone());
                return Err(EvalError::RepeatedDocument { query, document });
            }
        }
        hits.sort_unstable_by(trec_order);
        self.0.insert(query.to_owned(), hits);
        Ok(())
    }

    /// A query's ranking, best first.
    pub fn get(&self, query: &str) -> Option<&[Hit]> {
        self.0.get(query).map(Vec::as_slice)
    }

    /// Every query with its ranking, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Hit])> {
        self.0.iter().map(|(query, hits)| (query.as_str(), hits.as_slice()))
    }

    /// Number of queries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no queries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out what must not count; what stood below moves up.
    pub fn exclude(&mut self, exclusions: &Exclusions) {
        if exclusions.is_empty() {
            return;
        }
        for (query, hits) in &mut self.0 {
            hits.retain(|hit| !exclusions.excludes(query, &hit.document));
        }
    }

    /// Keeps the first `depth` results of each query.
    pub fn truncate(&mut self, depth: usize) {
        self.0.values_mut().for_each(|hits| hits.truncate(depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exclusions::SelfMatches;

    fn run(hits: &[(&str, f32)]) -> Result<Run, EvalError> {
        let mut run = Run::new();
        run.insert("q", hits.iter().map(|&(d, s)| Hit::new(d, s)).collect())?;
        Ok(run)
    }

    fn ids(run: &Run) -> Vec<&str> {
        run.get("q").unwrap().iter().map(|h| h.document.as_str()).collect()
    }

    #[test]
    fn ties_are_broken_by_falling_id() {
        let run =
            run(&[("d1", 1.0), ("d9", 1.0), ("d10", 1.0), ("a", 2.0), ("é", 1.0), ("y", -0.0), ("x", 0.0)]);
        assert_eq!(ids(&run.unwrap()), ["a", "é", "d9", "d10", "d1", "y", "x"]);
    }

    #[test]
    fn bad_scores_and_repetitions_are_refused() {
        for score in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(matches!(run(&[("d", score)]), Err(EvalError::BadScore { .. })));
        }
        assert!(matches!(run(&[("d", 1.0), ("d", 0.5)]), Err(EvalError::RepeatedDocument { .. })));
        let mut twice = run(&[]).unwrap();
        assert!(matches!(twice.insert("q", vec![]), Err(EvalError::RepeatedQuery { .. })));
    }

    #[test]
    fn exclusions_move_the_rest_up() {
        let mut run = run(&[("a", 3.0), ("q", 2.0), ("b", 1.0)]).unwrap();
        let mut exclusions = Exclusions::new(SelfMatches::Drop);
        exclusions.add("q", "a");
        exclusions.add("other", "b");
        run.exclude(&exclusions);
        assert_eq!(ids(&run), ["b"]);
        run.truncate(0);
        assert!(ids(&run).is_empty() && run.len() == 1);
    }
}
