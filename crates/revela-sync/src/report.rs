//! What a pass over a folder did.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::Reason;

/// What a pass over a folder did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Files.
    pub files: Files,
    /// Their chunks.
    pub chunks: Chunks,
    /// What is not in the collection, by reason.
    pub left_out: BTreeMap<String, LeftOut>,
    /// How often the collection was changed, for readers that look at it again.
    pub generation: u64,
    /// Chunks that can be found now.
    pub passages: u64,
    /// How long it took.
    pub seconds: f64,
}

/// What happened to files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Files {
    /// As they were.
    pub unchanged: u64,
    /// New in the folder, those that were moved included.
    pub added: u64,
    /// With another content.
    pub changed: u64,
    /// No longer in the folder, or no longer documents.
    pub removed: u64,
    /// New ones with the content of one that is gone.
    pub moved: u64,
}

/// What happened to chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Chunks {
    /// Written: new ones, and those with another text or place.
    pub written: u64,
    /// Taken out.
    pub removed: u64,
    /// Embedded.
    pub embedded: u64,
    /// Written with a vector that was there already.
    pub reused: u64,
}

/// Files of one kind that are not in the collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeftOut {
    /// How many.
    pub count: u64,
    /// The first that was met in this pass, in words; nothing for what is simply no document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}

impl Report {
    /// Whether the collection is other than before.
    pub fn changed_anything(&self) -> bool {
        self.chunks.written + self.chunks.removed > 0
    }

    pub(crate) fn leave_out(&mut self, reason: Reason, detail: impl FnOnce() -> String) {
        let left_out = self.left_out.entry(reason.to_string()).or_default();
        left_out.count += 1;
        if reason.is_trouble() && left_out.first.is_none() {
            left_out.first = Some(detail());
        }
    }
}
