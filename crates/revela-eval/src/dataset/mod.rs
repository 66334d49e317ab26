//! Test collections: documents, queries and judgements, whatever the layout they are stored in.
//!
//! A layout is one file here that implements [`Layout`]; [`TestCollection::load`] reads one split
//! through it and checks that its parts fit together. The corpus is streamed, never held.

mod beir;
mod beir_writer;
mod bright;
mod hub;
mod parquet_rows;
mod records;
mod snapshot;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::Path;

use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;

use crate::error::{EvalError, list};
use crate::exclusions::{Exclusions, SelfMatches};
use crate::qrels::Qrels;

pub use beir::{BeirFolder, CollectionInfo};
pub use beir_writer::BeirWriter;
pub use bright::BrightFolder;
pub use hub::HubFolder;
pub use snapshot::{FORMAT as SNAPSHOT_FORMAT, SnapshotInfo, VERSION as SNAPSHOT_VERSION, in_hub_cache};

/// A document of the corpus.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// Its id, unique in the corpus.
    pub id: String,
    /// Its title; empty where it has none.
    pub title: String,
    /// Its text.
    pub text: String,
}

/// A query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Its id, unique among the collection's queries.
    pub id: String,
    /// Its text.
    pub text: String,
}

/// The documents of a corpus as a stream; after an error nothing more comes.
pub type Documents = Box<dyn Iterator<Item = Result<Document, EvalError>> + Send>;

/// How a collection is stored: what a layout must be able to give.
pub trait Layout: fmt::Debug {
    /// Names of the splits that have judgements, sorted.
    ///
    /// # Errors
    /// The files cannot be read.
    fn splits(&self) -> Result<Vec<String>, EvalError>;

    /// Starts reading the corpus. Ids that occur twice are an error of the stream.
    ///
    /// # Errors
    /// The files cannot be opened.
    fn corpus(&self) -> Result<Documents, EvalError>;

    /// The queries of all splits, in the order of the file.
    ///
    /// # Errors
    /// The files cannot be read, a line is malformed, or an id occurs twice.
    fn queries(&self) -> Result<Vec<Query>, EvalError>;

    /// The judgements of one split.
    ///
    /// # Errors
    /// There is no such split ([`EvalError::NoSuchSplit`]), or its file is malformed or empty.
    fn qrels(&self, split: &str) -> Result<Qrels, EvalError>;

    /// What must not count in this split.
    ///
    /// # Errors
    /// The files cannot be read.
    fn exclusions(&self, split: &str) -> Result<Exclusions, EvalError>;
}

/// Which part of a data set is wanted, and by which rule its results count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The split: `test`, or a domain of BRIGHT such as `biology` or `biology-long`.
    pub split: String,
    /// The subset of a data set that holds several, such as a programming language.
    pub subset: Option<String>,
    /// The task's rule for documents whose id is the query's.
    pub self_matches: SelfMatches,
}

/// Opens a folder, or a data set in the hub's cache, by the layout that it has.
///
/// # Errors
/// [`EvalError::NotACollection`] where it is none of those known; as the layouts themselves.
pub fn open(dir: &Path, selection: &Selection) -> Result<Box<dyn Layout>, EvalError> {
    if BeirFolder::is_at(dir) && selection.subset.is_none() {
        return Ok(Box::new(BeirFolder::open(dir)?.with_self_matches(selection.self_matches)));
    }
    if BrightFolder::is_at(dir) {
        return Ok(Box::new(BrightFolder::open(dir, selection)?));
    }
    Ok(Box::new(HubFolder::open(dir, selection)?))
}

/// What to do about judgements that name a query or a document that the collection lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownIdPolicy {
    /// Report them. Judgements of unknown queries are left out; those of unknown documents stay, so
    /// that they lower recall as they do in trec_eval, which does not know the corpus.
    #[default]
    Report,
    /// Fail with [`EvalError::UnknownIds`].
    Refuse,
}

/// Ids that judgements name and the collection lacks, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownIds {
    /// Query ids.
    pub queries: Vec<String>,
    /// Document ids.
    pub documents: Vec<String>,
}

impl UnknownIds {
    /// Whether every id is known.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty() && self.documents.is_empty()
    }
}

impl fmt::Display for UnknownIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the judgements name {} unknown queries", self.queries.len())?;
        if !self.queries.is_empty() {
            write!(f, " ({})", list(&self.queries))?;
        }
        write!(f, " and {} unknown documents", self.documents.len())?;
        if !self.documents.is_empty() {
            write!(f, " ({})", list(&self.documents))?;
        }
        Ok(())
    }
}

/// One split of a collection, checked: everything but the corpus itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCollection {
    /// The queries that have judgements, in the order of the file.
    pub queries: Vec<Query>,
    /// Their judgements.
    pub qrels: Qrels,
    /// What must not count.
    pub exclusions: Exclusions,
    /// Number of documents in the corpus.
    pub documents: u64,
    /// What the judgements name and the collection lacks.
    pub unknown: UnknownIds,
}

impl TestCollection {
    /// Reads one split, and the corpus once to check its ids.
    ///
    /// # Errors
    /// Whatever the layout's files have wrong, an empty corpus, unknown ids if the policy refuses them, no judgements
    /// left for any known query, or an interruption.
    pub fn load(
        layout: &dyn Layout,
        split: &str,
        policy: UnknownIdPolicy,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, EvalError> {
        let mut qrels = layout.qrels(split)?;
        let mut queries = layout.queries()?;
        queries.retain(|query| qrels.get(&query.id).is_some());
        let unknown_queries = unknown_queries(&qrels, &queries);
        let (documents, unknown_documents) = check_corpus(layout, &qrels, progress, interrupt)?;
        if documents == 0 {
            return Err(EvalError::NoDocuments);
        }
        let unknown = UnknownIds { queries: unknown_queries, documents: unknown_documents };
        if policy == UnknownIdPolicy::Refuse && !unknown.is_empty() {
            return Err(EvalError::UnknownIds(unknown));
        }
        qrels.retain_queries(|query| unknown.queries.binary_search_by(|q| q.as_str().cmp(query)).is_err());
        if qrels.is_empty() {
            return Err(EvalError::NoJudgements { origin: format!("split {split:?} ({unknown})") });
        }
        Ok(Self { queries, qrels, exclusions: layout.exclusions(split)?, documents, unknown })
    }
}

fn unknown_queries(qrels: &Qrels, queries: &[Query]) -> Vec<String> {
    let known: HashSet<&str> = queries.iter().map(|query| query.id.as_str()).collect();
    qrels.iter().map(|(query, _)| query).filter(|query| !known.contains(query)).map(str::to_owned).collect()
}

/// Streams the corpus; returns its size and the judged ids that it lacks.
fn check_corpus(
    layout: &dyn Layout,
    qrels: &Qrels,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(u64, Vec<String>), EvalError> {
    let mut missing: BTreeSet<&str> = qrels.judged_documents();
    let task = progress.task("checking the corpus", "documents", None);
    let mut count = 0;
    for document in layout.corpus()? {
        interrupt.check()?;
        missing.remove(document?.id.as_str());
        count += 1;
        task.advance(1);
    }
    Ok((count, missing.into_iter().map(str::to_owned).collect()))
}

#[cfg(test)]
mod hub_tests;
#[cfg(test)]
mod tests;
