//! BRIGHT's layout: `documents/DOMAIN`, `examples/DOMAIN` and, for the long setting, `long_documents/DOMAIN`,
//! as Parquet or JSON lines. A domain is a split; `DOMAIN-long` is its long setting.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use revela_base::record::Id;
use serde::Deserialize;

use super::hub::{listing, split_of};
use super::records::{self, Record};
use super::snapshot;
use super::{Document, Documents, Layout, Query, Selection};
use crate::error::EvalError;
use crate::exclusions::Exclusions;
use crate::qrels::Qrels;

const DOCUMENTS: &str = "documents";
const LONG_DOCUMENTS: &str = "long_documents";
const EXAMPLES: &str = "examples";
const LONG: &str = "-long";

/// Stands in `excluded_ids` for "none".
const NOT_APPLICABLE: &str = "N/A";

/// An opened folder of this layout, for one domain.
#[derive(Debug, Clone)]
pub struct BrightFolder {
    dir: PathBuf,
    splits: Vec<String>,
    selection: Selection,
    documents: Vec<PathBuf>,
    examples: Vec<Example>,
}

impl BrightFolder {
    /// Whether a folder looks like this layout.
    pub fn is_at(dir: &Path) -> bool {
        snapshot::resolve(dir).is_ok_and(|root| root.join(DOCUMENTS).is_dir() && root.join(EXAMPLES).is_dir())
    }

    /// Opens a folder, or the data set in the hub's cache, for the selected domain.
    ///
    /// # Errors
    /// [`EvalError::NoSuchSplit`], malformed or damaged files, or a document that is both an answer and
    /// excluded.
    pub fn open(dir: &Path, selection: &Selection) -> Result<Self, EvalError> {
        let root = snapshot::resolve(dir)?;
        snapshot::check(&root)?;
        let splits = splits(&root)?;
        if !splits.contains(&selection.split) {
            let (dir, split) = (dir.to_owned(), selection.split.clone());
            return Err(EvalError::NoSuchSplit { dir, split, available: splits });
        }
        let domain = domain(&selection.split);
        let of_domain = |folder: &str| -> Result<Vec<PathBuf>, EvalError> {
            let files = listing(&root.join(folder))?.into_iter();
            Ok(files.filter(|(stem, _)| split_of(stem) == domain).map(|(_, path)| path).collect())
        };
        let long = selection.split.ends_with(LONG);
        let documents = of_domain(if long { LONG_DOCUMENTS } else { DOCUMENTS })?;
        let examples = records::read(&of_domain(EXAMPLES)?)?.collect::<Result<_, _>>()?;
        Ok(Self { dir: dir.to_owned(), splits, selection: selection.clone(), documents, examples })
    }

    fn check(&self, split: &str) -> Result<(), EvalError> {
        if split == self.selection.split {
            return Ok(());
        }
        let (dir, split) = (self.dir.clone(), split.to_owned());
        Err(EvalError::NoSuchSplit { dir, split, available: vec![self.selection.split.clone()] })
    }
}

/// The domain of a split's name.
fn domain(split: &str) -> &str {
    split.strip_suffix(LONG).unwrap_or(split)
}

fn splits(root: &Path) -> Result<Vec<String>, EvalError> {
    let domains = |folder: &str| -> Result<BTreeSet<String>, EvalError> {
        Ok(listing(&root.join(folder))?.iter().map(|(stem, _)| split_of(stem).to_owned()).collect())
    };
    let (examples, documents, long) = (domains(EXAMPLES)?, domains(DOCUMENTS)?, domains(LONG_DOCUMENTS)?);
    let mut splits: Vec<String> = examples.intersection(&documents).cloned().collect();
    splits.extend(examples.intersection(&long).map(|domain| format!("{domain}{LONG}")));
    splits.sort_unstable();
    Ok(splits)
}

/// A query with its judgements.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Example {
    query: Query,
    gold: Vec<String>,
    gold_long: Vec<String>,
    excluded: Vec<String>,
}

#[derive(Deserialize)]
struct ExampleLine {
    id: Id,
    query: String,
    #[serde(default)]
    gold_ids: Vec<String>,
    #[serde(default)]
    gold_ids_long: Vec<String>,
    #[serde(default)]
    excluded_ids: Vec<String>,
}

impl Record for Example {
    const KIND: &'static str = "query";
    const COLUMNS: &'static [&'static str] = &["id", "query", "gold_ids", "gold_ids_long", "excluded_ids"];
    type Line = ExampleLine;

    fn from_line(line: ExampleLine) -> Result<Self, &'static str> {
        let mut excluded = line.excluded_ids;
        excluded.retain(|id| id != NOT_APPLICABLE);
        if line.gold_ids.iter().any(|id| excluded.contains(id)) {
            return Err("a document of gold_ids also stands in excluded_ids");
        }
        let query = Query { id: line.id.0, text: line.query };
        Ok(Self { query, gold: line.gold_ids, gold_long: line.gold_ids_long, excluded })
    }

    fn id(&self) -> &str {
        &self.query.id
    }
}

impl Layout for BrightFolder {
    fn splits(&self) -> Result<Vec<String>, EvalError> {
        Ok(self.splits.clone())
    }

    fn corpus(&self) -> Result<Documents, EvalError> {
        Ok(Box::new(records::read::<Document>(&self.documents)?))
    }

    fn queries(&self) -> Result<Vec<Query>, EvalError> {
        Ok(self.examples.iter().map(|example| example.query.clone()).collect())
    }

    fn qrels(&self, split: &str) -> Result<Qrels, EvalError> {
        self.check(split)?;
        let long = split.ends_with(LONG);
        let mut qrels = Qrels::new();
        for example in &self.examples {
            for document in if long { &example.gold_long } else { &example.gold } {
                qrels.insert(&example.query.id, document, 1)?;
            }
        }
        if qrels.is_empty() {
            return Err(EvalError::NoJudgements { origin: format!("split {split:?}") });
        }
        Ok(qrels)
    }

    fn exclusions(&self, split: &str) -> Result<Exclusions, EvalError> {
        self.check(split)?;
        let mut exclusions = Exclusions::new(self.selection.self_matches);
        for example in &self.examples {
            example.excluded.iter().for_each(|document| exclusions.add(&example.query.id, document));
        }
        Ok(exclusions)
    }
}
