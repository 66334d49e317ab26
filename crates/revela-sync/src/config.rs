//! Which folder goes into which collection, and how.

use std::path::{Path, PathBuf};

use revela_base::file::FileError;
use revela_index::Collection;
use revela_index::bm25::Analyser;
use revela_text::{ChunkerConfig, Links};
use serde::{Deserialize, Serialize};

use crate::store;

/// The folder inside of a synced one where its collection stands unless another place is given.
const HOME: &str = ".revela";

/// The collection's name in there.
const COLLECTION: &str = "collection";

const FORMAT: &str = "revela.sync";
const VERSION: u32 = 1;

/// The longest text that is taken where nothing else is said, in bytes.
pub(crate) const LONGEST: u64 = 1 << 20;

/// A folder, the collection that is to hold it, and what was asked for beside.
///
/// What is not asked for is as it was when the collection was made, or usual in a new one.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
    /// The collection's folder.
    pub collection: PathBuf,
    /// Most words of a chunk.
    pub chunk_size: Option<usize>,
    /// The longest text that is taken, in bytes.
    pub max_bytes: Option<u64>,
    /// Symbolic links.
    pub links: Option<Links>,
    /// How texts are split into terms; what most files are decides where nothing is said.
    pub analyser: Option<Analyser>,
    /// The encoder as it is named, to be found again.
    pub encoder: Option<String>,
}

impl Folder {
    /// This folder, into its usual collection.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            collection: default_collection(path),
            chunk_size: None,
            max_bytes: None,
            links: None,
            analyser: None,
            encoder: None,
        }
    }

    /// The settings of a new collection.
    pub(crate) fn settings(&self) -> Settings {
        let usual = ChunkerConfig::default();
        let size = self.chunk_size.unwrap_or(usual.size);
        Settings {
            format: FORMAT.to_owned(),
            version: VERSION,
            chunker: ChunkerConfig { size, ..usual },
            max_bytes: self.max_bytes.unwrap_or(LONGEST),
            links: self.links.unwrap_or_default(),
            encoder: self.encoder.clone(),
        }
    }
}

/// Where a folder's collection stands unless another place is given: `FOLDER/.revela/collection`.
pub fn default_collection(folder: &Path) -> PathBuf {
    folder.join(HOME).join(COLLECTION)
}

/// Whether a collection stands in the usual place of the folder that it holds.
pub(crate) fn home_of(collection: &Path) -> Option<&Path> {
    let home = collection.parent()?;
    let is_usual = home.file_name()? == HOME && collection.file_name()? == COLLECTION;
    is_usual.then_some(home)
}

/// The folder that a synced collection holds; nothing for other collections.
pub fn folder_of(collection: &Collection) -> Option<PathBuf> {
    Settings::of(collection)?;
    let path = std::path::absolute(collection.path()).ok()?;
    match home_of(&path).and_then(Path::parent) {
        Some(folder) => Some(folder.to_owned()),
        None => store::folder(&path).ok().map(PathBuf::from),
    }
}

/// How a collection is kept; stored in it, and the same as long as it lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    format: String,
    version: u32,
    /// How documents are cut.
    pub chunker: ChunkerConfig,
    /// The longest text that is taken, in bytes.
    pub max_bytes: u64,
    /// What happens to symbolic links.
    pub links: Links,
    /// The encoder as it was named when the collection was made; nothing without vectors.
    pub encoder: Option<String>,
}

/// Where the settings stand in a collection's own.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) sync: Settings,
}

impl Settings {
    /// The settings of a collection; nothing where it was not made by sync.
    pub fn of(collection: &Collection) -> Option<Self> {
        let stored: Stored = serde_json::from_value(collection.chunker()?.clone()).ok()?;
        (stored.sync.format == FORMAT).then_some(stored.sync)
    }

    /// Checks that this program knows the rules by which the collection is kept.
    pub(crate) fn check_version(&self, collection: &Path) -> Result<(), FileError> {
        revela_base::file::check_version(collection, FORMAT, self.version, VERSION..=VERSION)
    }
}
