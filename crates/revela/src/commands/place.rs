//! Which collection is meant: its own folder, or the folder that `revela sync` keeps it for.

use std::path::{Path, PathBuf};

use revela_index::Collection;
use revela_sync::default_collection;

/// The collection at a path, or the one that sync keeps of the folder there.
pub(crate) fn collection_at(path: &Path) -> Option<PathBuf> {
    let kept = default_collection(path);
    [path.to_owned(), kept].into_iter().find(|path| Collection::is_at(path))
}

/// The collection that sync keeps of the folder at hand, or of the nearest one above.
pub(crate) fn nearest() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(default_collection).find(|path| Collection::is_at(path))
}
