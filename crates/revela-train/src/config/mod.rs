//! A run's configuration, complete and checked: what the rest of the crate sees.

use std::path::PathBuf;

use revela_base::seed::Seed;
use revela_model::cpu::Matmul;
use revela_model::device::DeviceChoice;
use revela_model::lora::LoraConfig;
use revela_model::pooling::Pooling;
use revela_model::weights::Precision;
use serde::{Deserialize, Serialize};

use crate::choices::{
    Adaptation, Frozen, ObjectiveKind, PositivesKind, QueryText, ReadingKind, RetrieverStart,
};
use crate::error::{Result, TrainError};
use crate::inbatch::reading::{Form, ReadOptions, Reading, Skip};
use crate::objective::Activations;
use crate::objective::contrastive::{ContrastiveConfig, CropOptions, Positives};
use crate::objective::distil::{LikelihoodConfig, TeacherWeights};
use crate::objective::language::LossTerms;
use crate::objective::lm::LmConfig;
use crate::objective::revela::RevelaConfig;
use crate::optim::AdamWConfig;
use crate::schedule::{Annealed, Schedule};
use crate::settings::{Settings, SettingsFile};
use crate::targets::Signal;

/// What all stages share.
#[derive(Debug, Clone, PartialEq)]
pub struct RunConfig {
    /// Training groups.
    pub groups: PathBuf,
    /// The run's folder.
    pub out: PathBuf,
    /// The language model's folder, where a stage needs one.
    pub lm: Option<PathBuf>,
    /// What a teacher said of the groups.
    pub targets: Option<PathBuf>,
    /// The retriever's folder, where a stage needs one that is not a copy of the language model.
    pub retriever: Option<PathBuf>,
    /// Seed of everything random.
    pub seed: Seed,
    /// Where models run.
    pub device: DeviceChoice,
    /// In which precision.
    pub precision: Precision,
    /// How the processor multiplies.
    pub matmul: Matmul,
    /// Longest chunk in the language model's tokens.
    pub lm_max_length: usize,
    /// Overrides the retriever's contract.
    pub max_length: Option<usize>,
    /// Overrides the retriever's contract.
    pub pooling: Option<Pooling>,
    /// Held-out evaluation.
    pub evaluation: Option<EvaluationConfig>,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Checkpoints kept.
    pub keep_checkpoints: usize,
    /// Low-rank adapters, or all weights.
    pub lora: Option<LoraConfig>,
    /// In order.
    pub stages: Vec<StageConfig>,
}

/// What decides which retriever is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationConfig {
    /// A collection in BEIR's layout.
    pub data: PathBuf,
    /// Its split.
    pub split: String,
    /// The metric's name.
    pub metric: String,
    /// When, besides each stage's start and end.
    pub inside: EvaluateInside,
}

/// When a stage's retriever is evaluated before the stage ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvaluateInside {
    /// After every so many steps.
    Every(u64),
    /// So often, evenly spread.
    Times(u64),
}

impl EvaluateInside {
    /// Whether it is time after a step that brought the stage, of which `step` steps are done, from one part
    /// to another.
    pub fn is_due(self, step: u64, before: f64, after: f64) -> bool {
        match self {
            Self::Every(steps) => step.is_multiple_of(steps),
            Self::Times(times) => {
                let passed = |part: f64| (part * (times + 1) as f64).floor();
                passed(after) > passed(before)
            }
        }
    }
}

/// How long a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// Optimiser steps.
    Steps(u64),
    /// Minutes.
    Minutes(f64),
}

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageConfig {
    /// Shown in logs and reports.
    pub name: String,
    /// What is minimised, with its options.
    pub objective: ObjectiveConfig,
    /// What the retriever is at the beginning.
    pub retriever_start: RetrieverStart,
    /// Which models keep their weights.
    pub frozen: Frozen,
    /// How long.
    pub budget: Budget,
    /// Groups per batch.
    pub batch_groups: usize,
    /// Batches per step.
    pub accumulate: usize,
    /// What is kept for the backward pass.
    pub activations: Activations,
    /// The retriever's learning rate.
    pub schedule: Schedule,
    /// The language model's highest learning rate.
    pub lm_rate: f64,
    /// Global gradient norm, if gradients are clipped.
    pub clip: Option<f64>,
    /// AdamW's constants.
    pub adamw: AdamWConfig,
}

