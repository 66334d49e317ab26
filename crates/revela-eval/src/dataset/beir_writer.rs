//! Writes a collection in BEIR layout.

use std::io::{self, Write};
use std::path::Path;

use revela_base::artifact::{ArtifactWriter, IfExists};
use serde::Serialize;

use super::beir::{CORPUS, CollectionInfo, FORMAT, QRELS, QUERIES, VERSION};
use super::records::{DocumentOut, IdSet, QueryOut};
use super::{Document, Query, UnknownIds};
use crate::error::EvalError;
use crate::qrels::Qrels;

/// Builds such a folder. It stands under its name only once [`finish`](Self::finish) succeeds; besides
/// BEIR's files it holds a manifest with their checksums.
///
/// Call [`corpus`](Self::corpus) and [`queries`](Self::queries) once each, then [`qrels`](Self::qrels)
/// for each split: judgements that name unknown ids are refused, so that what is written is sound.
pub struct BeirWriter {
    out: ArtifactWriter,
    documents: IdSet,
    queries: IdSet,
    info: CollectionInfo,
}

impl BeirWriter {
    /// Starts a folder that will stand at `dir`. Of `info` the counts are filled in.
    ///
    /// # Errors
    /// The folder exists and must not be replaced, or a file system error.
    pub fn create(dir: &Path, if_exists: IfExists, info: CollectionInfo) -> Result<Self, EvalError> {
        let out = ArtifactWriter::create(dir, FORMAT, VERSION, if_exists)?;
        let info = CollectionInfo { documents: 0, queries: 0, judgements: Default::default(), ..info };
        Ok(Self { out, documents: IdSet::default(), queries: IdSet::default(), info })
    }

    /// Writes the corpus as it streams by.
    ///
    /// # Errors
    /// An error of the stream, or an id that is empty, occurs twice, or cannot stand in a qrels file.
    pub fn corpus(
        &mut self,
        documents: impl IntoIterator<Item = Result<Document, EvalError>>,
    ) -> Result<(), EvalError> {
        let Self { out, documents: ids, info, .. } = self;
        write_records(out, CORPUS, documents, |document, line| {
            check_id(ids, "document", &document.id)?;
            info.documents += 1;
            let Document { id, title, text } = document;
            line.json(&DocumentOut { id, title, text })
        })
    }

    /// Writes the queries of all splits.
    ///
    /// # Errors
    /// An id that is empty, occurs twice, or cannot stand in a qrels file.
    pub fn queries(&mut self, queries: impl IntoIterator<Item = Query>) -> Result<(), EvalError> {
        let Self { out, queries: ids, info, .. } = self;
        write_records(out, QUERIES, queries.into_iter().map(Ok), |query, line| {
            check_id(ids, "query", &query.id)?;
            info.queries += 1;
            line.json(&QueryOut { id: &query.id, text: &query.text })
        })
    }

    /// Writes the judgements of one split.
    ///
    /// # Errors
    /// No judgements, ids that are not in the corpus or among the queries, or a split whose name is not
    /// a plain file name.
    pub fn qrels(&mut self, split: &str, qrels: &Qrels) -> Result<(), EvalError> {
        if split.is_empty() || split.starts_with('.') || split.contains(['/', '\\']) {
            let expected = "a plain name such as test";
            return Err(EvalError::BadSetting { name: "the split", value: format!("{split:?}"), expected });
        }
        if qrels.is_empty() {
            return Err(EvalError::NoJudgements { origin: format!("split {split:?}") });
        }
        let queries = qrels.iter().map(|(query, _)| query).filter(|q| !self.queries.contains(q));
        let documents = qrels.judged_documents().into_iter().filter(|d| !self.documents.contains(d));
        let unknown = UnknownIds {
            queries: queries.map(str::to_owned).collect(),
            documents: documents.map(str::to_owned).collect(),
        };
        if !unknown.is_empty() {
            return Err(EvalError::UnknownIds(unknown));
        }
        self.info.judgements.insert(split.to_owned(), qrels.judgements() as u64);
        Ok(self.out.file(&format!("{QRELS}/{split}.tsv"), |out| qrels.write(out))?)
    }

    /// Writes the manifest and gives the folder its name.
    ///
    /// # Errors
    /// The corpus, the queries or every split is missing, or a file system error.
    pub fn finish(self) -> Result<CollectionInfo, EvalError> {
        let Self { out, info, .. } = self;
        for (part, there) in
            [(CORPUS, info.documents > 0), (QUERIES, info.queries > 0), (QRELS, !info.judgements.is_empty())]
        {
            if !there {
                let expected = "written before the collection is finished";
                return Err(EvalError::BadSetting { name: part, value: "empty".to_owned(), expected });
            }
        }
        out.finish(&info)?;
        Ok(info)
    }
}

/// Where a record is written to.
struct Line<'a>(&'a mut dyn Write);

impl Line<'_> {
    fn json(&mut self, value: &impl Serialize) -> Result<(), WriteError> {
        serde_json::to_writer(&mut self.0, value).map_err(io::Error::from)?;
        Ok(self.0.write_all(b"\n")?)
    }
}

/// Tells what the disk refused from what the data have wrong.
enum WriteError {
    Io(io::Error),
    Data(EvalError),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<EvalError> for WriteError {
    fn from(error: EvalError) -> Self {
        Self::Data(error)
    }
}

fn write_records<R>(
    out: &mut ArtifactWriter,
    name: &str,
    records: impl IntoIterator<Item = Result<R, EvalError>>,
    mut write: impl FnMut(&R, &mut Line<'_>) -> Result<(), WriteError>,
) -> Result<(), EvalError> {
    // The writer's closure speaks of I/O only, so an error in the data is kept beside it.
    let mut data_error = None;
    let written = out.file(name, |out| {
        let mut line = Line(out);
        for record in records {
            let done = record.map_err(WriteError::Data).and_then(|record| write(&record, &mut line));
            match done {
                Ok(()) => {}
                Err(WriteError::Io(error)) => return Err(error),
                Err(WriteError::Data(error)) => {
                    data_error = Some(error);
                    return Err(io::Error::other("the data are not sound"));
                }
            }
        }
        Ok(())
    });
    match data_error {
        Some(error) => Err(error),
        None => Ok(written?),
    }
}

fn check_id(ids: &mut IdSet, kind: &'static str, id: &str) -> Result<(), EvalError> {
    let detail = match id {
        "" => "is empty",
        id if id.contains(['\t', '\n', '\r']) => "holds a tab or a line end",
        id if id.trim() != id => "begins or ends with white space",
        _ => "",
    };
    if !detail.is_empty() {
        let format = "a qrels file";
        return Err(EvalError::UnwritableId { id: id.to_owned(), format, detail });
    }
    if !ids.insert(id) {
        return Err(EvalError::DuplicateId { kind, id: id.to_owned() });
    }
    Ok(())
}
