//! Documents that must not count for a query.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// What happens when a query retrieves the document of its own id.
///
/// In ArguAna and Quora (BEIR) the queries are documents of the corpus, so every good retriever finds
/// the query itself first; BEIR's evaluation takes such results out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelfMatches {
    /// It counts as any other result.
    #[default]
    Keep,
    /// It is taken out of the ranking, and what stood below moves up.
    Drop,
}

impl SelfMatches {
    /// The rule where nothing is known of the data: BEIR's evaluation takes such results out of every data set.
    pub const UNKNOWN_TASK: Self = Self::Drop;
}

/// Which results are taken out of a query's ranking before it is scored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclusions {
    per_query: BTreeMap<String, BTreeSet<String>>,
    self_matches: SelfMatches,
}

impl Exclusions {
    /// Excludes by the rule alone; documents can be added.
    pub fn new(self_matches: SelfMatches) -> Self {
        Self { per_query: BTreeMap::new(), self_matches }
    }

    /// Excludes a document for one query (BRIGHT's `excluded_ids`).
    pub fn add(&mut self, query: &str, document: &str) {
        self.per_query.entry(query.to_owned()).or_default().insert(document.to_owned());
    }

    /// Whether the document must not count for the query.
    pub fn excludes(&self, query: &str, document: &str) -> bool {
        (self.self_matches == SelfMatches::Drop && query == document)
            || self.per_query.get(query).is_some_and(|documents| documents.contains(document))
    }

    /// How many results a search must ask for so that `depth` remain for this query.
    pub fn search_depth(&self, query: &str, depth: usize) -> usize {
        let listed = self.per_query.get(query).map_or(0, BTreeSet::len);
        depth + listed + usize::from(self.self_matches == SelfMatches::Drop)
    }

    /// The rule for documents whose id is the query's.
    pub fn self_matches(&self) -> SelfMatches {
        self.self_matches
    }

    /// The documents that are excluded for a query by name, sorted.
    pub fn listed(&self, query: &str) -> impl Iterator<Item = &str> {
        self.per_query.get(query).into_iter().flatten().map(String::as_str)
    }

    /// Whether nothing is ever excluded.
    pub fn is_empty(&self) -> bool {
        self.per_query.is_empty() && self.self_matches == SelfMatches::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_documents_and_self_matches_are_excluded_for_their_query_only() {
        let mut exclusions = Exclusions::new(SelfMatches::Drop);
        exclusions.add("q", "d");
        assert!(exclusions.excludes("q", "d") && exclusions.excludes("q", "q"));
        assert!(!exclusions.excludes("r", "d") && !exclusions.excludes("r", "q"));
        assert_eq!((exclusions.search_depth("q", 10), exclusions.search_depth("r", 10)), (12, 11));
        assert!(!exclusions.is_empty() && Exclusions::default().is_empty());
        assert!(!Exclusions::default().excludes("q", "q"));
    }
}
