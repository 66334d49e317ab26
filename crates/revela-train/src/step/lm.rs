//! Batches of the language model's own objective.

use revela_text::ChunkGroup;

use super::{BatchResult, Step, group_size, texts};
use crate::error::Result;
use crate::objective::lm::{self, LmConfig, Neighbours};

impl Step<'_> {
    pub(super) fn language(&self, config: &LmConfig, groups: &[ChunkGroup]) -> Result<BatchResult> {
        let options = self.language_options(config.terms, config.read);
        let lm = &self.models.lm()?.lm;
        let (batch, size) = match config.neighbours {
            Neighbours::Joined => {
                let joined: Vec<String> = groups.iter().map(joined).collect();
                (self.models.lm_batch(&joined)?, 1)
            }
            Neighbours::Group | Neighbours::None => {
                (self.models.lm_batch(&texts(groups))?, group_size(groups))
            }
        };
        let result = lm::step(lm, &batch, size, config.neighbours, &options);
        Ok(BatchResult { result, tokens: batch.ids.len() })
    }
}

/// The chunks of a group as one text.
fn joined(group: &ChunkGroup) -> String {
    group.chunks.iter().map(|c| c.text.as_str()).collect::<Vec<_>>().join("\n\n")
}
