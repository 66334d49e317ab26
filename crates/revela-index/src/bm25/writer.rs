//! Writing a text index.

use std::path::Path;

use revela_base::file::{FileError, create_dir};
use revela_search::full_text;
use tantivy::directory::{Directory, RamDirectory};
use tantivy::indexer::NoMergePolicy;
use tantivy::{Index, IndexWriter, TantivyDocument, TantivyError};

use super::plain::PlainDirectory;
use super::{Analyser, Fields, Place, TextIndex};
use crate::error::Error;

/// Room for terms in memory before they are written out as a segment, in bytes.
const MEMORY: usize = 192 << 20;

/// Takes passages in row order and leaves a [`TextIndex`].
///
/// One thread indexes, so that the rows keep their order; segments that were written out on the way are
/// merged into one at the end.
pub struct TextIndexWriter {
    place: Place,
    index: Index,
    writer: IndexWriter,
    fields: Fields,
    rows: u32,
}

impl TextIndexWriter {
    /// Starts an index in memory.
    ///
    /// # Errors
    /// [`Error::Text`] when the engine cannot start its thread.
    pub fn in_memory(analyser: Analyser) -> Result<Self, Error> {
        Self::start(Place::memory(), RamDirectory::create(), analyser)
    }

    /// Starts an index in a folder, which is created and must be empty.
    ///
    /// # Errors
    /// [`FileError`] when the folder cannot be created or is in use, [`Error::Text`] otherwise.
    pub fn in_dir(dir: &Path, analyser: Analyser) -> Result<Self, Error> {
        create_dir(dir)?;
        let mut entries = std::fs::read_dir(dir).map_err(FileError::io("read", dir))?;
        if entries.next().is_some() {
            return Err(FileError::Exists { path: dir.to_owned() }.into());
        }
        let place = Place(dir.to_owned());
        let directory = PlainDirectory::open(dir).map_err(place.error("create"))?;
        Self::start(place, directory, analyser)
    }

    fn start(place: Place, directory: impl Directory, analyser: Analyser) -> Result<Self, Error> {
        let (schema, fields) = Fields::schema(analyser);
        let index = Index::create(directory, schema, Default::default()).map_err(place.error("create"))?;
        index.tokenizers().register(analyser.stored_name(), analyser.tokenizer());
        let writer = index.writer_with_num_threads(1, MEMORY).map_err(place.error("create"))?;
        writer.set_merge_policy(Box::new(NoMergePolicy));
        Ok(Self { place, index, writer, fields, rows: 0 })
    }

    /// Adds the next row so that it can be found, but not read back.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub(crate) fn add_unstored(&mut self, text: &str) -> Result<(), Error> {
        let mut document = TantivyDocument::new();
        document.add_u64(self.fields.row, u64::from(self.rows));
        document.add_text(self.fields.body, text);
        self.add_document(document)
    }

    /// Adds the next row. The id need not be unique here.
    ///
    /// # Errors
    /// [`Error::Text`] when the disk is full or the engine has failed on an earlier row.
    pub fn add(&mut self, id: &str, title: &str, text: &str) -> Result<(), Error> {
        let fields = self.fields;
        let mut document = TantivyDocument::new();
        document.add_text(fields.id, id);
        document.add_text(fields.title, title);
        document.add_text(fields.text, text);
        document.add_u64(fields.row, u64::from(self.rows));
        document.add_text(fields.body, full_text(title, text));
        self.add_document(document)
    }

    fn add_document(&mut self, document: TantivyDocument) -> Result<(), Error> {
        self.writer.add_document(document).map_err(self.place.error("add a passage to"))?;
        self.rows += 1;
        Ok(())
    }

    /// Rows so far.
    pub fn len(&self) -> u32 {
        self.rows
    }

    /// Whether no row was added yet.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Writes everything out and opens the result.
    ///
    /// # Errors
    /// [`Error::Text`] when the disk is full or the engine fails.
    pub fn finish(self) -> Result<TextIndex, Error> {
        let Self { place, index, writer, rows, .. } = self;
        finish_segments(&index, writer).map_err(place.error("write"))?;
        let done = TextIndex::of_index(place, &index)?;
        done.check_order(rows)?;
        Ok(done)
    }
}

/// Commits and leaves one segment, in row order.
fn finish_segments(index: &Index, mut writer: IndexWriter) -> Result<(), TantivyError> {
    writer.commit()?;
    let mut segments = Vec::new();
    let reader: tantivy::IndexReader =
        index.reader_builder().reload_policy(tantivy::ReloadPolicy::Manual).try_into()?;
    for segment in reader.searcher().segment_readers() {
        let first = segment.fast_fields().u64("row")?.first(0).unwrap_or(0);
        segments.push((first, segment.segment_id()));
    }
    drop(reader);
    if segments.len() > 1 {
        segments.sort_unstable();
        let ids: Vec<_> = segments.into_iter().map(|(_, id)| id).collect();
        writer.merge(&ids).wait()?;
        writer.garbage_collect_files().wait()?;
    }
    writer.wait_merging_threads()
}

impl TextIndex {
    /// Checks that document numbers are row numbers; everything else relies on it.
    fn check_order(&self, rows: u32) -> Result<(), Error> {
        let in_order = || -> Result<bool, TantivyError> {
            let Some(segment) = self.searcher.segment_readers().first() else { return Ok(rows == 0) };
            let column = segment.fast_fields().u64("row")?;
            Ok(segment.max_doc() == rows && (0..rows).all(|row| column.first(row) == Some(u64::from(row))))
        };
        if in_order().map_err(self.place.error("check"))? {
            return Ok(());
        }
        let detail = "its rows are not in the order in which they were added".to_owned();
        Err(self.place.error("check")(TantivyError::InternalError(detail)))
    }
}
