//! One opened shard of a collection: vectors, ids, texts and what is deleted.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use revela_base::checksum::Checksum;
use revela_base::file::FileError;
use revela_base::interrupt::{Interrupt, Interrupted};
use revela_base::progress::Progress;

use super::manifest::{Settings, ShardEntry};
use crate::bm25::TextIndex;
use crate::error::Error;
use crate::info::{ShardInfo, ShardKind};
use crate::lane::Parts;
use crate::measure::{Live, Sample};
use crate::recall::RecallCurve;
use crate::rowset::RowSet;
use crate::shard::Shard;
use crate::vectors::Rows;

/// A shard with its texts, which are opened when first asked for.
pub(crate) struct ShardHandle {
    dir: PathBuf,
    entry: ShardEntry,
    shard: Shard,
    texts: OnceLock<TextIndex>,
    deleted: Option<RowSet>,
}

impl ShardHandle {
    pub(super) fn open(dir: &Path, settings: &Settings, entry: &ShardEntry) -> Result<Self, FileError> {
        let path = dir.join(entry.shard_file());
        let shard = Shard::open(&path)?;
        let dim = settings.vectors.as_ref().map_or(0, |vectors| vectors.dim);
        if shard.identity() != entry.identity || shard.len() != entry.rows || shard.header().dim != dim {
            return Err(FileError::corrupt(&path, "it is not the shard that the manifest names"));
        }
        let deleted = match &entry.deleted {
            None => None,
            Some(deleted) => {
                let path = dir.join(&deleted.file);
                let set = RowSet::read(&path, entry.rows)?;
                if set.count() != deleted.rows {
                    return Err(FileError::corrupt(&path, "it is not the set that the manifest names"));
                }
                Some(set)
            }
        };
        Ok(Self { dir: dir.to_owned(), entry: entry.clone(), shard, texts: OnceLock::new(), deleted })
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// What was measured of its graph.
    pub(crate) fn curve(&self) -> Option<&RecallCurve> {
        self.entry.recall.as_ref()
    }

    /// Measures its graph, with rows or with queries that are as the metric wants them; nothing where there is none.
    pub(super) fn measure(
        &self,
        queries: Option<Rows<'_>>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Option<RecallCurve>, Interrupted> {
        let Some(parts) = Parts::of(&self.shard) else { return Ok(None) };
        let is_live = |row| self.is_live(row);
        let condition = self.deleted.as_ref().map(|_| &is_live as &(dyn Fn(u32) -> bool + Sync));
        let live = Live { count: self.live_rows(), condition };
        let sample = match queries {
            Some(queries) => Sample::of_queries(queries, parts, live, progress, interrupt)?,
            None => Sample::of_rows(parts, live, progress, interrupt)?,
        };
        sample.curve(parts, live, interrupt)
    }

    pub(crate) fn rows(&self) -> u32 {
        self.entry.rows
    }

    pub(crate) fn live_rows(&self) -> u32 {
        self.entry.rows - self.entry.deleted.as_ref().map_or(0, |deleted| deleted.rows)
    }

    pub(super) fn info(&self) -> ShardInfo {
        let kind = match (self.shard.rows(), self.shard.graph()) {
            (None, _) => ShardKind::TextOnly,
            (Some(_), None) => ShardKind::Flat,
            (Some(_), Some(_)) => ShardKind::Graph,
        };
        ShardInfo {
            name: self.entry.name.clone(),
            rows: self.rows(),
            deleted: self.rows() - self.live_rows(),
            bytes: self.shard.file_length(),
            kind,
            recall: self.entry.recall.clone(),
        }
    }

    pub(crate) fn is_live(&self, row: u32) -> bool {
        self.deleted.as_ref().is_none_or(|deleted| !deleted.contains(row))
    }

    /// The live row with this id.
    pub(crate) fn find(&self, id: &str) -> Result<Option<u32>, FileError> {
        Ok(self.shard.find(id)?.filter(|&row| self.is_live(row)))
    }

    /// The text index; an error where the collection has no texts.
    pub(crate) fn texts(&self) -> Result<&TextIndex, Error> {
        if let Some(texts) = self.texts.get() {
            return Ok(texts);
        }
        let opened = self.open_texts()?;
        Ok(self.texts.get_or_init(|| opened))
    }

    fn open_texts(&self) -> Result<TextIndex, Error> {
        let folder = self.dir.join(self.entry.text_folder());
        let Some(files) = &self.entry.texts else {
            return Err(Error::Unsupported("the collection has no texts, only vectors".to_owned()));
        };
        for (name, entry) in files {
            let path = folder.join(name);
            let length = std::fs::metadata(&path).map_err(FileError::io("open", &path))?.len();
            if length != entry.bytes {
                let detail = format!("it has {length} bytes where the manifest says {}", entry.bytes);
                return Err(FileError::corrupt(&path, detail).into());
            }
        }
        let texts = TextIndex::open(&folder)?;
        if texts.len() != self.entry.rows {
            let detail = format!("it has {} rows where the manifest says {}", texts.len(), self.entry.rows);
            return Err(FileError::corrupt(&folder, detail).into());
        }
        Ok(texts)
    }

    /// Fails when something that was read was not there (see [`crate::survive_truncated_files`]).
    pub(crate) fn check(&self) -> Result<(), FileError> {
        self.shard.check()?;
        self.texts.get().map_or(Ok(()), TextIndex::check)
    }

    /// Whether the shard's file has all of its bytes, and nothing of the texts was found missing so far.
    pub(super) fn is_whole(&self) -> bool {
        self.shard.is_whole() && self.check().is_ok()
    }

    /// Reads every byte of the shard and compares it with the checksums.
    pub(super) fn verify(&self) -> Result<(), Error> {
        self.shard.verify()?;
        for (name, entry) in self.entry.texts.iter().flatten() {
            let path = self.dir.join(self.entry.text_folder()).join(name);
            if Checksum::of_file(&path)? != entry.blake3 {
                return Err(FileError::corrupt(&path, "its checksum does not match the manifest").into());
            }
        }
        if self.entry.texts.is_some() {
            self.texts()?;
        }
        Ok(())
    }
}
