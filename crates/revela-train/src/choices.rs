//! The choices that settings offer by name.

use serde::{Deserialize, Serialize};

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectiveKind {
    /// Next-token prediction of chunks that read each other as far as the retriever finds them similar.
    Revela,
    /// Two texts of one chunk attract each other; the rest of the batch repels.
    Contrastive,
    /// The likelihood of a chunk, given another, under a frozen language model is the target (REPLUG).
    Replug,
    /// The same with what would be asked for a chunk (ART).
    QueryLikelihood,
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

/// What asks for a chunk: the retriever's query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum QueryText {
    /// The first half of its tokens.
    #[default]
    FirstHalf,
    /// All of it.
    Whole,
    /// What somebody would ask for it, cut out of it: a doc comment, a heading, a title, a first sentence. Its
    /// passage is the rest, and the language model predicts the query alone.
    Reader,
}

/// How chunks of a batch read each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ReadingKind {
    /// One softmax over the own past and all other chunks: what a pretrained model can do at once.
    #[default]
    Joint,
    /// A softmax per other chunk, added to the own path: what the model has to be trained for first.
    Published,
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

/// Which texts attract each other in the contrastive objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PositivesKind {
    /// Two random crops of a chunk.
    #[default]
    Crops,
    /// What would be asked for a chunk, cut out of it, and the rest. Chunks that ask nothing only repel.
    Reader,
    /// The same, and two crops of chunks that ask nothing.
    ReaderOrCrops,
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
            Self::Replug => "replug",
            Self::QueryLikelihood => "query-likelihood",
            Self::Lm => "lm",
        }
    }
}
