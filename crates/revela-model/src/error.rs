//! What can go wrong with models.

use std::path::PathBuf;

use revela_base::file::FileError;
use revela_base::interrupt::Interrupted;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read or written, or is damaged.
    #[error(transparent)]
    File(#[from] FileError),
    /// A configuration that no model can have.
    #[error("{}: {detail}", path.display())]
    Config {
        /// The file, or what stands for it.
        path: PathBuf,
        /// Which value is impossible and what would be possible.
        detail: String,
    },
    /// The weights do not fit the configuration.
    #[error("the weights in {} do not fit the model: {detail}", path.display())]
    Weights {
        /// The folder or file with the weights.
        path: PathBuf,
        /// The tensor and what is wrong with it.
        detail: String,
    },
    /// The tokenizer cannot be used, or does not fit the model.
    #[error("tokenizer {}: {detail}", path.display())]
    Tokenizer {
        /// The tokenizer's file, or what stands for it.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A device or dtype that this program cannot use.
    #[error("device: {0}")]
    Device(String),
    /// A model that is neither a folder nor to be had from the hub.
    #[error("model {name}: {detail}")]
    Hub {
        /// What was asked for.
        name: String,
        /// Why it cannot be had.
        detail: String,
    },
    /// A download was stopped.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Adapters are asked for where the model has no layers.
    #[error("{0}")]
    Targets(String),
    /// An adapter that does not fit the model.
    #[error("adapter {}: {detail}", path.display())]
    Adapter {
        /// The adapter's folder.
        path: PathBuf,
        /// Why.
        detail: String,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, ModelError>;
