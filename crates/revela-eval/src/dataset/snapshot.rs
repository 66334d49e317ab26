//! Where a data set's files lie: in a folder, or in the hub's cache.

use std::fs;
use std::path::{Path, PathBuf};

use revela_base::artifact::{Artifact, MANIFEST};
use revela_base::file::FileError;
use serde::{Deserialize, Serialize};

use crate::error::EvalError;

/// Format of the manifest of a folder that was fetched from the hub.
pub const FORMAT: &str = "revela.hub-snapshot";
/// Its version.
pub const VERSION: u32 = 1;

/// What such a manifest says besides the files' checksums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// The data set's name on the hub, `org/name`.
    pub repo: String,
    /// The commit that was fetched.
    pub revision: String,
    /// The task of the catalogue for which it was fetched.
    pub task: String,
}

/// Checks every file of a folder that was fetched; folders without a manifest are taken as they are.
pub(super) fn check(root: &Path) -> Result<(), FileError> {
    if !root.join(MANIFEST).exists() {
        return Ok(());
    }
    Artifact::<SnapshotInfo>::open(root, FORMAT, VERSION..=VERSION)?.verify()
}

/// The folder that holds the files: the newest snapshot for a folder of the hub's cache, else the folder
/// itself.
pub(super) fn resolve(dir: &Path) -> Result<PathBuf, EvalError> {
    let snapshots = dir.join("snapshots");
    if !snapshots.is_dir() {
        return Ok(dir.to_owned());
    }
    if let Ok(revision) = fs::read_to_string(dir.join("refs").join("main")) {
        let named = snapshots.join(revision.trim());
        if named.is_dir() {
            return Ok(named);
        }
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&snapshots).map_err(FileError::io("list", &snapshots))? {
        found.push(entry.map_err(FileError::io("list", &snapshots))?.path());
    }
    found.retain(|path| path.is_dir());
    match <[PathBuf; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(found) => Err(EvalError::BadSetting {
            name: "the data set in the hub's cache",
            value: format!("{} with {} snapshots", dir.display(), found.len()),
            expected: "one with refs/main or a single snapshot; name the snapshot's folder instead",
        }),
    }
}

/// The folder beside `dir` that holds its judgements: `scifact-qrels` for `scifact`, `cosqa-qrels` for
/// `cosqa-queries-corpus`.
pub(super) fn qrels_beside(dir: &Path) -> Result<Option<PathBuf>, EvalError> {
    let Some(name) = dir.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    let name = name.strip_suffix("-queries-corpus").unwrap_or(name);
    let beside = dir.with_file_name(format!("{name}-qrels"));
    if beside.is_dir() { Ok(Some(resolve(&beside)?)) } else { Ok(None) }
}

/// The folder of a data set `org/name` in a cache of the hub.
pub fn in_hub_cache(cache: &Path, repo: &str) -> PathBuf {
    cache.join(format!("datasets--{}", repo.replace('/', "--")))
}
