//! BEIR's JSON lines: `{"_id", "title", "text"}` for documents, `{"_id", "text"}` for queries.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Document, Query};
use crate::error::EvalError;
use crate::text_lines::TextLines;

/// A record with an id.
pub(super) trait Record: Sized {
    /// What the file calls such a record.
    const KIND: &'static str;
    /// Its form in the file.
    type Line: DeserializeOwned;
    fn from_line(line: Self::Line) -> Self;
    fn id(&self) -> &str;
}

#[derive(Deserialize)]
pub(super) struct DocumentLine {
    #[serde(rename = "_id", deserialize_with = "id")]
    id: String,
    #[serde(default)]
    title: Option<String>,
    text: String,
}

impl Record for Document {
    const KIND: &'static str = "document";
    type Line = DocumentLine;

    fn from_line(line: DocumentLine) -> Self {
        Self { id: line.id, title: line.title.unwrap_or_default(), text: line.text }
    }

    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
pub(super) struct QueryLine {
    #[serde(rename = "_id", deserialize_with = "id")]
    id: String,
    text: String,
}

impl Record for Query {
    const KIND: &'static str = "query";
    type Line = QueryLine;

    fn from_line(line: QueryLine) -> Self {
        Self { id: line.id, text: line.text }
    }

    fn id(&self) -> &str {
        &self.id
    }
}

/// Streams the records of a file; an id that occurs twice is an error.
pub(super) fn read<R: Record>(path: &Path) -> Result<Records<R>, EvalError> {
    Ok(Records { lines: Some(TextLines::open(path)?), ids: IdSet::default(), record: PhantomData })
}

/// The stream; ends after its first error.
pub(super) struct Records<R> {
    lines: Option<TextLines>,
    ids: IdSet,
    record: PhantomData<fn() -> R>,
}

impl<R: Record> Records<R> {
    fn step(&mut self) -> Result<Option<R>, EvalError> {
        let Some(lines) = &mut self.lines else { return Ok(None) };
        let Some(line) = lines.next_line()? else { return Ok(None) };
        let record = R::from_line(serde_json::from_str(line).map_err(|e| lines.error(e))?);
        if !self.ids.insert(record.id()) {
            let detail = format!("the {} id {:?} occurs twice; ids must be unique", R::KIND, record.id());
            return Err(lines.error(detail).into());
        }
        Ok(Some(record))
    }
}

impl<R: Record> Iterator for Records<R> {
    type Item = Result<R, EvalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.lines = None;
        }
        item
    }
}

/// Remembers ids by 128 bits of hash, so that millions of them fit; the chance of taking two different
/// ids of ten million for the same is below 1e-24.
#[derive(Default)]
pub(super) struct IdSet(HashSet<u128>);

impl IdSet {
    /// Whether the id is new.
    pub(super) fn insert(&mut self, id: &str) -> bool {
        self.0.insert(key(id))
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.0.contains(&key(id))
    }
}

fn key(id: &str) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, id).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// An id: a string, or a whole number, which becomes its decimal digits. Never empty.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct IdVisitor;
    impl Visitor<'_> for IdVisitor {
        type Value = String;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an id: a string that is not empty, or a whole number")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            if text.is_empty() { Err(E::custom("the id is empty")) } else { Ok(text.to_owned()) }
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }
    deserializer.deserialize_any(IdVisitor)
}

/// A document as it is written.
#[derive(Serialize)]
pub(super) struct DocumentOut<'a> {
    #[serde(rename = "_id")]
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) text: &'a str,
}

/// A query as it is written.
#[derive(Serialize)]
pub(super) struct QueryOut<'a> {
    #[serde(rename = "_id")]
    pub(super) id: &'a str,
    pub(super) text: &'a str,
}