/// An objective and its options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ObjectiveConfig {
    /// Next-token prediction weighted by the retriever.
    Revela(RevelaConfig),
    /// Two texts of one chunk attract each other.
    Contrastive(ContrastiveConfig),
    /// A frozen language model's likelihoods teach.
    Likelihood(LikelihoodConfig),
    /// Next-token prediction.
    Lm(LmConfig),
}

impl ObjectiveConfig {
    /// Whether it has a language model; stored targets stand for one.
    pub fn uses_lm(&self) -> bool {
        !matches!(self, Self::Contrastive(_))
    }

    /// Whether it trains one.
    pub fn trains_lm(&self) -> bool {
        matches!(self, Self::Revela(_) | Self::Lm(_))
    }

    /// Whether it has a retriever.
    pub fn uses_retriever(&self) -> bool {
        !matches!(self, Self::Lm(_))
    }
}

impl RunConfig {
    /// Checks settings that [`SettingsFile::complete`] filled in.
    pub fn check(file: &SettingsFile) -> Result<Self> {
        let s = &file.common;
        let stages = file.stages.iter().map(|stage| StageConfig::check(&stage.name, &stage.settings));
        let config = Self {
            groups: need("groups", &s.groups)?,
            out: need("out", &s.out)?,
            lm: s.lm.clone(),
            targets: s.targets.clone(),
            retriever: s.retriever.clone(),
            seed: Seed(need("seed", &s.seed)?),
            device: need("device", &s.device)?,
            precision: need("dtype", &s.dtype)?,
            matmul: need("matmul", &s.matmul)?,
            lm_max_length: at_least("lm_max_length", need("lm_max_length", &s.lm_max_length)?, 2)?,
            max_length: s.max_length.map(|n| at_least("max_length", n, 2)).transpose()?,
            pooling: s.pooling,
            evaluation: evaluation(s)?,
            checkpoint_every: at_least(
                "checkpoint_every",
                need("checkpoint_every", &s.checkpoint_every)?,
                1,
            )?,
            keep_checkpoints: at_least(
                "keep_checkpoints",
                need("keep_checkpoints", &s.keep_checkpoints)?,
                1,
            )?,
            lora: lora(s)?,
            stages: stages.collect::<Result<_>>()?,
        };
        config.check_names()?;
        config.check_models()?;
        Ok(config)
    }

    fn check_names(&self) -> Result<()> {
        let mut names: Vec<&str> = self.stages.iter().map(|s| s.name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(TrainError::setting("name", format!("two stages are called {}", pair[0]))),
            None => Ok(()),
        }
    }

    /// Every stage must find the models that it needs.
    fn check_models(&self) -> Result<()> {
        let mut has_retriever = self.retriever.is_some();
        for stage in &self.stages {
            let is_taught =
                self.targets.is_some() && matches!(stage.objective, ObjectiveConfig::Likelihood(_));
            let needs_lm =
                (stage.objective.uses_lm() && !is_taught) || stage.retriever_start == RetrieverStart::Lm;
            if needs_lm && self.lm.is_none() {
                return Err(TrainError::setting(
                    "lm",
                    format!("stage {} needs a language model", stage.name),
                ));
            }
            has_retriever |= stage.retriever_start == RetrieverStart::Lm;
            if stage.objective.uses_retriever() && !has_retriever {
                let detail =
                    format!("stage {} needs one; name a folder, or set retriever_start = \"lm\"", stage.name);
                return Err(TrainError::setting("retriever", detail));
            }
        }
        Ok(())
    }
}

fn need<T: Clone>(key: &'static str, value: &Option<T>) -> Result<T> {
    value.clone().ok_or_else(|| TrainError::setting(key, "it is missing"))
}

fn at_least<T: PartialOrd + std::fmt::Display>(key: &'static str, value: T, least: T) -> Result<T> {
    if value >= least {
        Ok(value)
    } else {
        Err(TrainError::setting(key, format!("{value} is too small; at least {least}")))
    }
}

