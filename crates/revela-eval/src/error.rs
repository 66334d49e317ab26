//! The one error type of this crate.

use std::path::PathBuf;

use revela_base::file::FileError;
use revela_base::interrupt::Interrupted;

use crate::dataset::UnknownIds;
use crate::metrics::Metric;

/// What can go wrong while reading test collections and runs, scoring, comparing and reporting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A file cannot be read or written, or a line of it cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The work was asked to stop.
    #[error("interrupted")]
    Interrupted(#[from] Interrupted),
    /// The folder is not a test collection.
    #[error(
        "{} is not a test collection: {missing} is missing; it needs corpus.jsonl, queries.jsonl and \
         qrels/SPLIT.tsv (BEIR), corpus, queries and qrels as Parquet or JSON lines (Hugging Face), or \
         documents and examples (BRIGHT)", dir.display()
    )]
    NotACollection {
        /// The folder.
        dir: PathBuf,
        /// What it lacks.
        missing: &'static str,
    },
    /// The collection has no such split.
    #[error("{} has no split {split:?}; it has {}", dir.display(), list(available))]
    NoSuchSplit {
        /// The folder.
        dir: PathBuf,
        /// The split asked for.
        split: String,
        /// Those that exist, sorted.
        available: Vec<String>,
    },
    /// The corpus is empty.
    #[error("the corpus holds no documents; check that its file is whole")]
    NoDocuments,
    /// There is nothing to measure against.
    #[error("{origin} holds no judgements; check that it is the right file or split")]
    NoJudgements {
        /// The file or the split.
        origin: String,
    },
    /// Judgements name queries or documents that the collection lacks, and the policy is to refuse.
    #[error("{0}; mend the judgements, or allow them to be reported instead")]
    UnknownIds(UnknownIds),
    /// The same document is judged twice for a query, with different grades.
    #[error("query {query:?} judges document {document:?} as {first} and as {second}; keep one")]
    ContradictoryGrades {
        /// The query.
        query: String,
        /// The document.
        document: String,
        /// The grade that came first.
        first: i32,
        /// The one that contradicts it.
        second: i32,
    },
    /// An id occurs twice where ids must be unique.
    #[error("the {kind} id {id:?} occurs twice; ids must be unique")]
    DuplicateId {
        /// "document" or "query".
        kind: &'static str,
        /// The id.
        id: String,
    },
    /// An id cannot be written in the format asked for.
    #[error("the id {id:?} cannot be written to {format}: it {detail}")]
    UnwritableId {
        /// The id.
        id: String,
        /// The format.
        format: &'static str,
        /// Why not.
        detail: &'static str,
    },
    /// A score is NaN, infinite, or too large for single precision.
    #[error("query {query:?}, document {document:?}: the score is not a finite number")]
    BadScore {
        /// The query.
        query: String,
        /// The document.
        document: String,
    },
    /// A run holds the same query twice.
    #[error("query {query:?} is already in the run")]
    RepeatedQuery {
        /// The query.
        query: String,
    },
    /// A run ranks the same document twice for one query.
    #[error("query {query:?} ranks document {document:?} twice")]
    RepeatedDocument {
        /// The query.
        query: String,
        /// The document.
        document: String,
    },
    /// A run answers queries that have no judgements.
    #[error(
        "the run answers {count} queries that have no judgements ({}); \
         check that it belongs to this split, or allow them to be ignored",
        list(examples)
    )]
    UnjudgedQueries {
        /// How many.
        count: usize,
        /// The first few, sorted.
        examples: Vec<String>,
    },
    /// The catalogue has no such task.
    #[error("unknown task {name:?}; `revela data tasks` lists the {} that are known", available.len())]
    UnknownTask {
        /// The name asked for.
        name: String,
        /// Those that exist, sorted.
        available: Vec<String>,
    },
    /// An entry of the catalogue cannot be read.
    #[error("the catalogue's entry {name} is malformed: {detail}; please report this")]
    BadEntry {
        /// The entry.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// A metric's name is not known.
    #[error(
        "unknown metric {text:?}; known are {}, where k is a depth such as 10",
        Metric::FORMS.join(", ")
    )]
    UnknownMetric {
        /// What was given.
        text: String,
    },
    /// A result lacks a metric.
    #[error("{system} has no values for {metric}; it has {}", list(available))]
    MissingMetric {
        /// The system's name.
        system: String,
        /// The metric asked for.
        metric: Metric,
        /// Those it has.
        available: Vec<String>,
    },
    /// Two results cover different queries.
    #[error(
        "{left} and {right} were measured on different queries ({only_left} only in the first, \
         {only_right} only in the second, {both} in both); measure them on the same split, or ask for \
         the queries that they share"
    )]
    DifferentQueries {
        /// The first system.
        left: String,
        /// The second system.
        right: String,
        /// Queries that only the first has.
        only_left: usize,
        /// Queries that only the second has.
        only_right: usize,
        /// Queries in both.
        both: usize,
    },
    /// Too few values for the statistic.
    #[error("{statistic} needs at least {needed} queries, but there are {found}")]
    TooFew {
        /// Its name.
        statistic: &'static str,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error("{statistic} got a value that is not a finite number")]
    NotFinite {
        /// What was to be computed.
        statistic: &'static str,
    },
    /// A setting is out of its range.
    #[error("{name} is {value}, but must be {expected}")]
    BadSetting {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
}

/// The first few of a list, and how many more there are.
pub(crate) fn list(items: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<&str> = items.iter().take(SHOWN).map(String::as_str).collect();
    match items.len() {
        0 => "none".to_owned(),
        n if n <= SHOWN => shown.join(", "),
        n => format!("{}, and {} more", shown.join(", "), n - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_and_counted() {
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(list(&names(0)), "none");
        assert_eq!(list(&names(2)), "0, 1");
        assert_eq!(list(&names(10)), "0, 1, 2, 3, 4, 5, 6, 7, and 2 more");
    }
}
