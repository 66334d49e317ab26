//! What a run writes beside its log: the best retriever, checkpoints, and what each stage made.

use std::path::{Path, PathBuf};

use revela_base::artifact::IfExists;
use revela_base::file::create_dir;
use revela_model::adapter::{self, AdapterKind};

use super::Trainer;
use crate::checkpoint::{self, Best, LmWeights, Optimizers};
use crate::config::StageConfig;
use crate::error::{Result, TrainError};
use crate::log::{EvaluationRecord, Record};

impl Trainer<'_> {
    /// Scores the retriever as it is and keeps it if it is the best so far. Without an evaluation the
    /// latest is the best.
    pub(super) fn evaluate(&mut self, stage: &StageConfig, part: f64) -> Result<()> {
        let encoder = self.models.encoder()?;
        let score = match self.evaluator {
            Some(evaluator) => {
                let score = evaluator.score(&encoder).map_err(TrainError::Evaluation)?;
                let best = self.state.best.as_ref().is_none_or(|best| score > best.score);
                self.push(&Record::Evaluation(EvaluationRecord {
                    stage: stage.name.clone(),
                    step: self.state.stage_step,
                    part,
                    metric: evaluator.metric(),
                    score,
                    best,
                }))?;
                if !best {
                    return Ok(());
                }
                score
            }
            None => f64::NAN,
        };
        encoder.save(&self.config.out.join("best"), self.config.precision, IfExists::Replace)?;
        if self.evaluator.is_some() {
            let best = Best { score, stage: stage.name.clone(), step: self.state.stage_step };
            self.state.best = Some(best);
        }
        Ok(())
    }

    pub(super) fn save(&mut self, optimizers: &Optimizers) -> Result<PathBuf> {
        self.state.log_bytes = self.log.bytes();
        self.state.config = self.config_checksum;
        self.state.optimizer_steps = [optimizers.retriever.steps(), optimizers.lm.steps()];
        checkpoint::save(
            &self.config.out,
            &self.models,
            optimizers,
            &self.state,
            (self.config.keep_checkpoints, self.lm_weights()),
        )
    }

    /// Whether a stage so far trains the language model.
    fn lm_weights(&self) -> LmWeights {
        let trains = self.config.stages.iter().take(self.state.stage + 1).any(StageConfig::trains_lm);
        if trains { LmWeights::Trained } else { LmWeights::AsOpened }
    }

    /// Evaluates, writes what the stage made, and saves a checkpoint at the beginning of the next one.
    pub(super) fn finish_stage(&mut self, stage: &StageConfig) -> Result<()> {
        let dir = self.config.out.join("stages").join(&stage.name);
        create_dir(&dir)?;
        let precision = self.config.precision;
        if stage.objective.uses_retriever() {
            self.evaluate(stage, 1.0)?;
            self.models.encoder()?.save(&dir.join("encoder"), precision, IfExists::Replace)?;
        }
        if stage.trains_lm() {
            self.models.language_model()?.save(&dir.join("lm"), precision, IfExists::Replace)?;
        }
        self.save_adapters(stage, &dir)?;
        self.state.stage += 1;
        self.state.stage_step = 0;
        self.state.seconds = 0.0;
        self.save(&Optimizers::new(stage.adamw))?;
        Ok(())
    }

    fn save_adapters(&self, stage: &StageConfig, dir: &Path) -> Result<()> {
        let Some(lora) = self.models.lora() else { return Ok(()) };
        let base = |path: &Option<PathBuf>| path.as_ref().map_or(String::new(), |p| p.display().to_string());
        if let Some(side) = &self.models.retriever
            && stage.objective.uses_retriever()
        {
            let (kind, base) = (AdapterKind::FeatureExtraction, base(&self.config.retriever));
            adapter::save(&side.model, lora, kind, &base, &dir.join("adapter"), IfExists::Replace)?;
        }
        if let Some(side) = &self.models.lm
            && stage.trains_lm()
        {
            let (kind, base) = (AdapterKind::CausalLm, base(&self.config.lm));
            adapter::save(&side.lm.model, lora, kind, &base, &dir.join("lm-adapter"), IfExists::Replace)?;
        }
        Ok(())
    }
}
