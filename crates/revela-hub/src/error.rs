//! What can go wrong with the hub.

use std::path::PathBuf;

use revela_base::file::FileError;
use revela_base::interrupt::Interrupted;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The work was stopped.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Nobody answers.
    #[error("cannot reach {address}: {source}")]
    Unreachable {
        /// What was asked for.
        address: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// The hub refuses.
    #[error("{address} answers with status {status}{}", hint(*.status))]
    Status {
        /// What was asked for.
        address: String,
        /// The status of the answer.
        status: u16,
    },
    /// The answer breaks off, or is not what it should be.
    #[error("{address}: {detail}")]
    Answer {
        /// What was asked for.
        address: String,
        /// What is wrong with the answer.
        detail: String,
    },
    /// What came is not what the commit fixes.
    #[error("what {address} gives is not what the commit fixes; {} was removed, try again", path.display())]
    Checksum {
        /// What was asked for.
        address: String,
        /// Where it was put.
        path: PathBuf,
    },
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; is it spelt right, and does HF_TOKEN hold a token that may read it?",
        404 => "; is it spelt right?",
        _ => "",
    }
}
