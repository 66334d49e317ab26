//! Records of JSON lines: a document, a query or a payload has one form, whatever file it stands in.

use std::fmt;

use serde::de::{DeserializeOwned, Error, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

/// An id: a string, or a whole number, which becomes its decimal digits. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id(pub String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ids;
        impl Visitor<'_> for Ids {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id: a string that is not empty, or a whole number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
                if text.is_empty() { Err(E::custom("the id is empty")) } else { Ok(Id(text.to_owned())) }
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }
        }
        deserializer.deserialize_any(Ids)
    }
}

/// A record with an id. Every other field may be missing or null; fields that are not listed are passed over.
///
/// `M` is what is read of the metadata; nothing where it is not given.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Fields<M>", bound(deserialize = "M: Deserialize<'de>"))]
pub struct Record<M = IgnoredAny> {
    /// `_id`, or `id` where there is none.
    pub id: String,
    /// `title`; empty where there is none.
    pub title: String,
    /// `text`, or `content` where there is none.
    pub text: Option<String>,
    /// `metadata`.
    pub metadata: Option<M>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "M: Deserialize<'de>"))]
struct Fields<M> {
    /// BEIR writes `_id`, newer sets write `id`.
    _id: Option<Id>,
    id: Option<Id>,
    title: Option<String>,
    text: Option<String>,
    /// As BRIGHT calls a document's text.
    content: Option<String>,
    metadata: Option<M>,
}

impl<M> TryFrom<Fields<M>> for Record<M> {
    type Error = &'static str;

    fn try_from(fields: Fields<M>) -> Result<Self, &'static str> {
        Ok(Self {
            id: fields._id.or(fields.id).ok_or("`_id` is missing or null")?.0,
            title: fields.title.unwrap_or_default(),
            text: fields.text.or(fields.content),
            metadata: fields.metadata,
        })
    }
}

impl<M> Record<M> {
    /// The text, which documents and queries must have.
    ///
    /// # Errors
    /// What is wrong, in words, where it is missing.
    pub fn take_text(&mut self) -> Result<String, &'static str> {
        self.text.take().ok_or("`text` is missing or null")
    }
}

/// Reads a value from JSON, mostly one line of it. What cannot be used is named by its field and its place in the line.
///
/// # Errors
/// What is wrong, in words.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    // The way to a field is only followed where there is something to tell.
    serde_json::from_str(text).map_err(|error| {
        let mut again = serde_json::Deserializer::from_str(text);
        let field = serde_path_to_error::deserialize::<_, T>(&mut again).err().map(|e| e.path().to_string());
        let said = in_words(text, &error);
        match field.filter(|field| field != "." && field != "?") {
            Some(field) => format!("`{field}`: {said}"),
            None => said,
        }
    })
}

/// An error of serde_json, with the line only where there are several.
fn in_words(text: &str, error: &serde_json::Error) -> String {
    let said = error.to_string();
    let what = said.split(" at line ").next().unwrap_or_default();
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let near = line.get(error.column().saturating_sub(2)..).unwrap_or_default();
    let near = near.trim_start_matches([' ', ':', '[', ',']);
    let what = if what.contains("hex escape") {
        "half of a surrogate pair, which is no character".to_owned()
    } else if let Some(word) =
        ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| near.starts_with(word))
        && error.is_syntax()
    {
        format!("JSON has no {word}")
    } else {
        what.to_owned()
    };
    match (error.line(), error.column()) {
        (_, 0) => what,
        (1, column) => format!("{what} at column {column}"),
        (line, column) => format!("{what} at line {line} column {column}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    type Full = Record<Map<String, Value>>;

    #[test]
    fn every_spelling_of_a_record_is_taken() {
        let read = |line: &str| from_json::<Full>(line).unwrap();
        let record =
            read(r#"{"_id": 7, "id": "x", "title": null, "text": "t", "metadata": null, "more": [1]}"#);
        assert_eq!((record.id.as_str(), record.title.as_str()), ("7", ""));
        assert_eq!((record.text.as_deref(), record.metadata), (Some("t"), None));
        let record = read(r#"{"id": "a", "content": "c", "metadata": {"year": 2024}}"#);
        assert_eq!((record.id.as_str(), record.text.as_deref()), ("a", Some("c")));
        assert_eq!(record.metadata.unwrap()["year"], 2024);
        assert_eq!(read(r#"{"_id": -3}"#).take_text(), Err("`text` is missing or null"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        for (line, parts) in [
            (r#"{"_id": "a", "text": "\ud83d"}"#, &["`text`", "surrogate", "column"][..]),
            (r#"{"_id": "a", "text": "x \udc00 y"}"#, &["`text`", "surrogate"]),
            (r#"{"_id": "a", "text": NaN}"#, &["`text`", "JSON has no NaN"]),
            (r#"{"_id": "a", "metadata": {"score": -Infinity}}"#, &["`metadata.score`", "no -Infinity"]),
            (r#"{"_id": "a", "metadata": {"x": [1, NaN]}}"#, &["`metadata.x[1]`", "no NaN"]),
            (r#"{"_id": "a", "text": 5}"#, &["`text`", "invalid type: integer `5`"]),
            (r#"{"_id": 1.5}"#, &["`_id`", "whole number"]),
            (r#"{"_id": ""}"#, &["`_id`", "the id is empty"]),
            (r#"{"_id": null, "text": "x"}"#, &["`_id` is missing or null"]),
            (r#"{"_id": "a", "metadata": [1]}"#, &["`metadata`", "invalid type"]),
            ("not json", &["column 2"]),
            ("", &["EOF"]),
            (r#"{"_id": "a"} x"#, &["trailing"]),
        ] {
            let error = from_json::<Full>(line).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{line}: {error}");
            assert!(!error.contains("line 1"), "{error}");
        }
    }

    #[test]
    fn several_lines_are_told_apart() {
        let error = from_json::<Full>("{\n  \"_id\": \"a\",\n  \"text\": NaN\n}").unwrap_err();
        assert!(error.contains("`text`") && error.contains("no NaN at line 3"), "{error}");
    }

    #[test]
    fn metadata_that_nobody_reads_may_be_anything() {
        assert_eq!(from_json::<Record>(r#"{"_id": "a", "metadata": [1, {"x": 2}]}"#).unwrap().id, "a");
    }
}
