//! Batches of the Revela objective.

use revela_base::embed::TextKind;
use revela_text::ChunkGroup;

use super::{BatchResult, Step, group_size, texts};
use crate::asked::Asked;
use crate::choices::QueryText;
use crate::error::Result;
use crate::inbatch::weights::{entropy, related_share};
use crate::models::End;
use crate::objective::StepResult;
use crate::objective::revela::{self, Pairing, RevelaBatch, RevelaConfig, RevelaOptions};

impl Step<'_> {
    pub(super) fn revela(&self, config: &RevelaConfig, groups: &[ChunkGroup]) -> Result<BatchResult> {
        let (batch, pairing) = match config.query {
            QueryText::Reader => {
                let asked = Asked::of(groups, config.query);
                if asked.queries.is_empty() {
                    return Ok(BatchResult { result: StepResult::default(), tokens: 0 });
                }
                let batch = RevelaBatch {
                    readers: self.models.lm_batch_with(&asked.readers(), End::Open)?,
                    read: self.models.lm_batch(&asked.passages)?,
                    passage: self.models.retriever_batch(TextKind::Passage, &asked.passages)?,
                    query: self.models.retriever_batch(TextKind::Query, &asked.queries)?,
                };
                (batch, Pairing::Answers(asked.own))
            }
            QueryText::FirstHalf | QueryText::Whole => {
                let texts = texts(groups);
                let lm = self.models.lm_batch(&texts)?;
                let batch = RevelaBatch {
                    readers: lm.clone(),
                    read: lm,
                    passage: self.models.retriever_batch(TextKind::Passage, &texts)?,
                    query: self.models.query_batch(config.query, &texts)?,
                };
                (batch, Pairing::Same)
            }
        };
        let options = RevelaOptions {
            tau: config.tau.at(self.part),
            hard: config.hard,
            embed: self.embed_options()?,
            language: self.language_options(config.terms, config.read),
        };
        let lm_tokens = match pairing {
            Pairing::Same => batch.read.ids.len(),
            Pairing::Answers(_) => batch.readers.ids.len() + batch.read.ids.len(),
        };
        let tokens = lm_tokens + batch.passage.ids.len() + batch.query.ids.len();
        let (lm, retriever) = (&self.models.lm()?.lm, &self.models.retriever()?.model);
        let (mut result, w) = revela::step(lm, retriever, &batch, &pairing, &options);
        result.numbers.push(("tau", options.tau));
        result.numbers.push(("weights_entropy", entropy(&w)));
        if matches!(pairing, Pairing::Same) {
            result.numbers.push(("weights_related", related_share(&w, group_size(groups))));
        }
        Ok(BatchResult { result, tokens })
    }
}
