//! The choices that settings offer by name.

use serde::{Deserialize, Serialize};

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectiveKind {
    /// Next-token prediction of chunks that read each other as far as the retriever finds them similar.
    Revela,
    /// Two random crops of a chunk attract each other; the rest of the batch repels.
    Contrastive,
    /// Next-token prediction alone; with neighbours = "group", chunks of a group read each other equally.
    Lm,
}

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// In a straight line to the final share.
    #[default]
    Linear,
    /// Along half a cosine to the final share.
    Cosine,
    /// Not at all.
    Constant,
}

/// Which part of a chunk is the retriever's query in the Revela objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum QueryText {
    /// The first half of its tokens.
    #[default]
    FirstHalf,
    /// All of it.
    Whole,
}

/// Which models keep their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Frozen {
    /// Neither.
    #[default]
    None,
    /// The language model (Revela's ablation).
    Lm,
    /// The retriever.
    Retriever,
}

/// Which chunks repel each other in the contrastive objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Negatives {
    /// One chunk from each of many groups: unrelated ones.
    #[default]
    Spread,
    /// Whole groups, whose related chunks are hard negatives.
    Group,
}

/// What the retriever is at the beginning of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RetrieverStart {
    /// What it is.
    #[default]
    Keep,
    /// A copy of the language model's decoder.
    Lm,
}

/// Which weights are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Adaptation {
    /// All.
    #[default]
    Full,
    /// Low-rank adapters beside frozen weights.
    Lora,
}

impl ObjectiveKind {
    /// The name of a stage that has no other.
    pub fn name(self) -> &'static str {
        match self {
            Self::Revela => "revela",
            Self::Contrastive => "contrastive",
            Self::Lm => "lm",
        }
    }
}
