//! Batches of the objectives that a frozen language model's likelihoods teach.

use revela_base::embed::TextKind;
use revela_text::ChunkGroup;

use super::{BatchResult, Step};
use crate::asked::Asked;
use crate::error::{Result, TrainError};
use crate::objective::StepResult;
use crate::objective::distil::{self, DistilBatch, DistilOptions, LikelihoodConfig, Scored};
use crate::targets::Signal;
use crate::teacher::Teacher;

impl Step<'_> {
    pub(super) fn likelihood(&self, config: &LikelihoodConfig, groups: &[ChunkGroup]) -> Result<BatchResult> {
        let asked = Asked::of(groups, config.query);
        if asked.queries.is_empty() {
            return Ok(BatchResult { result: StepResult::default(), tokens: 0 });
        }
        let mut scored = Vec::new();
        for (group, passages) in groups.iter().zip(&asked.groups) {
            let logits = match self.targets.and_then(|targets| targets.of(group)) {
                Some(signals) => config.teachers.logits(signals),
                None if self.models.lm.is_none() => {
                    let first = group.chunks.first().map(|chunk| chunk.id.to_string()).unwrap_or_default();
                    let detail = format!(
                        "they say nothing of the group of {first}: make them with this program from these groups, or \
                         name the language model"
                    );
                    return Err(TrainError::setting("targets", detail));
                }
                None => {
                    let said = Teacher::of(self.models)?.scores(group, config.query)?;
                    config.teachers.logits(&[(Signal::Likelihood, said)].into())
                }
            };
            let scores = logits.map_err(|signal| {
                let detail = format!("they hold no {} for a group", signal.name());
                TrainError::setting("targets", detail)
            })?;
            scored.extend(scores.into_iter().map(|scores| Scored { first: passages.start, scores }));
        }
        let batch = DistilBatch {
            query: self.models.query_batch(config.query, &asked.queries)?,
            passage: self.models.retriever_batch(TextKind::Passage, &asked.passages)?,
            own: asked.own,
            scored,
        };
        let options =
            DistilOptions { tau: config.tau.at(self.part), hard: config.hard, embed: self.embed_options()? };
        let tokens = batch.query.ids.len() + batch.passage.ids.len();
        let mut result = distil::step(&self.models.retriever()?.model, &batch, config.query, &options);
        result.numbers.push(("tau", options.tau));
        Ok(BatchResult { result, tokens })
    }
}
