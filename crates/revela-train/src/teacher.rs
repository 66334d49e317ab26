//! A frozen language model that says which passages help to predict a text.

use std::path::Path;

use burn::module::Module;
use revela_base::checksum::{Checksum, Fingerprint};
use revela_model::cpu::Matmul;
use revela_model::device::DeviceChoice;
use revela_model::language_model::LanguageModel;
use revela_model::layers::Run;
use revela_model::params::{Parameter, named};
use revela_model::weights::Precision;
use revela_text::ChunkGroup;

use crate::asked::Asked;
use crate::choices::QueryText;
use crate::error::Result;
use crate::models::{End, LanguageSide, Models, batch};
use crate::objective::likelihood::likelihoods;
use crate::targets::Scores;

/// A language model that teaches and is not taught.
#[derive(Debug, Clone)]
pub struct Teacher {
    side: LanguageSide,
    max_length: usize,
    precision: Precision,
    run: Run,
}

impl Teacher {
    /// The language model of a run.
    pub(crate) fn of(models: &Models) -> Result<Self> {
        let run = Run { kernels: models.kernels(), ..Run::default() };
        let (side, max_length) = (models.lm()?.clone(), models.lm_max_length());
        Ok(Self { side, max_length, precision: models.precision(), run })
    }

    /// Opens a model on the processor. `max_length` is that of texts, in its tokens.
    pub fn open(dir: &Path, max_length: usize, matmul: Matmul) -> Result<Self> {
        let device = DeviceChoice::Cpu.open_for_training()?;
        let LanguageModel { lm, tokenizer } = LanguageModel::open(dir, Precision::F32, &device)?;
        let side = LanguageSide { lm: lm.no_grad(), tokenizer };
        let run = Run { kernels: matmul.into(), ..Run::default() };
        Ok(Self { side, max_length, precision: Precision::F32, run })
    }

    /// Of all its weights and the length of texts.
    pub fn fingerprint(&self) -> Checksum {
        let length = Fingerprint::new().part("max length", self.max_length.to_string());
        let add = |fingerprint: Fingerprint, (name, p): (String, Parameter)| {
            fingerprint.part(&name, p.data().as_bytes())
        };
        named(&self.side.lm).into_iter().fold(length, add).finish()
    }

    /// What it says of a group: the log-likelihood per token (nats) of each query's text when it reads one passage
    /// alone; a row per query, a column per passage, NaN where a chunk would read itself.
    pub fn scores(&self, group: &ChunkGroup, query: QueryText) -> Result<Scores> {
        let asked = Asked::of(std::slice::from_ref(group), query);
        let readers = self.side.ids(&asked.readers(), self.max_length, End::Open)?;
        let passages = self.side.ids(&asked.passages, self.max_length, End::Token)?;
        let passages = batch(&passages, self.precision, &self.side.lm.model.device());
        let mut scores = likelihoods(&self.side.lm, &readers, &passages, self.run);
        asked.hide_own(query, &mut scores);
        Ok(scores)
    }
}
