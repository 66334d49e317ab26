//! Data sets as they lie on the Hugging Face hub: `corpus`, `queries` and judgements as Parquet or JSON
//! lines, in folders or in files whose names begin so (BEIR, CoIR, MTEB).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use revela_base::file::FileError;
use revela_base::record::Id;
use serde::Deserialize;
use serde_json::Value;

use super::records::{self, Source, readable_stem, table_stem};
use super::snapshot;
use super::{Document, Documents, Layout, Query, Selection};
use crate::error::EvalError;
use crate::exclusions::Exclusions;
use crate::qrels::{Grade, Qrels};

/// Folders that may hold judgements, besides those named after a subset.
const QRELS_FOLDERS: [&str; 4] = ["qrels", "default", "data", ""];

/// Columns of judgements, in the spellings that are found.
const QRELS_COLUMNS: &[&str] = &["query-id", "query_id", "corpus-id", "corpus_id", "score"];

/// An opened folder of this layout, for one split.
#[derive(Debug, Clone)]
pub struct HubFolder {
    dir: PathBuf,
    selection: Selection,
    corpus: Vec<PathBuf>,
    queries: Vec<PathBuf>,
    /// Judgement files by split.
    qrels: BTreeMap<String, Vec<PathBuf>>,
}

impl HubFolder {
    /// Opens a folder, or a data set in the hub's cache (`datasets--ORG--NAME`). Judgements may also lie
    /// beside it under the name with `-qrels`. What `revela data fetch` wrote is checked against its manifest.
    ///
    /// # Errors
    /// [`EvalError::NotACollection`], [`EvalError::NoSuchSplit`], or damage where there is a manifest.
    pub fn open(dir: &Path, selection: &Selection) -> Result<Self, EvalError> {
        let root = snapshot::resolve(dir)?;
        snapshot::check(&root)?;
        let subset = selection.subset.as_deref();
        let mut qrels = qrels_files(&root, subset)?;
        if qrels.is_empty()
            && let Some(beside) = snapshot::qrels_beside(dir)?
        {
            qrels = qrels_files(&beside, subset)?;
        }
        let part = |name: &'static str| part_files(&root, name, selection);
        let (corpus, queries) = (part("corpus")?, part("queries")?);
        let missing = |missing| EvalError::NotACollection { dir: dir.to_owned(), missing };
        if corpus.is_empty() {
            return Err(missing("corpus"));
        }
        if queries.is_empty() {
            return Err(missing("queries"));
        }
        if qrels.is_empty() {
            return Err(missing("qrels"));
        }
        Ok(Self { dir: dir.to_owned(), selection: selection.clone(), corpus, queries, qrels })
    }
}

impl Layout for HubFolder {
    fn splits(&self) -> Result<Vec<String>, EvalError> {
        Ok(self.qrels.keys().cloned().collect())
    }

    fn corpus(&self) -> Result<Documents, EvalError> {
        Ok(Box::new(records::read::<Document>(&self.corpus)?))
    }

    fn queries(&self) -> Result<Vec<Query>, EvalError> {
        records::read(&self.queries)?.collect()
    }

    fn qrels(&self, split: &str) -> Result<Qrels, EvalError> {
        let Some(files) = self.qrels.get(split) else {
            let (dir, split) = (self.dir.clone(), split.to_owned());
            return Err(EvalError::NoSuchSplit { dir, split, available: self.splits()? });
        };
        let mut qrels = Qrels::new();
        for file in files {
            read_qrels(file, &mut qrels)?;
        }
        if qrels.is_empty() {
            return Err(EvalError::NoJudgements { origin: format!("split {split:?}") });
        }
        Ok(qrels)
    }

    fn exclusions(&self, _split: &str) -> Result<Exclusions, EvalError> {
        Ok(Exclusions::new(self.selection.self_matches))
    }
}

#[derive(Deserialize)]
struct Judgement {
    #[serde(rename = "query-id", alias = "query_id")]
    query: Id,
    #[serde(rename = "corpus-id", alias = "corpus_id")]
    document: Id,
    score: Value,
}

fn read_qrels(path: &Path, qrels: &mut Qrels) -> Result<(), EvalError> {
    if table_stem(path).is_some() {
        for (query, judged) in Qrels::read(path)?.iter() {
            judged.iter().try_for_each(|(document, &grade)| qrels.insert(query, document, grade))?;
        }
        return Ok(());
    }
    let mut source = Source::open(path, QRELS_COLUMNS)?;
    while let Some(Judgement { query, document, score }) = source.next()? {
        let grade =
            grade(&score).ok_or_else(|| source.error(format!("the grade {score} is not a whole number")));
        qrels.insert(&query.0, &document.0, grade?).map_err(|e| source.error(e))?;
    }
    Ok(())
}

