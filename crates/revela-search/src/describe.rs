//! What a store is.

use revela_base::checksum::Checksum;
use revela_base::embed::Metric;
use serde::{Deserialize, Serialize};

use crate::error::QueryError;
use crate::query::Mode;

/// What a store is, as far as queries are planned by it. It holds for as long as the store is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Where it is, as errors name it: a folder's path, an address without its password.
    pub location: String,
    /// What its vectors are, where it has some.
    pub vectors: Option<VectorField>,
    /// How its texts are split into terms, where it has texts that BM25 can search: the analyser's name.
    pub analyser: Option<String>,
    /// Whether passages are pieces of documents, named `DOCUMENT#N` in their order.
    pub chunked: bool,
}

/// The vectors of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorField {
    /// Length of every vector.
    pub dimension: usize,
    /// How they are compared.
    pub metric: Metric,
    /// Fingerprint of the encoder that made them; nothing for vectors that came from elsewhere.
    pub encoder: Option<Checksum>,
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// Passages that can be found.
    pub passages: u64,
    /// Passages that were deleted and still take room.
    pub deleted: u64,
    /// Parts that are searched one by one and joined.
    pub shards: usize,
    /// Bytes that all of it takes, as far as the store can tell.
    pub bytes: u64,
}

impl Description {
    /// Whether texts that this encoder embeds can be compared with the vectors.
    pub fn embeds(&self, encoder: Option<Checksum>) -> bool {
        encoder.is_some() && self.vectors.is_some_and(|vectors| vectors.encoder == encoder)
    }

    /// Refuses an encoder that did not make the vectors.
    ///
    /// # Errors
    /// [`QueryError::WrongEncoder`], [`QueryError::NoVectors`].
    pub fn check_encoder(&self, found: Checksum) -> Result<(), QueryError> {
        let store = self.location.clone();
        let Some(vectors) = self.vectors else { return Err(QueryError::NoVectors { store }) };
        if vectors.encoder == Some(found) {
            return Ok(());
        }
        let given = || "nobody (its vectors were given)".to_owned();
        let expected = vectors.encoder.map_or_else(given, |encoder| encoder.to_string());
        Err(QueryError::WrongEncoder { store, expected, found })
    }

    /// Modes in which a text can be searched for with this encoder, or with none.
    pub fn modes(&self, encoder: Option<Checksum>) -> Vec<Mode> {
        let (dense, texts) = (self.embeds(encoder), self.analyser.is_some());
        let all = [(Mode::Dense, dense), (Mode::Bm25, texts), (Mode::Hybrid, dense && texts)];
        all.into_iter().filter_map(|(mode, possible)| possible.then_some(mode)).collect()
    }
}

impl VectorField {
    /// A query's vector as the metric wants it: checked, and of length 1 for [`Metric::Cosine`]. `number` names
    /// the query in errors.
    ///
    /// # Errors
    /// [`QueryError::Dimension`]; [`QueryError::Vector`] for NaN, an infinite number or length, and under
    /// cosine similarity zero.
    pub fn comparable(&self, number: usize, vector: &[f32]) -> Result<Vec<f32>, QueryError> {
        let (expected, found) = (self.dimension, vector.len());
        if expected != found {
            return Err(QueryError::Dimension { number, expected, found });
        }
        let wrong = |problem| Err(QueryError::Vector { number, problem });
        if vector.iter().any(|x| !x.is_finite()) {
            return wrong("holds NaN or an infinite number");
        }
        let length = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        match self.metric {
            Metric::Dot => Ok(vector.to_vec()),
            Metric::Cosine if length > 0.0 => {
                Ok(vector.iter().map(|&x| (f64::from(x) / length) as f32).collect())
            }
            Metric::Cosine => wrong("is zero, so it has no direction; cosine similarity needs one"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(encoder: Option<Checksum>) -> Description {
        let vectors = Some(VectorField { dimension: 2, metric: Metric::Cosine, encoder });
        Description { location: "x".into(), vectors, analyser: Some("prose-2".into()), chunked: false }
    }

    #[test]
    fn modes_follow_from_what_is_there() {
        let (own, other) = (Some(Checksum::of(b"own")), Some(Checksum::of(b"other")));
        assert_eq!(description(own).modes(own), [Mode::Dense, Mode::Bm25, Mode::Hybrid]);
        assert_eq!(description(own).modes(other), [Mode::Bm25]);
        assert_eq!(description(None).modes(None), [Mode::Bm25]);
        assert!(description(own).check_encoder(Checksum::of(b"own")).is_ok());
        let refused = description(None).check_encoder(Checksum::of(b"own")).unwrap_err().to_string();
        assert!(refused.contains("nobody") && refused.contains("build it again"), "{refused}");
        assert!(Description { analyser: None, ..description(own) }.modes(None).is_empty());
    }

    #[test]
    fn vectors_are_checked_and_scaled() {
        let field = VectorField { dimension: 2, metric: Metric::Cosine, encoder: None };
        assert_eq!(field.comparable(0, &[3.0, 4.0]).unwrap(), [0.6, 0.8]);
        let dot = VectorField { metric: Metric::Dot, ..field };
        assert_eq!(dot.comparable(0, &[3.0, 4.0]).unwrap(), [3.0, 4.0]);
        assert!(dot.comparable(0, &[0.0, 0.0]).is_ok() && field.comparable(0, &[0.0, 0.0]).is_err());
        assert!(field.comparable(0, &[f32::NAN, 1.0]).is_err());
        let wrong = field.comparable(7, &[1.0]).unwrap_err().to_string();
        assert!(wrong.contains("query 7 has 1 dimensions where 2"), "{wrong}");
    }
}
