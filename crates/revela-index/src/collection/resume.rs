//! Shards that a build or an addition had finished before it was killed.
//!
//! While it is at work a file like a manifest stands beside the shards: the settings that the change began
//! from, and the full shards that it has made. Whoever starts the change again reads its passages again; as
//! long as they are those of the next finished shard, nothing is made. Where they differ, the rows before are
//! taken over from that shard, and all goes on as if it had never been.

use std::collections::VecDeque;
use std::path::Path;

use revela_base::file::FileError;
use revela_search::{Duplicates, Passage};

use super::handle::ShardHandle;
use super::manifest::{Manifest, Settings, ShardEntry};
use crate::error::Error;
use crate::payload::Payload;

/// Its name in a collection's folder.
pub(super) const FILE: &str = "unfinished.jsonl";

const FORMAT: &str = "revela.collection.unfinished";

/// The shards that a change from these settings has finished. A file that is damaged or of another change is
/// as good as none: the shards are made again.
pub(super) fn finished(dir: &Path, settings: &Settings) -> Vec<ShardEntry> {
    match Manifest::read_from(&dir.join(FILE), FORMAT) {
        Ok(noted) if noted.settings == *settings => noted.shards,
        _ => Vec::new(),
    }
}

/// Notes what a change has finished so far.
pub(super) fn note(dir: &Path, began: &Settings, shards: &[ShardEntry]) -> Result<(), FileError> {
    let noted = Manifest { settings: began.clone(), shards: shards.to_vec() };
    noted.write_to(&dir.join(FILE), FORMAT)
}

/// One row as it will be stored.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) passage: &'a Passage,
    pub(super) payload: Option<&'a Payload>,
    pub(super) vector: &'a [f32],
}

/// Compares rows with the finished shards, in order.
pub(super) struct Finished {
    waiting: VecDeque<ShardEntry>,
    begun: Option<Begun>,
    /// Shard numbers from here on are free.
    pub(super) beyond: u64,
}

/// A finished shard whose first rows have come again.
pub(super) struct Begun {
    entry: ShardEntry,
    shard: ShardHandle,
    rows: u32,
}

/// What a row is to the finished shards.
pub(super) enum Known {
    /// None of theirs.
    No,
    /// None of theirs, while those before it were.
    NoLonger(Begun),
    /// The next row of one.
    Row,
    /// The last row of one.
    LastOf(ShardEntry, ShardHandle),
}

impl Finished {
    /// What a change from these settings has finished. Where rows replace others nothing can be gone on from,
    /// because they have changed the shards that were finished.
    pub(super) fn of(dir: &Path, settings: &Settings, duplicates: Duplicates) -> Self {
        let mut shards = finished(dir, settings);
        let beyond = shards.iter().filter_map(ShardEntry::number).max().map_or(0, |last| last + 1);
        if duplicates == Duplicates::LastWins {
            shards.clear();
        }
        Self { waiting: shards.into(), begun: None, beyond }
    }

    pub(super) fn compare(&mut self, dir: &Path, settings: &Settings, row: Row<'_>) -> Result<Known, Error> {
        let begun = self.begun.take().or_else(|| {
            let entry = self.waiting.pop_front()?;
            let shard = ShardHandle::open(dir, settings, &entry).ok()?;
            Some(Begun { entry, shard, rows: 0 })
        });
        let Some(mut begun) = begun else {
            self.waiting.clear();
            return Ok(Known::No);
        };
        if !begun.next_is(row)? {
            self.waiting.clear();
            return Ok(if begun.rows == 0 { Known::No } else { Known::NoLonger(begun) });
        }
        begun.rows += 1;
        if begun.rows == begun.entry.rows {
            return Ok(Known::LastOf(begun.entry, begun.shard));
        }
        self.begun = Some(begun);
        Ok(Known::Row)
    }

    /// The shard of which not all rows came again, when no more come.
    pub(super) fn give_up(&mut self) -> Option<Begun> {
        self.waiting.clear();
        self.begun.take()
    }
}

impl Begun {
    fn next_is(&self, row: Row<'_>) -> Result<bool, Error> {
        let shard = self.shard.shard();
        let vector = shard.rows().and_then(|rows| rows.get(self.rows)).unwrap_or_default();
        let payload = shard.payload(self.rows)?;
        let same_payload = row.payload.map_or(payload.is_empty(), |given| *given == payload);
        if shard.id(self.rows)? != row.passage.id || vector != row.vector || !same_payload {
            return Ok(false);
        }
        Ok(self.entry.texts.is_none() || self.shard.texts()?.passage(self.rows)? == *row.passage)
    }

    /// Hands out the rows that came again.
    pub(super) fn each_row(self, mut each: impl FnMut(Row<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let shard = self.shard.shard();
        for row in 0..self.rows {
            let passage = match self.entry.texts {
                Some(_) => self.shard.texts()?.passage(row)?,
                None => Passage { id: shard.id(row)?.to_owned(), title: String::new(), text: String::new() },
            };
            let payload = shard.payload(row)?;
            let vector = shard.rows().and_then(|rows| rows.get(row)).unwrap_or_default();
            each(Row { passage: &passage, payload: Some(&payload), vector: &vector })?;
        }
        Ok(())
    }
}
