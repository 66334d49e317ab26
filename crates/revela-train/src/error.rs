//! What can go wrong in training.

use std::path::PathBuf;

use revela_base::file::FileError;
use revela_base::interrupt::Interrupted;
use revela_model::ModelError;
use revela_text::TextError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A file could not be read or written, or is damaged.
    #[error(transparent)]
    File(#[from] FileError),
    /// A model could not be opened, run or written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The groups could not be read.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A configuration file that cannot be understood.
    #[error("{}: {detail}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// Where and why.
        detail: String,
    },
    /// A setting that no run can have.
    #[error("setting {key}: {detail}")]
    Setting {
        /// Its name, as in the configuration file.
        key: &'static str,
        /// Why, and what would be possible.
        detail: String,
    },
    /// A run that cannot go on from its checkpoint.
    #[error("{} cannot be resumed: {detail}", path.display())]
    Resume {
        /// The run's folder.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// A loss or a gradient is no longer a number.
    #[error(
        "{what} became {value} at step {step} of stage {stage}, on the chunks {chunks}; the models before \
         that step are in {}; a lower learning rate or clip usually helps", checkpoint.display()
    )]
    Diverged {
        /// The stage's name.
        stage: String,
        /// The step, counted from 1.
        step: u64,
        /// Which number it is, by the name that it has in the log.
        what: String,
        /// NaN or infinite.
        value: f64,
        /// The batch's chunks.
        chunks: String,
        /// What was saved.
        checkpoint: PathBuf,
    },
    /// The held-out evaluation failed.
    #[error("evaluation: {0}")]
    Evaluation(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The work was asked to stop where nothing could be saved yet.
    #[error("interrupted")]
    Interrupted(#[from] Interrupted),
}

impl TrainError {
    /// A setting that cannot be.
    pub(crate) fn setting(key: &'static str, detail: impl Into<String>) -> Self {
        Self::Setting { key, detail: detail.into() }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, TrainError>;
