//! What searches look like on the wire.

use revela_search::fusion::{Fusion, Normalisation};
use revela_search::{Filter, Mode, Passage, Payload, Predicate, Recall, Snippet};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// A search as it is asked for. What may be left out may be null.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchRequest {
    pub(super) collection: Option<String>,
    pub(super) query: Option<String>,
    pub(super) vector: Option<Vec<f32>>,
    k: Option<usize>,
    mode: Option<Mode>,
    pub(super) fusion: Option<FusionRequest>,
    pub(super) ef_search: Option<usize>,
    /// Instead of it: the share of the nearest that is to be found.
    pub(super) recall: Option<Recall>,
    exact: Option<bool>,
    pub(super) filter: Option<FilterRequest>,
    pub(super) snippet: Option<SnippetRequest>,
    include_text: Option<bool>,
    pub(super) rerank: Option<RerankRequest>,
}

/// Whether, and how many hits, to rank again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "rerank must be true, false, or an object with depth")]
pub(super) enum RerankRequest {
    Wanted(bool),
    #[serde(with = "depth")]
    Depth(usize),
}

mod depth {
    use serde::{Deserialize, Deserializer};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        depth: usize,
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        Ok(Fields::deserialize(from)?.depth)
    }
}

impl SearchRequest {
    pub(super) fn k(&self) -> usize {
        self.k.unwrap_or(10)
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode.unwrap_or_default()
    }

    pub(super) fn exact(&self) -> bool {
        self.exact.unwrap_or(false)
    }

    pub(super) fn include_text(&self) -> bool {
        self.include_text.unwrap_or(true)
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "FusionFields")]
pub(super) enum FusionRequest {
    Rrf {
        k: f32,
    },
    /// Scores from 0 to 1, of which the dense ones count for this share.
    Weighted {
        dense: f32,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FusionFields {
    rrf: Option<RrfFields>,
    weighted: Option<WeightedFields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RrfFields {
    k: Option<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightedFields {
    dense: f32,
}

impl TryFrom<FusionFields> for FusionRequest {
    type Error = &'static str;

    fn try_from(fields: FusionFields) -> Result<Self, &'static str> {
        match (fields.rrf, fields.weighted) {
            (Some(rrf), None) => Ok(Self::Rrf { k: rrf.k.unwrap_or(60.0) }),
            (None, Some(weighted)) => Ok(Self::Weighted { dense: weighted.dense }),
            _ => Err("fusion must have one of rrf and weighted"),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "FilterFields")]
pub(super) enum FilterRequest {
    Ids(Vec<String>),
    Prefix(String),
    /// On what is known of passages beside their texts.
    Where(Predicate),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterFields {
    ids: Option<Vec<String>>,
    prefix: Option<String>,
    r#where: Option<Predicate>,
}

impl TryFrom<FilterFields> for FilterRequest {
    type Error = &'static str;

    fn try_from(fields: FilterFields) -> Result<Self, &'static str> {
        match (fields.ids, fields.prefix, fields.r#where) {
            (Some(ids), None, None) => Ok(Self::Ids(ids)),
            (None, Some(prefix), None) => Ok(Self::Prefix(prefix)),
            (None, None, Some(predicate)) => Ok(Self::Where(predicate)),
            _ => Err("filter must have one of ids, prefix and where"),
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnippetRequest {
    length: Option<usize>,
}

impl SnippetRequest {
    pub(super) fn length(self) -> usize {
        self.length.unwrap_or(200)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchRequest {
    pub(super) searches: Vec<SearchRequest>,
}

/// A search's answer.
#[derive(Debug, Serialize)]
pub(super) struct SearchAnswer {
    pub(super) collection: String,
    pub(super) mode: Mode,
    pub(super) hits: Vec<HitAnswer>,
    /// Parts of the collection that did not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) missing: Vec<String>,
    pub(super) took: Took,
}

#[derive(Debug, Serialize)]
pub(super) struct HitAnswer {
    pub(super) rank: usize,
    pub(super) id: String,
    pub(super) score: f32,
    pub(super) title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) snippet: Option<SnippetAnswer>,
    #[serde(skip_serializing_if = "Payload::is_empty")]
    pub(super) metadata: Payload,
}

impl HitAnswer {
    /// Title and text as one, where the text was asked for.
    pub(super) fn full_text(&self) -> String {
        let text = self.text.clone().unwrap_or_default();
        Passage { id: String::new(), title: self.title.clone(), text }.full_text().into_owned()
    }
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct SnippetAnswer {
    pub(super) text: String,
    /// Begin and end of each match, in Unicode code points.
    pub(super) marks: Vec<[usize; 2]>,
}

/// Milliseconds; those of a batch are of the whole batch.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Took {
    pub(super) embed_ms: f64,
    pub(super) search_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rerank_ms: Option<f64>,
    pub(super) total_ms: f64,
}

#[derive(Serialize)]
pub(super) struct BatchAnswer {
    pub(super) results: Vec<SearchAnswer>,
}

impl From<FilterRequest> for Filter {
    fn from(request: FilterRequest) -> Self {
        match request {
            FilterRequest::Ids(ids) => Self::ids(ids),
            FilterRequest::Prefix(prefix) => Self::prefix(prefix),
            FilterRequest::Where(predicate) => Self::payload(predicate),
        }
    }
}

impl FusionRequest {
    pub(super) fn fusion(self) -> Fusion {
        match self {
            Self::Rrf { k } => Fusion::ReciprocalRank { k },
            Self::Weighted { .. } => Fusion::WeightedSum { normalisation: Normalisation::MinMax },
        }
    }

    pub(super) fn check(self) -> Result<(), ApiError> {
        match self {
            Self::Rrf { k } if !(k >= 0.0 && k.is_finite()) => {
                Err(ApiError::invalid("fusion.rrf.k must be a number from 0 on; 60 is usual"))
            }
            Self::Weighted { dense } if !(dense > 0.0 && dense < 1.0) => {
                Err(ApiError::invalid("fusion.weighted.dense must lie between 0 and 1, for example 0.5"))
            }
            _ => Ok(()),
        }
    }
}

impl From<Snippet> for SnippetAnswer {
    /// Bytes become code points, in one pass over the text.
    fn from(snippet: Snippet) -> Self {
        let (mut marks, mut points, mut bytes) = (Vec::new(), 0, 0);
        let mut at = |byte: usize| {
            points += snippet.text.get(bytes..byte).map_or(0, |piece| piece.chars().count());
            bytes = byte;
            points
        };
        for range in &snippet.highlights {
            marks.push([at(range.start), at(range.end)]);
        }
        Self { text: snippet.text, marks }
    }
}
