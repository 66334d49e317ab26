//! What is asked and what is answered.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::effort::Effort;
use crate::error::QueryError;
use crate::filter::Filter;
use crate::fusion::Fusion;
use crate::payload::Payload;

/// What a query looks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryInput {
    /// A text: embedded for dense search, split into terms for BM25.
    Text(String),
    /// A vector that was embedded elsewhere.
    Vector(Vec<f32>),
    /// Both, for hybrid search with vectors from elsewhere.
    Both {
        /// The text, for BM25.
        text: String,
        /// Its vector, for dense search.
        vector: Vec<f32>,
    },
}

/// Which rankings answer a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything that the query and the store allow: hybrid where both rankings are possible.
    #[default]
    Auto,
    /// Similarity of vectors.
    Dense,
    /// BM25 of texts.
    Bm25,
    /// Both, fused.
    Hybrid,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Dense, Self::Bm25, Self::Hybrid];

    /// The name by which flags, files and requests know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dense => "dense",
            Self::Bm25 => "bm25",
            Self::Hybrid => "hybrid",
        }
    }

    /// Whether similarity of vectors ranks in it.
    pub fn is_dense(self) -> bool {
        matches!(self, Self::Dense | Self::Hybrid)
    }

    /// Whether BM25 ranks in it.
    pub fn is_bm25(self) -> bool {
        matches!(self, Self::Bm25 | Self::Hybrid)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Mode {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let (option, rule) = ("mode", "it must be auto, dense, bm25 or hybrid");
        let unknown = || QueryError::Option { option, value: format!("{text:?}"), rule };
        Self::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(unknown)
    }
}

/// One query with its options. [`Prepared`](crate::Prepared) checks them.
///
/// ```
/// use revela_search::{Filter, Mode, Query};
/// let query = Query::text("read a file line by line").k(5).mode(Mode::Bm25).filter(Filter::ids(["a", "b"]));
/// assert_eq!(query.k, 5);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// What is looked for.
    pub input: QueryInput,
    /// How many hits are wanted, at least 1; a store with fewer gives them all.
    pub k: usize,
    /// Which rankings answer.
    pub mode: Mode,
    /// How the two rankings of hybrid search are joined.
    pub fusion: Fusion,
    /// What the dense and the BM25 ranking weigh when they are joined: positive, finite numbers.
    pub weights: [f32; 2],
    /// How many hits of each ranking are joined in hybrid search, and never fewer than `k`.
    pub depth: usize,
    /// Which passages may be found.
    pub filter: Filter,
    /// How hard dense search looks for near vectors.
    pub effort: Effort,
}

impl Query {
    /// Asks for the 10 best of what `input` looks for, without a filter, in [`Mode::Auto`]; 100 of each ranking
    /// are joined by reciprocal rank fusion, and weigh the same.
    pub fn new(input: QueryInput) -> Self {
        let (fusion, weights, effort) = (Fusion::default(), [1.0, 1.0], Effort::default());
        Self { input, k: 10, mode: Mode::Auto, fusion, weights, depth: 100, filter: Filter::All, effort }
    }

    /// Asks with a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(QueryInput::Text(text.into()))
    }

    /// Asks with a vector.
    pub fn vector(vector: impl Into<Vec<f32>>) -> Self {
        Self::new(QueryInput::Vector(vector.into()))
    }

    /// How many hits are wanted, at least 1; a store with fewer gives them all.
    #[must_use]
    pub fn k(mut self, k: usize) -> Self {
        self.k = k;
        self
    }

    /// Which rankings answer.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How the two rankings of hybrid search are joined (by reciprocal rank fusion).
    #[must_use]
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.fusion = fusion;
        self
    }

    /// How many hits of each ranking are fused in hybrid search (100, and never fewer than `k`).
    #[must_use]
    pub fn depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// What the two rankings of hybrid search weigh (1 each): positive, finite numbers.
    #[must_use]
    pub fn weights(mut self, dense: f32, bm25: f32) -> Self {
        self.weights = [dense, bm25];
        self
    }

    /// How hard dense search looks for near vectors.
    #[must_use]
    pub fn effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// Which passages may be found.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// What is looked for, instead of what was given before.
    #[must_use]
    pub fn input(mut self, input: QueryInput) -> Self {
        self.input = input;
        self
    }

    /// The words that were asked for, if any.
    pub fn words(&self) -> Option<&str> {
        match &self.input {
            QueryInput::Text(text) | QueryInput::Both { text, .. } => Some(text),
            QueryInput::Vector(_) => None,
        }
    }

    /// The vector that was brought, if any.
    pub fn given_vector(&self) -> Option<&[f32]> {
        match &self.input {
            QueryInput::Vector(vector) | QueryInput::Both { vector, .. } => Some(vector),
            QueryInput::Text(_) => None,
        }
    }
}

/// One found passage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The passage's id.
    pub id: String,
    /// Similarity, BM25 score or fused score, by the query's mode.
    pub score: f32,
    /// Place in the ranking, from 1.
    pub rank: usize,
    /// The title; empty where there is none.
    pub title: String,
    /// The text; empty in a store without texts. See [`Store::snippet`](crate::Store::snippet) for the piece
    /// that matched.
    pub text: String,
    /// What is known of the passage beside its text; empty where nothing is.
    #[serde(default, skip_serializing_if = "Payload::is_empty")]
    pub payload: Payload,
}

/// A piece of a text with the matched words marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The piece, cut from the text.
    pub text: String,
    /// Byte ranges of `text` that match the query, ascending and disjoint; empty when nothing matches,
    /// and then `text` is the beginning.
    pub highlights: Vec<Range<usize>>,
}

impl Snippet {
    /// The first `length` bytes, or a few less so that a character is not cut; nothing is marked.
    pub fn beginning(text: &str, length: usize) -> Self {
        let end = (0..=length.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
        let text = text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned();
        Self { text, highlights: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_names() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse::<Mode>().unwrap(), mode);
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("{:?}", mode.name()));
        }
        assert!("best".parse::<Mode>().unwrap_err().to_string().contains("hybrid"));
    }

    #[test]
    fn queries_travel_as_json() {
        let input = QueryInput::Both { text: "a".into(), vector: vec![0.1, -2.0] };
        let query = Query::new(input).k(3).mode(Mode::Hybrid).weights(0.25, 0.75).effort(Effort::Exact);
        let text = serde_json::to_string(&query).unwrap();
        assert_eq!(serde_json::from_str::<Query>(&text).unwrap(), query);
        assert_eq!((query.words(), query.given_vector()), (Some("a"), Some([0.1, -2.0].as_slice())));
    }

    #[test]
    fn a_beginning_cuts_no_character() {
        assert_eq!(Snippet::beginning("größer", 3).text, "gr");
        assert_eq!(Snippet::beginning("größer", 100).text, "größer");
        assert_eq!(Snippet::beginning("", 10).text, "");
    }
}
