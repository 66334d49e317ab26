//! What is asked and what is answered.

use serde::{Deserialize, Serialize};

use crate::filter::Filter;
use crate::fusion::Fusion;
use crate::nearest::Effort;
use crate::payload::Payload;

/// What a query looks for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
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
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Everything that the query and the collection allow: hybrid where both rankings are possible.
    #[default]
    Auto,
    /// Similarity of vectors.
    Dense,
    /// BM25 of texts.
    Bm25,
    /// Both, fused.
    Hybrid(Fusion),
}

/// One query with its options.
///
/// ```
/// use revela_index::{Filter, Mode, Query};
/// let query = Query::text("read a file line by line").k(5).mode(Mode::Bm25).filter(Filter::ids(["a", "b"]));
/// ```
#[derive(Debug, Clone)]
pub struct Query {
    pub(crate) input: QueryInput,
    pub(crate) k: usize,
    pub(crate) mode: Mode,
    pub(crate) depth: usize,
    pub(crate) filter: Filter,
    pub(crate) effort: Effort,
    /// What the dense and the BM25 ranking weigh when they are fused.
    pub(crate) weights: [f32; 2],
}

impl Query {
    /// Asks for the 10 best of what `input` looks for, without a filter, in [`Mode::Auto`].
    pub fn new(input: QueryInput) -> Self {
        let (filter, effort, weights) = (Filter::All, Effort::default(), [1.0, 1.0]);
        Self { input, k: 10, mode: Mode::Auto, depth: 100, filter, effort, weights }
    }

    /// Asks with a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(QueryInput::Text(text.into()))
    }

    /// Asks with a vector.
    pub fn vector(vector: impl Into<Vec<f32>>) -> Self {
        Self::new(QueryInput::Vector(vector.into()))
    }

    /// How many hits are wanted, at least 1; a collection with fewer gives them all.
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
}

/// One found passage by its id alone.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// The passage's id.
    pub id: String,
    /// As a [`Hit`]'s.
    pub score: f32,
}

/// One found passage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Hit {
    /// The passage's id.
    pub id: String,
    /// Similarity, BM25 score or fused score, by the query's mode.
    pub score: f32,
    /// Place in the ranking, from 1.
    pub rank: usize,
    /// The title; empty where there is none.
    pub title: String,
    /// The text; empty in a collection without texts. See [`Searcher::snippet`](crate::Searcher::snippet)
    /// for the piece that matched.
    pub text: String,
    /// What is known of the passage beside its text; empty where nothing is.
    #[serde(skip_serializing_if = "Payload::is_empty")]
    pub payload: Payload,
}
