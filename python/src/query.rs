//! Questions on their way in.

use revela_search::{Effort, Filter, Mode, Predicate, Query, QueryInput, Recall};

use crate::error::Failure;

/// How to search, whatever for: k, mode, predicate on payloads as JSON, ids, ef, recall, exact, depth.
pub(crate) type Options =
    (usize, String, Option<String>, Option<Vec<String>>, usize, Option<f64>, bool, usize);

/// How to search, understood.
pub(crate) struct Asking(Query);

impl Asking {
    pub(crate) fn new((k, mode, predicate, ids, ef, recall, exact, depth): Options) -> Result<Self, Failure> {
        let mode: Mode = mode.parse()?;
        let filter = match (&predicate, ids) {
            (Some(_), Some(_)) => return Err(Failure::input("give where or ids, not both")),
            (Some(predicate), None) => Filter::payload(Predicate::from_json(predicate)?),
            (None, Some(ids)) => Filter::ids(ids),
            (None, None) => Filter::All,
        };
        let effort = Effort::chosen(exact, recall.map(Recall::try_from).transpose()?, ef);
        let query = Query::text("").k(k).mode(mode).depth(depth).effort(effort);
        Ok(Self(query.filter(filter)))
    }

    /// A query for a text, a vector, or both.
    ///
    /// # Errors
    /// When there is neither.
    pub(crate) fn query(&self, text: Option<String>, vector: Option<Vec<f32>>) -> Result<Query, Failure> {
        let input = match (text, vector) {
            (Some(text), Some(vector)) => QueryInput::Both { text, vector },
            (Some(text), None) => QueryInput::Text(text),
            (None, Some(vector)) => QueryInput::Vector(vector),
            (None, None) => return Err(Failure::input("a query is a text, a vector, or both")),
        };
        Ok(self.0.clone().input(input))
    }
}