fn between(key: &'static str, value: f64, low: f64, high: f64) -> Result<f64> {
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(TrainError::setting(key, format!("{value} is impossible; from {low} to {high}")))
}

fn positive(key: &'static str, value: f64) -> Result<f64> {
    if value > 0.0 && value.is_finite() {
        return Ok(value);
    }
    Err(TrainError::setting(key, format!("{value} is impossible; it must be positive")))
}

fn evaluation(s: &Settings) -> Result<Option<EvaluationConfig>> {
    let Some(data) = s.eval_data.clone() else { return Ok(None) };
    Ok(Some(EvaluationConfig {
        data,
        split: need("eval_split", &s.eval_split)?,
        metric: need("eval_metric", &s.eval_metric)?,
        inside: match (s.eval_times, s.eval_every) {
            (Some(_), Some(_)) => {
                return Err(TrainError::setting("eval_times", "eval_every is set too; choose one"));
            }
            (Some(times), None) => EvaluateInside::Times(times),
            (None, every) => EvaluateInside::Every(at_least("eval_every", need("eval_every", &every)?, 1)?),
        },
    }))
}

fn lora(s: &Settings) -> Result<Option<LoraConfig>> {
    if need("adaptation", &s.adaptation)? == Adaptation::Full {
        return Ok(None);
    }
    let config = LoraConfig {
        r: need("lora_r", &s.lora_r)?,
        alpha: need("lora_alpha", &s.lora_alpha)?,
        dropout: need("lora_dropout", &s.lora_dropout)?,
        targets: need("lora_targets", &s.lora_targets)?,
    };
    config.check().map_err(|detail| TrainError::setting("lora", detail))?;
    Ok(Some(config))
}

impl StageConfig {
    /// Whether it changes the language model.
    pub fn trains_lm(&self) -> bool {
        self.objective.trains_lm() && self.frozen != Frozen::Lm
    }

    fn check(name: &str, s: &Settings) -> Result<Self> {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Err(TrainError::setting(
                "name",
                format!("{name:?} names files: letters, digits, - and _ only"),
            ));
        }
        let rate = positive("learning_rate", need("learning_rate", &s.learning_rate)?)?;
        let clip = between("clip", need("clip", &s.clip)?, 0.0, 1e9)?;
        Ok(Self {
            name: name.to_owned(),
            objective: ObjectiveConfig::check(s)?,
            retriever_start: need("retriever_start", &s.retriever_start)?,
            frozen: need("frozen", &s.frozen)?,
            budget: budget(s)?,
            batch_groups: at_least("batch_groups", need("batch_groups", &s.batch_groups)?, 1)?,
            accumulate: at_least("accumulate", need("accumulate", &s.accumulate)?, 1)?,
            activations: match need("recompute", &s.recompute)? {
                0 => Activations::Keep,
                chunks => Activations::Recompute { chunks },
            },
            schedule: Schedule {
                peak: rate,
                warmup: need("warmup_steps", &s.warmup_steps)?,
                decay: need("decay", &s.decay)?,
                last_share: between("final_rate", need("final_rate", &s.final_rate)?, 0.0, 1.0)?,
            },
            lm_rate: positive("lm_learning_rate", need("lm_learning_rate", &s.lm_learning_rate)?)?,
            clip: (clip > 0.0).then_some(clip),
            adamw: adamw(s)?,
        })
    }
}

fn adamw(s: &Settings) -> Result<AdamWConfig> {
    let config = AdamWConfig {
        beta1: need("beta1", &s.beta1)?,
        beta2: need("beta2", &s.beta2)?,
        epsilon: need("epsilon", &s.epsilon)?,
        weight_decay: need("weight_decay", &s.weight_decay)?,
    };
    config.check().map_err(|detail| TrainError::setting("optimiser", detail))?;
    Ok(config)
}

fn budget(s: &Settings) -> Result<Budget> {
    match (s.steps, s.minutes) {
        (Some(_), Some(_)) => Err(TrainError::setting("minutes", "steps are set too; choose one")),
        (Some(steps), None) => Ok(Budget::Steps(at_least("steps", steps, 1)?)),
        (None, Some(minutes)) => Ok(Budget::Minutes(positive("minutes", minutes)?)),
        (None, None) => Err(TrainError::setting("steps", "it is missing; set steps or minutes")),
    }
}

