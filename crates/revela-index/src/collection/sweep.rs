//! Removing what no manifest names any more.
//!
//! A change that fails or is killed leaves files that nobody knows, and compaction replaces shards that
//! readers may still have open. A reader holds a shared lock on each shard file that it has mapped, so a
//! shard is removed only where an exclusive lock can be had; one that is in use stays for a later sweep.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use revela_base::file::FileError;

use super::manifest::Manifest;
use super::{resume, spool};

/// What a file in a collection's folder is.
enum Kind {
    /// Named by every manifest, or not of the kind that changes leave behind.
    Fixed,
    /// One that a write which did not finish has left.
    Temporary,
    /// Belongs to the shard of this name.
    OfShard(String),
    /// Nothing that this program makes.
    Foreign,
}

fn kind(name: &str) -> Kind {
    if name == ".lock" || name == spool::FILE || name == resume::FILE || name == super::manifest::FILE {
        return Kind::Fixed;
    }
    if name.starts_with('.') && name.ends_with(".tmp") {
        return Kind::Temporary;
    }
    let (number, kind) = name.split_once('.').unwrap_or_default();
    let numbered = number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit());
    let known = kind == "shard" || kind == "text" || kind.starts_with("deleted-");
    if numbered && known { Kind::OfShard(number.to_owned()) } else { Kind::Foreign }
}

fn entries(dir: &Path) -> Result<Vec<(String, PathBuf)>, FileError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(FileError::io("read", dir))? {
        let path = entry.map_err(FileError::io("read", dir))?.path();
        entries.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path));
    }
    entries.sort();
    Ok(entries)
}

/// Refuses a folder in which anything stands that is not left over from a collection.
pub(super) fn refuse_foreign(dir: &Path) -> Result<(), FileError> {
    let foreign = entries(dir)?.into_iter().find(|(name, _)| matches!(kind(name), Kind::Foreign));
    match foreign {
        Some((_, path)) => Err(FileError::Exists { path }),
        None => Ok(()),
    }
}

/// Removes what neither the manifest names nor a change that was begun from it has finished, and nobody has
/// open. Called under the folder's lock.
pub(super) fn sweep(dir: &Path, manifest: &Manifest) -> Result<(), FileError> {
    let finished = resume::finished(dir, &manifest.settings);
    if finished.is_empty() {
        spool::remove_if_there(&dir.join(resume::FILE))?;
    }
    let shards = || manifest.shards.iter().chain(&finished);
    let named: BTreeSet<&str> = shards().map(|shard| shard.name.as_str()).collect();
    let deleted: BTreeSet<&str> = shards().flat_map(|s| &s.deleted).map(|d| d.file.as_str()).collect();
    let mut in_use = BTreeSet::new();
    // A shard's file sorts before its texts, so what is in use is known when they come.
    for (name, path) in entries(dir)? {
        match kind(&name) {
            Kind::Temporary => remove(&path)?,
            Kind::OfShard(shard) if named.contains(shard.as_str()) => {
                let replaced = name.contains(".deleted-") && !deleted.contains(name.as_str());
                if replaced {
                    remove(&path)?;
                }
            }
            Kind::OfShard(shard) if name.ends_with(".shard") => {
                let removed = remove_unused(&path)?;
                if !removed {
                    in_use.insert(shard);
                }
            }
            Kind::OfShard(shard) if !in_use.contains(&shard) => remove(&path)?,
            _ => {}
        }
    }
    Ok(())
}

/// Removes a shard's file unless a reader has it open.
fn remove_unused(path: &Path) -> Result<bool, FileError> {
    let file = File::open(path).map_err(FileError::io("open", path))?;
    // Where there are no locks, readers have none either, and a mapped file outlives its name.
    if matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) {
        return Ok(false);
    }
    remove(path).map(|()| true)
}

fn remove(path: &Path) -> Result<(), FileError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(FileError::io("remove", path))
}
