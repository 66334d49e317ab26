//! Batches of the contrastive objective.

use rand::RngExt;
use revela_base::embed::TextKind;
use revela_base::seed::Seed;
use revela_text::ChunkGroup;

use super::{BatchResult, Step, texts};
use crate::asked::Asked;
use crate::choices::{Negatives, QueryText};
use crate::error::Result;
use crate::objective::StepResult;
use crate::objective::contrastive::{self, ContrastiveConfig, ContrastiveOptions, Pairs, Positives, crops};

/// Whole groups; for spread negatives the groups are made up anew, of one chunk from each of as many groups as
/// the batch has chunks.
pub(super) fn draw(
    config: &ContrastiveConfig,
    batch_groups: usize,
    size: usize,
    seed: Seed,
    next: impl FnOnce(usize) -> Result<Vec<ChunkGroup>>,
) -> Result<Vec<ChunkGroup>> {
    if config.negatives == Negatives::Group {
        return next(batch_groups);
    }
    let mut stream = seed.stream("spread");
    let mut chunks = Vec::new();
    for mut group in next(batch_groups * size)? {
        let member = stream.random_range(0..size);
        chunks.extend((member < group.chunks.len()).then(|| group.chunks.swap_remove(member)));
    }
    Ok(chunks.chunks(size).map(|chunks| ChunkGroup { chunks: chunks.to_vec() }).collect())
}

impl Step<'_> {
    pub(super) fn contrastive(
        &self,
        config: &ContrastiveConfig,
        groups: &[ChunkGroup],
    ) -> Result<BatchResult> {
        let pairs = match config.positives {
            Positives::Crops(crop) => {
                let mut stream = self.seed.stream("crops");
                let pairs = texts(groups).into_iter().map(|text| crops(text, crop, &mut stream));
                let (queries, passages): (Vec<&str>, Vec<&str>) = pairs.map(|[a, b]| (a, b)).unzip();
                self.pairs(&queries, &passages, (0..queries.len()).collect())?
            }
            Positives::Reader => {
                let asked = self.asked(config, groups);
                self.pairs(&asked.queries, &asked.passages, asked.own)?
            }
            Positives::ReaderOrCrops(crop) => {
                let asked = self.asked(config, groups);
                let mut stream = self.seed.stream("crops");
                let (queries, passages) = asked.or_crops(|text| crops(text, crop, &mut stream));
                self.pairs(&queries, &passages, (0..queries.len()).collect())?
            }
        };
        if pairs.own.is_empty() {
            return Ok(BatchResult { result: StepResult::default(), tokens: 0 });
        }
        let options = ContrastiveOptions { tau: config.tau.at(self.part), embed: self.embed_options()? };
        let tokens = pairs.query.ids.len() + pairs.passage.ids.len();
        let mut result = contrastive::step(&self.models.retriever()?.model, &pairs, &options);
        result.numbers.push(("tau", options.tau));
        Ok(BatchResult { result, tokens })
    }

    fn asked(&self, config: &ContrastiveConfig, groups: &[ChunkGroup]) -> Asked {
        let asked = Asked::of(groups, QueryText::Reader);
        asked.keep_some(&texts(groups), config.keep_reader, self.seed.derive("keep reader"))
    }

    fn pairs<S: AsRef<str> + Sync>(&self, queries: &[S], passages: &[S], own: Vec<usize>) -> Result<Pairs> {
        Ok(Pairs {
            query: self.models.retriever_batch(TextKind::Query, queries)?,
            passage: self.models.retriever_batch(TextKind::Passage, passages)?,
            own,
        })
    }
}
