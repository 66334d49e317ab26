//! The one file that says what a collection is.
//!
//! Everything else in the folder is immutable and gets a new name when it changes, so replacing the
//! manifest is the moment at which a change happens. It is a file of framed JSON lines (see
//! [`revela_base::lines`]): the settings in the header, then one record per shard.

use std::collections::BTreeMap;
use std::path::Path;

use revela_base::artifact::FileEntry;
use revela_base::checksum::Checksum;
use revela_base::file::FileError;
use revela_base::lines::{LinesReader, LinesWriter};
use revela_base::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::bm25::Analyser;
use crate::error::Error;
use crate::metric::{self, Metric, Zeros};
use crate::options::VectorOptions;
use crate::recall::RecallCurve;
use crate::vectors::Dtype;

pub(super) const FORMAT: &str = "revela.collection";
const VERSION: u32 = 1;
pub(super) const FILE: &str = "manifest.jsonl";

/// The vectors of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VectorSpace {
    /// Length of every vector.
    pub dim: u32,
    /// Type of the stored numbers.
    pub dtype: Dtype,
    /// How they are compared.
    pub metric: Metric,
    /// Fingerprint of the encoder that made them; nothing for vectors that came from elsewhere.
    pub encoder: Option<Checksum>,
}

impl VectorSpace {
    /// Checks that a vector can be searched for, and makes it what the metric wants. `number` names it in
    /// errors.
    pub(crate) fn prepare_query(&self, number: usize, zeros: Zeros, vector: &mut [f32]) -> Result<(), Error> {
        let (expected, found) = (self.dim as usize, vector.len());
        if found != expected {
            return Err(Error::Dimension { what: format!("query {number}"), expected, found });
        }
        metric::prepare(self.metric, zeros, "the queries", number as u64, expected, vector)
    }

    /// Refuses an encoder that did not make the vectors of the collection at `path`.
    pub(super) fn check_encoder(&self, path: &Path, found: Checksum) -> Result<(), Error> {
        if self.encoder == Some(found) {
            return Ok(());
        }
        let expected = self.encoder.map_or("nobody (its vectors were given)".to_owned(), |e| e.to_string());
        Err(Error::WrongEncoder { path: path.to_owned(), expected, found })
    }
}

/// The texts of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TextSpace {
    /// How they are split into terms.
    pub analyser: Analyser,
}

/// How a collection was built; what is appended later is built the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BuildParameters {
    /// Rows after which a shard is closed and the next begun.
    pub shard_rows: u32,
    /// Fixes everything that is drawn at random.
    pub seed: Seed,
    /// How vectors are made quick to search.
    pub vectors: VectorOptions,
}

/// What holds for the whole collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// Counts the changes.
    pub(super) generation: u64,
    /// Number of the next shard; numbers are never used again.
    pub(super) next_shard: u64,
    pub(super) vectors: Option<VectorSpace>,
    pub(super) texts: Option<TextSpace>,
    /// How documents were cut into passages, as whoever cut them describes it.
    pub(super) chunker: Option<serde_json::Value>,
    pub(super) build: BuildParameters,
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShardEntry {
    /// File names begin with it.
    pub(super) name: String,
    pub(super) rows: u32,
    /// The checksum of the shard file's header, which holds those of its sections.
    pub(super) identity: Checksum,
    /// Files of the text index, by name in its folder; nothing without texts.
    pub(super) texts: Option<BTreeMap<String, FileEntry>>,
    pub(super) deleted: Option<Deleted>,
    /// What its graph finds; nothing where there is none or nobody has measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recall: Option<RecallCurve>,
}

/// The rows of a shard that no longer count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Deleted {
    pub(super) file: String,
    pub(super) rows: u32,
}

impl ShardEntry {
    /// The number that is its name.
    pub(super) fn number(&self) -> Option<u64> {
        self.name.parse().ok()
    }

    pub(super) fn shard_file(&self) -> String {
        shard_file(&self.name)
    }

    pub(super) fn text_folder(&self) -> String {
        text_folder(&self.name)
    }
}

pub(super) fn shard_file(name: &str) -> String {
    format!("{name}.shard")
}

pub(super) fn text_folder(name: &str) -> String {
    format!("{name}.text")
}

/// The manifest's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) settings: Settings,
    pub(super) shards: Vec<ShardEntry>,
}

impl Manifest {
    pub(super) fn exists(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    pub(super) fn read(dir: &Path) -> Result<Self, FileError> {
        Self::read_from(&dir.join(FILE), FORMAT)
    }

    pub(super) fn read_from(path: &Path, format: &str) -> Result<Self, FileError> {
        let (reader, settings) = LinesReader::open(path, format, VERSION..=VERSION)?;
        let manifest = Self { settings, shards: reader.collect::<Result<_, _>>()? };
        manifest.check(path)?;
        Ok(manifest)
    }

    /// Names lead to files, so they may hold nothing but what we put there.
    fn check(&self, path: &Path) -> Result<(), FileError> {
        let plain = |name: &str| {
            !name.is_empty()
                && !name.starts_with('.')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        for shard in &self.shards {
            let texts = shard.texts.iter().flat_map(BTreeMap::keys);
            // tantivy keeps a list of its files under a name with a leading dot.
            let mut inner = texts.map(|name| name.strip_prefix('.').unwrap_or(name));
            let deleted = shard.deleted.iter().all(|deleted| plain(&deleted.file));
            if !plain(&shard.name) || !deleted || !inner.all(plain) {
                let detail = format!("shard {:?} names a file outside of the collection", shard.name);
                return Err(FileError::corrupt(path, detail));
            }
            if shard.texts.is_some() != self.settings.texts.is_some() || shard.rows == 0 {
                let detail = format!("shard {:?} is not of this collection's kind", shard.name);
                return Err(FileError::corrupt(path, detail));
            }
        }
        Ok(())
    }

    /// Makes this the collection's state. Whatever it names must already be on disk.
    pub(super) fn publish(&self, dir: &Path) -> Result<(), FileError> {
        self.write_to(&dir.join(FILE), FORMAT)
    }

    pub(super) fn write_to(&self, path: &Path, format: &str) -> Result<(), FileError> {
        let mut writer = LinesWriter::create(path, format, VERSION, &self.settings)?;
        self.shards.iter().try_for_each(|shard| writer.push(shard))?;
        writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hnsw::GraphOptions;

    /// Manifests that were written before graphs were measured are read.
    #[test]
    fn what_older_manifests_lack_is_nothing() {
        let checksum = Checksum::of(b"x");
        let entry =
            format!(r#"{{"name":"000000","rows":3,"identity":"{checksum}","texts":null,"deleted":null}}"#);
        let entry: ShardEntry = serde_json::from_str(&entry).unwrap();
        assert_eq!(entry.recall, None);
        assert!(!serde_json::to_string(&entry).unwrap().contains("recall"));
        let graph = r#"{"m":16,"ef-construction":100,"order":"parallel"}"#;
        assert_eq!(serde_json::from_str::<GraphOptions>(graph).unwrap(), GraphOptions::default());
    }
}
