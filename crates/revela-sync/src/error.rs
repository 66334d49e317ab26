//! The crate's error type.

use std::path::PathBuf;

use revela_base::file::FileError;
use revela_base::interrupt::Interrupted;
use revela_text::TextError;

/// What can go wrong while a collection is brought up to date. Unless it says otherwise, the collection is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// A file of ours could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The collection refused.
    #[error(transparent)]
    Index(#[from] revela_index::Error),
    /// The settings of chunks do not fit each other.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Stopped on request.
    #[error("interrupted")]
    Interrupted(#[from] Interrupted),
    /// The folder cannot be looked at.
    #[error("cannot look at the folder {}: {source}; nothing was changed", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// What was given is no folder.
    #[error("{} is not a folder; sync takes a folder, `revela index build` single files", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
    },
    /// The collection was made by something else.
    #[error("the collection {} was not made by sync; give another one with --out", path.display())]
    NotOurs {
        /// The collection.
        path: PathBuf,
    },
    /// The collection holds another folder.
    #[error(
        "the collection {} holds the folder {holds}, not {}; give another one with --out, or --fresh to begin it anew",
        path.display(), asked.display()
    )]
    OtherFolder {
        /// The collection.
        path: PathBuf,
        /// The folder that it holds.
        holds: String,
        /// The folder that was asked for.
        asked: PathBuf,
    },
    /// The collection was made with other settings.
    #[error("the collection {} was made with {what} {has}, not {asked}; --fresh begins it anew", path.display())]
    Settings {
        /// The collection.
        path: PathBuf,
        /// The setting.
        what: &'static str,
        /// Its value in the collection.
        has: String,
        /// The value that was asked for.
        asked: String,
    },
    /// The collection has vectors, and nothing that embeds was given.
    #[error("the collection {} has vectors of the encoder {encoder}; give it with --encoder", path.display())]
    NeedsEncoder {
        /// The collection.
        path: PathBuf,
        /// The encoder as it was named.
        encoder: String,
    },
    /// The collection has no vectors, and an encoder was given.
    #[error("the collection {} has no vectors; --fresh begins it anew with the encoder", path.display())]
    NoVectors {
        /// The collection.
        path: PathBuf,
    },
    /// Changes cannot be watched for at all.
    #[error("cannot watch for changes: {0}; run `revela sync` now and then instead")]
    Watch(String),
}

/// The reason that a stream of passages ended with, without the wrapping of the index.
pub(crate) fn unwrapped(error: revela_index::Error) -> SyncError {
    match error {
        revela_index::Error::Interrupted(interrupted) => interrupted.into(),
        revela_index::Error::Source(source) => match source.downcast::<SyncError>() {
            Ok(error) => *error,
            Err(source) => revela_index::Error::Source(source).into(),
        },
        error => error.into(),
    }
}
