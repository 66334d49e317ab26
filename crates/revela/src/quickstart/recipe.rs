//! The curriculum: what is trained for how long, found by the experiments in docs/experiments.md.

use std::path::{Path, PathBuf};

use anyhow::Result;
use revela_model::tokenizer::Cut;
use revela_train::choices::{ObjectiveKind, PositivesKind};
use revela_train::objective::contrastive::Overlap;
use revela_train::settings::{Settings, SettingsFile, StageSettings};

use super::Quickstart;
use super::held_out::{self, Size};
use crate::commands::model::Shape;

/// Tokens of the tokenizer.
pub(crate) const VOCABULARY: usize = 8192;

/// How text is cut into tokens.
pub(crate) const CUT: Cut = Cut::Words;

/// Words of a chunk, which are some 150 tokens of code.
pub(crate) const CHUNK_WORDS: usize = 56;

/// Chunks of a group.
pub(crate) const GROUP_SIZE: usize = 16;

/// Bytes of text that a minute is given: more could not be looked at.
pub(crate) const BYTES_PER_MINUTE: f64 = 3e6;

/// The collection that chooses the checkpoint; small, as it is searched again and again.
pub(crate) const DEV_SIZE: Size = Size { queries: 400, passages: 1500 };

/// The collection that is measured at the end.
pub(crate) const TEST_SIZE: Size = Size { queries: 1200, passages: 4000 };

/// Longest chunk in the language model's tokens.
pub(crate) const LENGTH: usize = 160;

/// Features of the retriever, a static encoder: a table of token vectors learns in minutes from nothing what a
/// transformer does not (docs/experiments.md).
pub(crate) const DIMENSION: usize = 256;

/// Sizes of the language model.
///
/// One layer: a step of a second one costs as much again, and in minutes brings less than more steps do.
pub(crate) const SHAPE: Shape =
    Shape { hidden: 256, layers: 1, heads: 4, kv_heads: 4, intermediate: Some(256), max_positions: 512 };

/// The stages, in order.
pub(crate) const CONTRASTIVE: &str = "contrastive";
/// See [`CONTRASTIVE`].
pub(crate) const LM: &str = "lm";
/// See [`CONTRASTIVE`].
pub(crate) const REVELA: &str = "revela";

/// Shares of the minutes that quickstart was given; the rest goes into preparing and measuring. Revela's stage
/// gets little: at this size it earns nothing yet, whatever it is given (docs/experiments.md).
const CONTRASTIVE_SHARE: f64 = 0.55;
const LM_SHARE: f64 = 0.13;
const REVELA_SHARE: f64 = 0.07;

/// Folders of a quickstart.
pub(crate) fn base_lm(out: &Path) -> PathBuf {
    out.join("base-lm")
}

/// See [`base_lm`].
pub(crate) fn base_encoder(out: &Path) -> PathBuf {
    out.join("base-encoder")
}

/// See [`base_lm`].
pub(crate) fn chunks(out: &Path) -> PathBuf {
    out.join("chunks.jsonl")
}

/// See [`base_lm`].
pub(crate) fn groups(out: &Path) -> PathBuf {
    out.join("groups.jsonl")
}

/// See [`base_lm`].
pub(crate) fn run(out: &Path) -> PathBuf {
    out.join("run")
}

/// The training run of a quickstart.
pub(super) fn settings(args: &Quickstart) -> Result<SettingsFile> {
    let (out, minutes) = (args.out.as_path(), args.minutes);
    let from_nothing = args.encoder.is_none();
    let encoder = args.encoder.clone().unwrap_or_else(|| base_encoder(out));
    let common = Settings {
        groups: Some(groups(out)),
        out: Some(run(out)),
        lm: Some(base_lm(out)),
        retriever: Some(encoder),
        seed: Some(args.seed),
        matmul: Some(args.matmul),
        lm_max_length: Some(LENGTH),
        eval_data: Some(held_out::dir(out, held_out::DEV_SPLIT)),
        eval_times: Some(2),
        weight_decay: Some(0.01),
        beta2: Some(0.98),
        final_rate: Some(0.1),
        ..Settings::default()
    };
    let lm = Settings {
        objective: Some(ObjectiveKind::Lm),
        minutes: Some(LM_SHARE * minutes),
        learning_rate: Some(2e-3),
        ..Settings::default()
    };
    let contrastive = Settings {
        objective: Some(ObjectiveKind::Contrastive),
        minutes: Some(CONTRASTIVE_SHARE * minutes),
        batch_groups: Some(if from_nothing { 64 } else { 8 }),
        positives: Some(PositivesKind::ReaderOrCrops),
        crop_overlap: Some(Overlap::None),
        crop_least: Some(0.1),
        crop_most: Some(0.9),
        tau: Some(0.05),
        learning_rate: Some(if from_nothing { 5e-3 } else { 2e-5 }),
        ..Settings::default()
    };
    let revela = Settings {
        objective: Some(ObjectiveKind::Revela),
        minutes: Some(REVELA_SHARE * minutes),
        tau: Some(0.05),
        tau_end: Some(0.02),
        learning_rate: Some(if from_nothing { 1e-4 } else { 5e-6 }),
        lm_learning_rate: Some(1e-3),
        ..Settings::default()
    };
    let stages = [(CONTRASTIVE, contrastive), (LM, lm), (REVELA, revela)];
    let stages = stages.map(|(name, settings)| StageSettings { name: name.to_owned(), settings });
    Ok(SettingsFile { common, stages: stages.into() }.complete(&Settings::default())?)
}
