//! A description of a collection, for people and scripts.

use serde::Serialize;

use crate::collection::{BuildParameters, Collection, TextSpace, VectorSpace};
use crate::recall::RecallCurve;

/// What a collection is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Info {
    /// Passages that can be found.
    pub passages: u64,
    /// Passages that were deleted and still take room.
    pub deleted: u64,
    /// Changes so far.
    pub generation: u64,
    /// Bytes of the shard files.
    pub vector_bytes: u64,
    /// Bytes of the text indexes.
    pub text_bytes: u64,
    /// What its vectors are, where it has some.
    pub vectors: Option<VectorSpace>,
    /// What its texts are, where it has some.
    pub texts: Option<TextSpace>,
    /// How documents were cut into passages.
    pub chunker: Option<serde_json::Value>,
    /// How it was built.
    pub build: BuildParameters,
    /// Its shards, oldest first.
    pub shards: Vec<ShardInfo>,
}

/// What one shard holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShardInfo {
    /// The shard's name, with which its files begin.
    pub name: String,
    /// Rows, deleted ones included.
    pub rows: u32,
    /// Rows that were deleted.
    pub deleted: u32,
    /// Bytes of its file.
    pub bytes: u64,
    /// How its vectors are searched.
    pub kind: ShardKind,
    /// What its graph finds, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<RecallCurve>,
}

impl ShardInfo {
    /// Whether rows were deleted since the graph was measured.
    pub fn recall_is_stale(&self) -> bool {
        self.recall.as_ref().is_some_and(|curve| curve.rows != self.rows - self.deleted)
    }
}

/// How a shard's vectors are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ShardKind {
    /// There are none.
    TextOnly,
    /// All are compared.
    Flat,
    /// A graph leads to the near ones.
    Graph,
}

impl Collection {
    /// Describes the collection from what opening it has read.
    pub fn info(&self) -> Info {
        let shards = self.shards();
        Info {
            passages: self.len(),
            deleted: shards.iter().map(|shard| u64::from(shard.deleted)).sum(),
            generation: self.generation(),
            vector_bytes: shards.iter().map(|shard| shard.bytes).sum(),
            text_bytes: self.text_bytes(),
            vectors: self.vectors().cloned(),
            texts: self.texts().cloned(),
            chunker: self.chunker().cloned(),
            build: self.build_parameters().clone(),
            shards,
        }
    }
}