impl ObjectiveConfig {
    fn check(s: &Settings) -> Result<Self> {
        let tau = Annealed {
            start: positive("tau", need("tau", &s.tau)?)?,
            end: positive("tau_end", need("tau_end", &s.tau_end)?)?,
        };
        let terms = need("loss", &s.loss)?;
        let query = need("query_text", &s.query_text)?;
        let hard = between("hard_weight", need("hard_weight", &s.hard_weight)?, 0.0, 1e6)?;
        Ok(match need("objective", &s.objective)? {
            ObjectiveKind::Revela => {
                if query == QueryText::Reader && terms == LossTerms::Both {
                    let detail =
                        "with query_text = \"reader\" only what reads others is predicted; choose in-batch";
                    return Err(TrainError::setting("loss", detail));
                }
                if query != QueryText::Reader && hard > 0.0 {
                    let detail = "a chunk's own passage is no answer to it; set query_text = \"reader\"";
                    return Err(TrainError::setting("hard_weight", detail));
                }
                Self::Revela(RevelaConfig { tau, terms, read: reading(s)?, query, hard })
            }
            ObjectiveKind::Contrastive => {
                let positives = positives(s)?;
                let negatives = need("negatives", &s.negatives)?;
                let keep_reader = between("keep_reader", need("keep_reader", &s.keep_reader)?, 0.0, 1.0)?;
                Self::Contrastive(ContrastiveConfig { tau, positives, keep_reader, negatives })
            }
            ObjectiveKind::Replug | ObjectiveKind::QueryLikelihood => {
                Self::Likelihood(LikelihoodConfig { tau, teachers: teachers(s)?, hard, query })
            }
            ObjectiveKind::Lm => Self::Lm(LmConfig {
                neighbours: need("neighbours", &s.neighbours)?,
                terms,
                read: reading(s)?,
            }),
        })
    }
}

fn teachers(s: &Settings) -> Result<TeacherWeights> {
    let weight = |key, value: &Option<f64>| between(key, need(key, value)?, 0.0, 1e6);
    let weights = TeacherWeights {
        likelihood: weight("teacher_likelihood", &s.teacher_likelihood)?,
        bm25: weight("teacher_bm25", &s.teacher_bm25)?,
        encoder: weight("teacher_encoder", &s.teacher_encoder)?,
    };
    if weights.counting().next().is_none() {
        return Err(TrainError::setting(
            "teacher_likelihood",
            "no teacher counts; give one a weight above 0",
        ));
    }
    if s.targets.is_none() && weights.counting().any(|(signal, _)| signal != Signal::Likelihood) {
        let detail = "what BM25 and an encoder say is read from targets; make them with revela teach";
        return Err(TrainError::setting("targets", detail));
    }
    Ok(weights)
}

fn reading(s: &Settings) -> Result<ReadOptions> {
    let skip = between("skip_below", f64::from(need("skip_below", &s.skip_below)?), 0.0, 0.1)?;
    let reading = match need("reading", &s.reading)? {
        ReadingKind::Joint => Reading::Joint,
        ReadingKind::Published => Reading::Published(need("value_norm", &s.value_norm)?),
    };
    Ok(ReadOptions { reading, form: Form::Fast, skip: Skip::Below(skip as f32) })
}

fn positives(s: &Settings) -> Result<Positives> {
    let least = between("crop_least", need("crop_least", &s.crop_least)?, 0.0, 1.0)?;
    let most = between("crop_most", need("crop_most", &s.crop_most)?, least, 1.0)?;
    let overlap = need("crop_overlap", &s.crop_overlap)?;
    let crops = CropOptions { least, most, overlap };
    Ok(match need("positives", &s.positives)? {
        PositivesKind::Crops => Positives::Crops(crops),
        PositivesKind::Reader => Positives::Reader,
        PositivesKind::ReaderOrCrops => Positives::ReaderOrCrops(crops),
    })
}

#[cfg(test)]
mod tests;
