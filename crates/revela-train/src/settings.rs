//! What a user may set, each key once: in a TOML file, in a `[[stage]]` table of it, and as a flag.
//!
//! Everything here is optional and unchecked; [`crate::config`] fills in defaults and checks.

#![allow(rustdoc::broken_intra_doc_links, reason = "the documentation of keys is the flags' help too")]

use std::path::{Path, PathBuf};

use revela_base::file::FileError;
use revela_model::cpu::Matmul;
use revela_model::device::DeviceChoice;
use revela_model::lora::LoraConfig;
use revela_model::pooling::Pooling;
use revela_model::weights::Precision;
use serde::{Deserialize, Serialize};

use crate::choices::{
    Adaptation, Decay, Frozen, Negatives, ObjectiveKind, PositivesKind, QueryText, ReadingKind,
    RetrieverStart,
};
use crate::error::{Result, TrainError};
use crate::inbatch::reading::{Reading, ValueNorm};
use crate::objective::contrastive::Overlap;
use crate::objective::language::LossTerms;
use crate::objective::lm::Neighbours;
use crate::optim::AdamWConfig;

macro_rules! settings {
    ($( $heading:literal { $( $(#[doc = $doc:literal])* $(#[arg($($arg:tt)*)])? $name:ident : $type:ty, )* } )*) => {
        /// Every key of a run or stage. Later layers override earlier ones key by key.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
        #[serde(deny_unknown_fields, default)]
        pub struct Settings {
            $($(
                $(#[doc = $doc])*
                #[arg(long, allow_negative_numbers = true, help_heading = $heading $(, $($arg)*)?)]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$type>,
            )*)*
        }

        impl Settings {
            /// These settings where they are set, `below` elsewhere.
            #[must_use]
            pub fn over(self, below: &Self) -> Self {
                Self { $($( $name: self.$name.or_else(|| below.$name.clone()), )*)* }
            }
        }
    };
}

settings! {
    "Data and models" {
        /// Training groups, as `revela data group` writes them.
        groups: PathBuf,
        /// What a language model says of the groups, as `revela teach` writes it; objectives that it serves then need
        /// no language model.
        targets: PathBuf,
        /// Folder of the run: configuration, log, checkpoints and results. Must not hold another run.
        out: PathBuf,
        /// Folder of the language model in Hugging Face's layout, or its name on the hub.
        lm: PathBuf,
        /// Folder of the retriever, or its name on the hub: an encoder or decoder of any known family in
        /// Hugging Face's or sentence-transformers' layout, or a PEFT adapter.
        retriever: PathBuf,
        /// What the retriever is at the beginning of the stage [default: keep]
        #[arg(value_enum)]
        retriever_start: RetrieverStart,
        /// Seed of data order, drawing, dropout [default: 42]
        seed: u64,
        /// cpu, cuda or cuda:N [default: cpu]
        device: DeviceChoice,
        /// f32 or bf16; the optimiser keeps f32 weights in any case [default: f32]
        #[arg(value_parser = <Precision as std::str::FromStr>::from_str)]
        dtype: Precision,
        /// How the processor multiplies the matrices of linear layers where dtype is f32: f32, or bf16, which is
        /// faster where it has AVX-512 BF16 [default: f32]
        matmul: Matmul,
        /// Longest chunk in the language model's tokens [default: 160]
        lm_max_length: usize,
        /// Longest text in the retriever's tokens, prefix and end included [default: as the retriever says]
        max_length: usize,
        /// How the retriever makes a vector of token states: eos, mean or cls [default: as the retriever says]
        #[arg(value_parser = parse_pooling)]
        pooling: Pooling,
    }
    "Objective" {
        /// What is minimised [default: revela]
        #[arg(value_enum)]
        objective: ObjectiveKind,
        /// How chunks read each other: joint, which a pretrained language model can do at once, or published, for
        /// which it has to be trained long [default: joint]
        #[arg(value_enum)]
        reading: ReadingKind,
        /// Temperature of the softmax over the batch [default: 0.05; 1e-4 with reading = "published"]
        tau: f64,
        /// Temperature at the end of the stage, reached geometrically [default: tau]
        tau_end: f64,
        /// V-normalisation of the published cross path: mean or off [default: mean]
        #[arg(value_parser = parse_value_norm)]
        value_norm: ValueNorm,
        /// Which losses are added up: in-batch, or both streams' [default: in-batch]
        #[arg(value_parser = parse_loss_terms)]
        loss: LossTerms,
        /// What asks for a chunk: its first half, all of it, or its reader, which is cut out of it
        /// [default: first-half; reader for query-likelihood]
        #[arg(value_enum)]
        query_text: QueryText,
        /// What chunks read while the language model is warmed up: the others of their group, none, or joined, which
        /// makes one text of a group [default: group]
        #[arg(value_parser = parse_neighbours)]
        neighbours: Neighbours,
        /// Pairs of chunks with a smaller weight are not computed [default: 1e-15; 1e-6 with reading = "published"]
        skip_below: f32,
        /// Which texts attract each other in the contrastive objective [default: crops]
        #[arg(value_enum)]
        positives: PositivesKind,
        /// Share of the contrastive pairs in which the reader stays in its passage and only about half of its words
        /// ask [default: 0]
        keep_reader: f64,
        /// Weight of the contrastive loss of a reader's own passage, beside what a language model teaches
        /// [default: 0]
        hard_weight: f64,
        /// Weight of the language model's likelihood in the teacher's logits, per nat per token [default: 10]
        teacher_likelihood: f64,
        /// Weight of BM25 in them, per point [default: 0]
        teacher_bm25: f64,
        /// Weight of an encoder in them, per unit of similarity [default: 0]
        teacher_encoder: f64,
        /// Least share of a chunk's words in a crop [default: 0.2]
        crop_least: f64,
        /// Largest share of a chunk's words in a crop [default: 0.6]
        crop_most: f64,
        /// Whether the two crops of a chunk may overlap: any or none [default: any]
        #[arg(value_parser = parse_overlap)]
        crop_overlap: Overlap,
        /// Which chunks repel each other in the contrastive objective: spread (one from each of many groups, so
        /// that they are unrelated) or group (whole groups) [default: spread]
        #[arg(value_enum)]
        negatives: Negatives,
        /// Which models keep their weights [default: none]
        #[arg(value_enum)]
        frozen: Frozen,
    }
    "Steps" {
        /// Optimiser steps of the stage.
        steps: u64,
        /// Minutes of the stage, instead of steps. How many steps that is depends on the machine, so only
        /// steps give a reproducible run.
        minutes: f64,
        /// Groups per batch; chunks of all of them read each other [default: 1]
        batch_groups: usize,
        /// Batches per optimiser step [default: 1]
        accumulate: usize,
        /// Keep nothing for the backward pass but pieces of this many chunks, and compute the rest again:
        /// more work, a fraction of the memory; 0 keeps everything [default: 0; 4 where the cross path has no
        /// kernel of its own, which is in bf16 and on CUDA]
        recompute: usize,
    }
    "Optimiser" {
        /// Highest learning rate [default: 1e-4]
        learning_rate: f64,
        /// The language model's, where it differs [default: learning_rate]
        lm_learning_rate: f64,
        /// Steps over which the learning rate rises [default: 100, at most a tenth of the stage]
        warmup_steps: u64,
        /// How it falls afterwards [default: linear]
        #[arg(value_enum)]
        decay: Decay,
        /// Share of the highest learning rate at the end [default: 0]
        final_rate: f64,
        /// Gradients are scaled down to this global norm per model; 0 does not [default: 1]
        clip: f64,
        /// AdamW's decay of the first moment [default: 0.9]
        beta1: f64,
        /// AdamW's decay of the second moment [default: 0.999]
        beta2: f64,
        /// AdamW's epsilon [default: 1e-8]
        epsilon: f64,
        /// Decay of matrices [default: 0]
        weight_decay: f64,
        /// Train all weights or low-rank adapters [default: full]
        #[arg(value_enum)]
        adaptation: Adaptation,
        /// Rank of the adapters [default: 256]
        lora_r: usize,
        /// The adapters are scaled by alpha / r [default: 64]
        lora_alpha: f64,
        /// Dropout on the adapters' input [default: 0.1]
        lora_dropout: f64,
        /// Layers with an adapter, as Hugging Face calls them, such as q_proj,v_proj [default: all-linear]
        #[arg(value_delimiter = ',')]
        lora_targets: Vec<String>,
    }
    "Evaluation and checkpoints" {
        /// A held-out collection in BEIR's layout; its score decides which retriever is kept.
        eval_data: PathBuf,
        /// Its split [default: dev]
        eval_split: String,
        /// What is compared [default: ndcg@10]
        eval_metric: String,
        /// Steps between evaluations; each stage's start and end are evaluated in any case [default: 500]
        eval_every: u64,
        /// Evaluations spread evenly over the inside of each stage, instead of eval_every.
        eval_times: u64,
        /// Steps between checkpoints; each stage's end is one in any case [default: 500]
        checkpoint_every: u64,
        /// Checkpoints kept [default: 2]
        keep_checkpoints: usize,
    }
}

impl Settings {
    fn absolute(mut self) -> Result<Self> {
        // A model that is no folder is a name on the hub, or of what comes with the program.
        let [lm, retriever] =
            [&mut self.lm, &mut self.retriever].map(|model| model.as_mut().filter(|path| path.exists()));
        let files = [&mut self.groups, &mut self.targets, &mut self.out, &mut self.eval_data];
        for path in files.map(Option::as_mut).into_iter().chain([lm, retriever]).flatten() {
            *path = std::path::absolute(&*path).map_err(FileError::io("find", path))?;
        }
        Ok(self)
    }

    /// Fills in every default; what has none (paths, the length of the stage) stays as it is.
    #[must_use]
    pub fn complete(mut self) -> Self {
        let objective = *self.objective.get_or_insert(ObjectiveKind::Revela);
        let rate = *self.learning_rate.get_or_insert(1e-4);
        let reading = *self.reading.get_or_insert_default();
        let tau = *self.tau.get_or_insert(match (objective, reading) {
            (ObjectiveKind::Revela, ReadingKind::Published) => 1e-4,
            _ => 0.05,
        });
        let (adamw, lora) = (AdamWConfig::default(), LoraConfig::default());
        self.retriever_start.get_or_insert_default();
        self.seed.get_or_insert(42);
        self.device.get_or_insert_default();
        self.dtype.get_or_insert_default();
        self.matmul.get_or_insert_default();
        self.lm_max_length.get_or_insert(160);
        self.tau_end.get_or_insert(tau);
        let value_norm = *self.value_norm.get_or_insert_default();
        self.loss.get_or_insert_default();
        self.query_text.get_or_insert(match objective {
            ObjectiveKind::QueryLikelihood => QueryText::Reader,
            _ => QueryText::default(),
        });
        self.positives.get_or_insert_default();
        self.keep_reader.get_or_insert(0.0);
        self.hard_weight.get_or_insert(0.0);
        self.teacher_likelihood.get_or_insert(10.0);
        self.teacher_bm25.get_or_insert(0.0);
        self.teacher_encoder.get_or_insert(0.0);
        self.neighbours.get_or_insert_default();
        let reading = match reading {
            ReadingKind::Joint => Reading::Joint,
            ReadingKind::Published => Reading::Published(value_norm),
        };
        self.skip_below.get_or_insert(reading.least_weight());
        self.crop_least.get_or_insert(0.2);
        self.crop_most.get_or_insert(0.6);
        self.crop_overlap.get_or_insert_default();
        self.negatives.get_or_insert_default();
        self.frozen.get_or_insert_default();
        self.batch_groups.get_or_insert(1);
        self.accumulate.get_or_insert(1);
        let has_kernel = self.device == Some(DeviceChoice::Cpu) && self.dtype == Some(Precision::F32);
        // The definition holds [readers, chunks, heads, L, L] per layer: readers must be few.
        let pieces = match objective {
            ObjectiveKind::Revela | ObjectiveKind::Lm if !has_kernel => 4,
            _ => 0,
        };
        self.recompute.get_or_insert(pieces);
        self.lm_learning_rate.get_or_insert(rate);
        self.warmup_steps.get_or_insert(100);
        self.decay.get_or_insert_default();
        self.final_rate.get_or_insert(0.0);
        self.clip.get_or_insert(1.0);
        self.beta1.get_or_insert(adamw.beta1);
        self.beta2.get_or_insert(adamw.beta2);
        self.epsilon.get_or_insert(adamw.epsilon);
        self.weight_decay.get_or_insert(adamw.weight_decay);
        self.adaptation.get_or_insert_default();
        self.lora_r.get_or_insert(lora.r);
        self.lora_alpha.get_or_insert(lora.alpha);
        self.lora_dropout.get_or_insert(lora.dropout);
        self.lora_targets.get_or_insert(lora.targets);
        self.eval_split.get_or_insert_with(|| "dev".into());
        self.eval_metric.get_or_insert_with(|| "ndcg@10".into());
        if self.eval_times.is_none() {
            self.eval_every.get_or_insert(500);
        }
        self.checkpoint_every.get_or_insert(500);
        self.keep_checkpoints.get_or_insert(2);
        self
    }
}

fn parse_word<T: serde::de::DeserializeOwned>(text: &str, choices: &str) -> std::result::Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|_| format!("choose {choices}"))
}

fn parse_pooling(text: &str) -> std::result::Result<Pooling, String> {
    parse_word(text, "eos, mean or cls")
}

fn parse_value_norm(text: &str) -> std::result::Result<ValueNorm, String> {
    parse_word(text, "mean or off")
}

fn parse_loss_terms(text: &str) -> std::result::Result<LossTerms, String> {
    parse_word(text, "in-batch or both")
}

fn parse_neighbours(text: &str) -> std::result::Result<Neighbours, String> {
    parse_word(text, "group, none or joined")
}

fn parse_overlap(text: &str) -> std::result::Result<Overlap, String> {
    parse_word(text, "any or none")
}

/// A configuration file: settings of all stages, and the stages' own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SettingsFile {
    /// Of all stages.
    #[serde(flatten)]
    pub common: Settings,
    /// In order; none means one stage with the common settings.
    #[serde(default, rename = "stage", skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageSettings>,
}

/// A stage's name and what it sets differently.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageSettings {
    /// Shown in logs and reports.
    pub name: String,
    /// Override the common ones.
    #[serde(flatten)]
    pub settings: Settings,
}

impl SettingsFile {
    /// The layers applied and the defaults filled in: flags over each stage's own settings over the common
    /// ones. Every stage stands by itself in the result, and paths are absolute, so that it means the same
    /// wherever and whenever it is read again.
    pub fn complete(&self, flags: &Settings) -> Result<Self> {
        let own = if self.stages.is_empty() { vec![StageSettings::default()] } else { self.stages.clone() };
        let stages = own.into_iter().map(|stage| {
            let settings = flags.clone().over(&stage.settings.over(&self.common)).complete();
            let kind = settings.objective.unwrap_or(ObjectiveKind::Revela);
            let name = if stage.name.is_empty() { kind.name().to_owned() } else { stage.name };
            Ok(StageSettings { name, settings: settings.absolute()? })
        });
        let common = flags.clone().over(&self.common).complete().absolute()?;
        Ok(Self { common, stages: stages.collect::<Result<_>>()? })
    }

    /// Reads a TOML file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(FileError::io("read", path))?;
        Self::parse(&text, path)
    }

    /// Parses TOML; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let wrong = |detail: String| TrainError::ConfigFile { path: path.to_owned(), detail };
        let mut table: toml::Table = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        // Flattened structs cannot refuse unknown keys by themselves, so the layers are taken apart.
        let stages = match table.remove("stage") {
            None => Vec::new(),
            Some(toml::Value::Array(stages)) => stages,
            Some(_) => return Err(wrong("stages are written as [[stage]] tables".into())),
        };
        let common = Settings::deserialize(table).map_err(|e| wrong(e.to_string()))?;
        let stages = stages
            .into_iter()
            .enumerate()
            .map(|(i, stage)| stage_settings(stage, i).map_err(&wrong))
            .collect::<Result<_>>()?;
        Ok(Self { common, stages })
    }

    /// The file's text.
    ///
    /// # Errors
    /// When a value has no form in TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|e| TrainError::ConfigFile { path: "config.toml".into(), detail: e.to_string() })
    }
}

