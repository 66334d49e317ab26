//! BEIR's layout: a folder with `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use revela_base::artifact::{Artifact, MANIFEST};
use revela_base::file::FileError;
use serde::{Deserialize, Serialize};

use super::{Document, Documents, Layout, Query, records, snapshot};
use crate::error::EvalError;
use crate::exclusions::{Exclusions, SelfMatches};
use crate::qrels::Qrels;

pub(super) const FORMAT: &str = "revela.beir";
pub(super) const VERSION: u32 = 1;
pub(super) const CORPUS: &str = "corpus.jsonl";
pub(super) const QUERIES: &str = "queries.jsonl";
pub(super) const QRELS: &str = "qrels";

/// What a collection that Revela wrote says about itself, in its manifest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CollectionInfo {
    /// A name for people.
    pub name: String,
    /// Where it came from and how it was made.
    pub description: String,
    /// The licence of its texts, where known.
    pub licence: Option<String>,
    /// Number of documents.
    pub documents: u64,
    /// Number of queries, of all splits.
    pub queries: u64,
    /// Number of judgements by split.
    pub judgements: BTreeMap<String, u64>,
}

/// An opened folder in BEIR layout.
///
/// Folders from elsewhere are taken as they are. One that Revela wrote carries a manifest, and opening
/// it checks every file against it.
#[derive(Debug, Clone)]
pub struct BeirFolder {
    dir: PathBuf,
    self_matches: SelfMatches,
    info: Option<CollectionInfo>,
}

impl BeirFolder {
    /// Opens a folder and checks that it has the three parts.
    ///
    /// # Errors
    /// [`EvalError::NotACollection`], or damage where there is a manifest.
    pub fn open(dir: &Path) -> Result<Self, EvalError> {
        for (part, there) in [
            (CORPUS, dir.join(CORPUS).is_file()),
            (QUERIES, dir.join(QUERIES).is_file()),
            (QRELS, dir.join(QRELS).is_dir()),
        ] {
            if !there {
                return Err(EvalError::NotACollection { dir: dir.to_owned(), missing: part });
            }
        }
        let info = if dir.join(MANIFEST).exists() { verified(dir)? } else { None };
        Ok(Self { dir: dir.to_owned(), self_matches: SelfMatches::Keep, info })
    }

    /// Whether a folder has the three parts with their names.
    pub fn is_at(dir: &Path) -> bool {
        dir.join(CORPUS).is_file() && dir.join(QUERIES).is_file() && has_tables(&dir.join(QRELS))
    }

    /// Sets the task's rule for documents whose id is the query's.
    #[must_use]
    pub fn with_self_matches(mut self, rule: SelfMatches) -> Self {
        self.self_matches = rule;
        self
    }

    /// What the manifest says, if Revela wrote the folder.
    pub fn info(&self) -> Option<&CollectionInfo> {
        self.info.as_ref()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of the corpus, for what streams it itself.
    pub fn corpus_path(&self) -> PathBuf {
        self.dir.join(CORPUS)
    }

    /// The tables of judgements by split.
    fn tables(&self) -> Result<BTreeMap<String, PathBuf>, FileError> {
        let folder = self.dir.join(QRELS);
        let mut tables = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(FileError::io("list", &folder))? {
            let path = entry.map_err(FileError::io("list", &folder))?.path();
            if let Some(split) = records::table_stem(&path) {
                tables.insert(split.to_owned(), path);
            }
        }
        Ok(tables)
    }
}

/// Whether the folder holds tables of judgements; other layouts keep them as JSON or Parquet.
fn has_tables(folder: &Path) -> bool {
    let is_table = |entry: fs::DirEntry| records::table_stem(&entry.path()).is_some();
    fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_table)))
}

/// Checks the folder against its manifest; that of a fetched one tells nothing of the collection.
fn verified(dir: &Path) -> Result<Option<CollectionInfo>, FileError> {
    match Artifact::<CollectionInfo>::open(dir, FORMAT, VERSION..=VERSION) {
        Ok(artifact) => artifact.verify().map(|()| Some(artifact.body)),
        Err(error @ FileError::Format { .. }) => match snapshot::check(dir) {
            Err(FileError::Format { .. }) => Err(error),
            checked => checked.map(|()| None),
        },
        Err(error) => Err(error),
    }
}

impl Layout for BeirFolder {
    fn splits(&self) -> Result<Vec<String>, EvalError> {
        Ok(self.tables()?.into_keys().collect())
    }

    fn corpus(&self) -> Result<Documents, EvalError> {
        Ok(Box::new(records::read::<Document>(&[self.corpus_path()])?))
    }

    fn queries(&self) -> Result<Vec<Query>, EvalError> {
        records::read(&[self.dir.join(QUERIES)])?.collect()
    }

    fn qrels(&self, split: &str) -> Result<Qrels, EvalError> {
        let tables = self.tables()?;
        match tables.get(split) {
            Some(table) => Qrels::read(table),
            None => {
                let (dir, split, available) =
                    (self.dir.clone(), split.to_owned(), tables.into_keys().collect());
                Err(EvalError::NoSuchSplit { dir, split, available })
            }
        }
    }

    fn exclusions(&self, _split: &str) -> Result<Exclusions, EvalError> {
        Ok(Exclusions::new(self.self_matches))
    }
}