fn grade(score: &Value) -> Option<Grade> {
    let number = score.as_f64().or_else(|| score.as_str()?.parse().ok())?;
    (number.fract() == 0.0 && number.abs() <= f64::from(Grade::MAX)).then_some(number as Grade)
}

/// Files of a folder with their names without endings, sorted; nothing where there is no folder.
pub(super) fn listing(folder: &Path) -> Result<Vec<(String, PathBuf)>, FileError> {
    let mut files = Vec::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder).map_err(FileError::io("list", folder))? {
        let path = entry.map_err(FileError::io("list", folder))?.path();
        if path.is_file()
            && let Some(stem) = readable_stem(&path)
        {
            files.push((stem.to_owned(), path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// `test-00000-of-00002` is part of `test`, also where a hash follows the numbers.
pub(super) fn split_of(stem: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let counted = |last: &str| digits(last.split('-').next().unwrap_or_default());
    let cut = stem.rsplit_once("-of-").filter(|(_, last)| counted(last));
    match cut.and_then(|(rest, _)| rest.rsplit_once('-')).filter(|(_, number)| digits(number)) {
        Some((split, _)) => split,
        None => stem,
    }
}

/// Folder names of a part: that of the subset where one is asked for, the plain one otherwise.
fn folders(part: &str, subset: Option<&str>) -> Vec<String> {
    match subset {
        Some(subset) => vec![format!("{subset}-{part}"), format!("{subset}/{part}")],
        None => vec![part.to_owned()],
    }
}

/// The files of the corpus or of the queries. Where a folder has files for the split, only those.
fn part_files(root: &Path, part: &str, selection: &Selection) -> Result<Vec<PathBuf>, EvalError> {
    for folder in folders(part, selection.subset.as_deref()) {
        let files = listing(&root.join(folder))?;
        let of_split = files.iter().any(|(stem, _)| split_of(stem) == selection.split);
        let chosen: Vec<PathBuf> = files
            .into_iter()
            .filter(|(stem, _)| !of_split || split_of(stem) == selection.split)
            .map(|(_, path)| path)
            .collect();
        if !chosen.is_empty() {
            return Ok(chosen);
        }
    }
    for folder in ["", "data"] {
        let files = listing(&root.join(folder))?;
        let chosen: Vec<PathBuf> =
            files.into_iter().filter(|(stem, _)| split_of(stem) == part).map(|(_, path)| path).collect();
        if !chosen.is_empty() {
            return Ok(chosen);
        }
    }
    Ok(Vec::new())
}

/// The files of the judgements by split.
fn qrels_files(root: &Path, subset: Option<&str>) -> Result<BTreeMap<String, Vec<PathBuf>>, EvalError> {
    let plain = QRELS_FOLDERS.map(str::to_owned).to_vec();
    for folder in if subset.is_some() { folders("qrels", subset) } else { plain } {
        let mut files = listing(&root.join(&folder))?;
        files.extend(tsv_files(&root.join(&folder))?);
        let mut splits: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for (stem, path) in files {
            let split = split_of(&stem);
            if !["corpus", "queries"].contains(&split) {
                splits.entry(split.to_owned()).or_default().push(path);
            }
        }
        if !splits.is_empty() {
            return Ok(splits);
        }
    }
    Ok(BTreeMap::new())
}

fn tsv_files(folder: &Path) -> Result<Vec<(String, PathBuf)>, FileError> {
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder).map_err(FileError::io("list", folder))? {
            let path = entry.map_err(FileError::io("list", folder))?.path();
            if let Some(stem) = table_stem(&path) {
                files.push((stem.to_owned(), path));
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_parts_are_taken_off() {
        for (stem, split) in [
            ("test-00000-of-00001", "test"),
            ("queries-00003-of-00012", "queries"),
            ("test", "test"),
            ("one-of-two", "one-of-two"),
            ("a-b-00000-of-00001", "a-b"),
            ("corpus-00000-of-00001-6ab5c5eda798a0f9", "corpus"),
            ("x-of-00001", "x-of-00001"),
        ] {
            assert_eq!(split_of(stem), split);
        }
    }

    #[test]
    fn grades_are_whole_numbers() {
        let of = |text: &str| grade(&serde_json::from_str(text).unwrap());
        assert_eq!([of("1"), of("2.0"), of("\"3\""), of("-1")], [Some(1), Some(2), Some(3), Some(-1)]);
        assert_eq!([of("0.5"), of("\"x\""), of("null"), of("1e12")], [None; 4]);
    }
}
