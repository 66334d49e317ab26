//! The Hugging Face hub, for models and data sets alike.
//!
//! You hand in a repository's name; you get its files on disk: each resumed where a download broke off, and
//! checked against the checksum that the commit fixes. [`Environment`] is what the hub's own tools read from
//! the environment: address, cache, token, and whether the network may be asked.

mod client;
mod environment;
mod error;
mod remote;

pub use client::{Hub, Repository, Watch};
pub use environment::Environment;
pub use error::HubError;
pub use remote::{Listing, RemoteFile};
