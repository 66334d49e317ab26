//! BM25 over passages, by tantivy, which enters the project here and nowhere else.
//!
//! A [`TextIndex`] is immutable: a [`TextIndexWriter`] takes the passages in row order, and from then on
//! row numbers, which vectors of the same passages share, are all that identifies them. Several indexes
//! (a collection's shards) are searched as one with [`search`], with the statistics of all of them.
//!
//! Scores are BM25 with tantivy's constants, k1 = 1.2 and b = 0.75, and its inverse document frequency
//! `ln(1 + (N - n + 0.5) / (n + 0.5))`. Published figures mostly use other constants (Anserini: 0.9 and
//! 0.4), so expect differences of a point or two. Lengths are stored in one byte, as in Lucene. Title and
//! text are one field, the title first. Queries are bags of terms: nothing in a query is syntax, and a
//! term that occurs twice counts twice.

mod analyser;
mod code;
mod pieces;
mod plain;
mod sealed;
mod search;
mod snippet;
mod writer;

use std::path::{Path, PathBuf};

use revela_base::file::FileError;
use revela_search::Passage;
use tantivy::directory::{Directory, MmapDirectory};
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::{DocAddress, Index, ReloadPolicy, Searcher, TantivyDocument, TantivyError};

use crate::error::Error;

pub use analyser::Analyser;
pub use revela_search::Snippet;
pub use search::{TextQuery, search};
pub use snippet::snippet;
pub use writer::TextIndexWriter;

/// Name of the field that is searched, and at whose tokenizer an analyser is recognised.
const BODY: &str = "body";

#[derive(Clone, Copy)]
struct Fields {
    id: Field,
    title: Field,
    text: Field,
    body: Field,
    row: Field,
}

impl Fields {
    fn schema(analyser: Analyser) -> (Schema, Self) {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer(analyser.stored_name())
            .set_index_option(IndexRecordOption::WithFreqs)
            .set_fieldnorms(true);
        let fields = Self {
            id: schema.add_text_field("id", STRING | STORED),
            title: schema.add_text_field("title", STORED),
            text: schema.add_text_field("text", STORED),
            body: schema.add_text_field(BODY, TextOptions::default().set_indexing_options(indexing)),
            row: schema.add_u64_field("row", FAST),
        };
        (schema.build(), fields)
    }

    /// Finds the fields and the analyser of an index that was written earlier.
    fn of(schema: &Schema) -> Result<(Self, Analyser), TantivyError> {
        let body = schema.get_field(BODY)?;
        let analyser = match schema.get_field_entry(body).field_type() {
            tantivy::schema::FieldType::Str(options) => {
                options.get_indexing_options().and_then(|o| Analyser::from_stored_name(o.tokenizer()))
            }
            _ => None,
        };
        let analyser = analyser.ok_or_else(|| {
            TantivyError::SchemaError("its analyser is not one that this program knows".to_owned())
        })?;
        let fields = Self {
            id: schema.get_field("id")?,
            title: schema.get_field("title")?,
            text: schema.get_field("text")?,
            body,
            row: schema.get_field("row")?,
        };
        Ok((fields, analyser))
    }
}

/// Where an index lives, for error messages.
#[derive(Debug, Clone)]
struct Place(PathBuf);

impl Place {
    fn memory() -> Self {
        Self(PathBuf::from("in memory"))
    }

    fn error(&self, operation: &'static str) -> impl FnOnce(TantivyError) -> Error + '_ {
        move |source| Error::Text { operation, place: self.0.clone(), source: source.into() }
    }
}

/// An immutable BM25 index with its passages, in row order.
pub struct TextIndex {
    place: Place,
    searcher: Searcher,
    fields: Fields,
    analyser: Analyser,
    rows: u32,
    /// Its files, where they are not in memory.
    files: sealed::Watched,
}

impl TextIndex {
    /// Opens the index in a folder. Nothing in the folder is changed; it may be read-only.
    ///
    /// # Errors
    /// [`Error::Text`] when the folder holds no such index, or a damaged one.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let place = Place(dir.to_owned());
        let directory = MmapDirectory::open(dir).map_err(|e| place.error("open")(e.into()))?;
        let directory = sealed::SealedDirectory::new(directory);
        let files = directory.watched();
        Ok(Self { files, ..Self::of_directory(place, directory)? })
    }

    fn of_directory(place: Place, directory: impl Directory) -> Result<Self, Error> {
        let index = Index::open(directory).map_err(place.error("open"))?;
        Self::of_index(place, &index)
    }

    /// Fails when something that was read from a file was not there (see [`crate::survive_truncated_files`]).
    pub(crate) fn check(&self) -> Result<(), FileError> {
        self.files.lost().map_or(Ok(()), |name| Err(crate::mmap::cut(&self.place.0.join(name))))
    }

    fn of_index(place: Place, index: &Index) -> Result<Self, Error> {
        let (fields, analyser) = Fields::of(&index.schema()).map_err(place.error("open"))?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(place.error("open"))?;
        let searcher = reader.searcher();
        // An index without rows has no segment.
        if searcher.segment_readers().len() > 1 {
            let detail = "it has several segments, so its rows have no order; build it again";
            return Err(place.error("open")(TantivyError::SchemaError(detail.to_owned())));
        }
        let rows = searcher.segment_readers().first().map_or(0, |segment| segment.max_doc());
        Ok(Self { place, searcher, fields, analyser, rows, files: sealed::Watched::default() })
    }

    /// Number of passages.
    pub fn len(&self) -> u32 {
        self.rows
    }

    /// Whether there are no passages.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How its text is split into terms.
    pub fn analyser(&self) -> Analyser {
        self.analyser
    }

    /// The passage of a row.
    ///
    /// # Errors
    /// [`Error::Option`] for a row that does not exist, [`Error::Text`] for a damaged store.
    pub fn passage(&self, row: u32) -> Result<Passage, Error> {
        if row >= self.rows {
            return Err(Error::Option {
                option: "row",
                value: row.to_string(),
                rule: "the index has fewer rows",
            });
        }
        let stored: TantivyDocument =
            self.searcher.doc(DocAddress::new(0, row)).map_err(self.place.error("read a passage of"))?;
        let field =
            |field| stored.get_first(field).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        Ok(Passage {
            id: field(self.fields.id),
            title: field(self.fields.title),
            text: field(self.fields.text),
        })
    }
}

impl std::fmt::Debug for TextIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextIndex").field("place", &self.place.0).field("rows", &self.rows).finish()
    }
}

#[cfg(test)]
mod tests;
