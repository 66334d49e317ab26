//! What models are asked for, with what it costs.

use revela_base::embed::{EmbedError, TextKind};
use revela_base::rerank::{RerankError, Reranker};

use crate::encoder::TextEncoder;

/// What waits together: work of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneKind {
    /// Queries to embed, for which somebody waits.
    Queries,
    /// Passages to embed, which come in bulk.
    Passages,
    /// Pairs of a query and a passage to score.
    Pairs,
}

impl LaneKind {
    pub(super) const ALL: [Self; 3] = [Self::Queries, Self::Passages, Self::Pairs];

    /// Its place among them.
    pub(super) fn place(self) -> usize {
        match self {
            Self::Queries => 0,
            Self::Passages => 1,
            Self::Pairs => 2,
        }
    }

    /// On which side of retrieval its texts stand.
    pub(super) fn text_kind(self) -> TextKind {
        match self {
            Self::Queries => TextKind::Query,
            Self::Passages | Self::Pairs => TextKind::Passage,
        }
    }
}

impl From<TextKind> for LaneKind {
    fn from(kind: TextKind) -> Self {
        match kind {
            TextKind::Query => Self::Queries,
            TextKind::Passage => Self::Passages,
        }
    }
}

/// Texts with what the model said they cost.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(super) kind: LaneKind,
    /// Of pairs: the query that each text is scored for.
    pub(super) query: String,
    pub(super) texts: Vec<String>,
    pub(super) tokens: Vec<usize>,
}

impl Counted {
    /// Counts the tokens of texts, which takes about as long as tokenizing them.
    pub(crate) fn new(
        encoder: &dyn TextEncoder,
        kind: TextKind,
        texts: Vec<String>,
    ) -> Result<Self, EmbedError> {
        let tokens = texts.iter().map(|text| encoder.tokens(kind, text)).collect::<Result<_, _>>()?;
        Ok(Self { kind: kind.into(), query: String::new(), texts, tokens })
    }

    /// The same for passages that are scored for a query.
    pub(crate) fn pairs(
        reranker: &dyn Reranker,
        query: String,
        texts: Vec<String>,
    ) -> Result<Self, RerankError> {
        let tokens = texts.iter().map(|text| reranker.tokens((&query, text))).collect::<Result<_, _>>()?;
        Ok(Self { kind: LaneKind::Pairs, query, texts, tokens })
    }

    pub(crate) fn tokens(&self) -> usize {
        self.tokens.iter().sum()
    }
}
