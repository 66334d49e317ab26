//! Settings that are one of a few words.

use serde::{Deserialize, Serialize};

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Searching and embedding.
    #[default]
    ReadOnly,
    /// Adding and deleting documents too.
    ReadWrite,
}

/// Whether texts are joined into batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Joining {
    /// As many as the budget has room for.
    #[default]
    Budget,
    /// Every request by itself: the plain twin, for comparison.
    Off,
}

/// What happens when a client asks for shorter vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dimensions {
    /// It is refused: a cut vector is worth something only where the encoder was trained for it.
    #[default]
    Full,
    /// Vectors are cut and scaled to length 1 again.
    Truncate,
}

/// Who may read `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricsAccess {
    /// Whoever connects from this machine, and whoever has a key.
    #[default]
    Loopback,
    /// Everybody.
    Open,
    /// Whoever has a key.
    Key,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What the operator must see to.
    Error,
    /// What the operator should know.
    Warn,
    /// Every request.
    #[default]
    Info,
    /// Every batch as well.
    Debug,
}