fn stage_settings(stage: toml::Value, index: usize) -> std::result::Result<StageSettings, String> {
    let toml::Value::Table(mut table) = stage else {
        return Err("stages are written as [[stage]] tables".into());
    };
    let name = match table.remove("name") {
        Some(toml::Value::String(name)) => name,
        None => format!("stage-{}", index + 1),
        Some(_) => return Err(format!("stage {}: name must be a text", index + 1)),
    };
    let settings = Settings::deserialize(table).map_err(|e| format!("stage {name}: {e}"))?;
    Ok(StageSettings { name, settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_may_be_names_and_other_paths_are_whole() {
        let flags = Settings {
            retriever: Some("organisation/model".into()),
            groups: Some("groups.jsonl".into()),
            ..Settings::default()
        };
        let SettingsFile { common, stages } = SettingsFile::default().complete(&flags).unwrap();
        for settings in [&common, &stages[0].settings] {
            assert_eq!(settings.retriever.as_deref(), Some(Path::new("organisation/model")));
            assert!(settings.groups.as_deref().is_some_and(Path::is_absolute));
        }
    }

    fn parse(text: &str) -> Result<SettingsFile> {
        SettingsFile::parse(text, Path::new("train.toml"))
    }

    #[test]
    fn layers_override_key_by_key() {
        let file = parse("seed = 7\nlearning_rate = 1e-3\n[[stage]]\nname = \"warm\"\nobjective = \"lm\"\nlearning_rate = 2e-3\n").unwrap();
        let flags = Settings { seed: Some(9), ..Settings::default() };
        let merged = flags.over(&file.stages[0].settings).over(&file.common);
        assert_eq!((merged.seed, merged.learning_rate), (Some(9), Some(2e-3)));
        assert_eq!(merged.objective, Some(ObjectiveKind::Lm));
        assert_eq!(parse(&file.to_toml().unwrap()).unwrap(), file, "what is saved reads back");
    }

    #[test]
    fn only_what_has_no_default_stays_open() {
        let complete = serde_json::to_value(Settings::default().complete()).unwrap();
        let text = parse("x = 1").unwrap_err().to_string();
        let keys = text.split('`').skip(3).step_by(2);
        let open: Vec<&str> = keys.filter(|key| complete.get(key).is_none()).collect();
        let paths = ["groups", "targets", "out", "lm", "retriever"];
        let others = ["max_length", "pooling", "steps", "minutes", "eval_data", "eval_times"];
        assert_eq!(open, [&paths[..], &others].concat());
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_named() {
        let message = |text| parse(text).unwrap_err().to_string();
        assert!(message("sede = 7").contains("sede"));
        assert!(message("[[stage]]\nname = \"a\"\ntaus = 1").contains("stage a"));
        assert!(message("seed = \"x\"").contains("u64"));
        assert!(message("objective = \"magic\"").contains("magic"));
        assert!(message("stage = 3").contains("[[stage]]"));
        assert!(message("= 3").contains("train.toml"));
    }
}
