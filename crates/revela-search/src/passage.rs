//! What a store is made of.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::payload::Payload;

/// One text to be found, with the id under which it is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// The id, unique within a store.
    pub id: String,
    /// The title; empty where there is none.
    pub title: String,
    /// The text.
    pub text: String,
}

/// A passage with what is known of it beside its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The passage.
    pub passage: Passage,
    /// Fields for filters to ask for; empty where there are none.
    pub payload: Payload,
}

/// An entry whose vector was made elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// The entry.
    pub entry: Entry,
    /// Its vector.
    pub vector: Vec<f32>,
}

impl From<Passage> for Entry {
    fn from(passage: Passage) -> Self {
        Self { passage, payload: Payload::new() }
    }
}

impl Passage {
    /// Title and text as one, which is what is embedded and what BM25 indexes: the title, a space, the
    /// text, as BEIR does it; the text alone where there is no title.
    pub fn full_text(&self) -> Cow<'_, str> {
        full_text(&self.title, &self.text)
    }
}

/// Title and text as one; see [`Passage::full_text`].
pub fn full_text<'a>(title: &str, text: &'a str) -> Cow<'a, str> {
    if title.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(format!("{title} {text}")) }
}

/// What to do when an id comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicates {
    /// Fail, and change nothing.
    #[default]
    Refuse,
    /// The last one stays.
    LastWins,
}
