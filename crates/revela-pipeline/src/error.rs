//! What can go wrong where the crates meet.

use revela_base::embed::EmbedError;
use revela_base::interrupt::Interrupted;
use revela_eval::EvalError;
use revela_index::Error as IndexError;
use revela_model::ModelError;
use revela_text::TextError;
use revela_train::TrainError;

/// An error of this crate; mostly one of those that it joins.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// Documents, chunks or groups.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Models.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Rankings and groups.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Test collections and metrics.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An embedder failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// Stopped on request.
    #[error("interrupted")]
    Interrupted(#[from] Interrupted),
    /// No chunk is worth learning from.
    #[error(
        "nothing is left of the corpus (--keep REASON keeps what a reason left out, --keep-all everything):\n  {}",
        lines.join("\n  ")
    )]
    NothingLeft {
        /// What was left out, reason by reason.
        lines: Vec<String>,
    },
    /// What is left cannot be grouped.
    #[error(
        "{source}\nleft out as not worth learning from (--keep REASON keeps it, --keep-all all):\n  {}",
        lines.join("\n  ")
    )]
    Ungrouped {
        /// Why not.
        source: IndexError,
        /// What was left out, reason by reason.
        lines: Vec<String>,
    },
    /// A score needs a metric.
    #[error("no metric to compare retrievers by; name one")]
    NoMetric,
    /// Settings that cannot be written down.
    #[error("cannot write the settings of the groups: {0}")]
    Settings(#[from] serde_json::Error),
}

/// A result of this crate.
pub type Result<T, E = PipelineError> = std::result::Result<T, E>;
