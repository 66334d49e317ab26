//! Getting out again what a collection holds.

use std::io::Write;
use std::path::Path;

use revela_base::file::{AtomicFile, FileError};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_search::Entry;
use serde::Serialize;

use crate::collection::Collection;
use crate::error::Error;
use crate::payload::Payload;
use crate::vectors::RowWriter;

/// A passage as data sets in BEIR's layout have it.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    title: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Payload::is_empty")]
    metadata: &'a Payload,
}

/// Calls `each` with the place of every live row, in order.
fn live_rows(
    collection: &Collection,
    progress: &dyn Progress,
    interrupt: &Interrupt,
    mut each: impl FnMut((u32, u32)) -> Result<(), Error>,
) -> Result<u64, Error> {
    let task = progress.task("export", "passages", Some(collection.len()));
    collection.checked(|| {
        for (number, shard) in (0u32..).zip(collection.handles()) {
            for row in (0..shard.rows()).filter(|&row| shard.is_live(row)) {
                if row % 1024 == 0 {
                    interrupt.check()?;
                }
                each((number, row))?;
                task.advance(1);
            }
        }
        Ok(collection.len())
    })
}

/// Hands out all passages with their payloads and vectors, as they are stored, in blocks of at most `block`.
///
/// # Errors
/// The collection's own damage, [`Error::Interrupted`], and whatever `each` fails with.
pub fn entries<E: From<Error>>(
    collection: &Collection,
    block: usize,
    progress: &dyn Progress,
    interrupt: &Interrupt,
    mut each: impl FnMut(Vec<(Entry, Option<Vec<f32>>)>) -> Result<(), E>,
) -> Result<(), E> {
    let task = progress.task("export", "passages", Some(collection.len()));
    let read = |place| {
        let (passage, payload) = (collection.passage_at(place)?, collection.payload_at(place)?);
        Ok((Entry { passage, payload }, collection.vector_at(place)))
    };
    for (number, shard) in (0u32..).zip(collection.handles()) {
        let live: Vec<u32> = (0..shard.rows()).filter(|&row| shard.is_live(row)).collect();
        for rows in live.chunks(block.max(1)) {
            interrupt.check().map_err(Error::from)?;
            let entries = collection.checked(|| rows.iter().map(|&row| read((number, row))).collect());
            each(entries?)?;
            task.advance(rows.len() as u64);
        }
    }
    Ok(())
}

/// Writes all passages as JSON lines of `_id`, `title`, `text` and, where there is a payload, `metadata`, which is what a collection is built from.
/// Returns how many.
///
/// # Errors
/// [`FileError`] when the disk refuses, [`Error::Unsupported`] for a collection without texts, and the
/// collection's own damage.
pub fn passages(
    collection: &Collection,
    path: &Path,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<u64, Error> {
    if collection.texts().is_none() {
        return Err(Error::Unsupported("the collection has no texts; export its vectors".to_owned()));
    }
    let mut out = AtomicFile::create(path)?;
    let count = live_rows(collection, progress, interrupt, |place| {
        let passage = collection.passage_at(place)?;
        let metadata = &collection.payload_at(place)?;
        let line = Line { id: &passage.id, title: &passage.title, text: &passage.text, metadata };
        let mut json =
            serde_json::to_vec(&line).map_err(|e| FileError::io("encode a line of", path)(e.into()))?;
        json.push(b'\n');
        Ok(out.write_all(&json).map_err(FileError::io("write", path))?)
    })?;
    out.commit()?;
    Ok(count)
}

/// Writes the ids of all passages, a line each. Returns how many.
///
/// # Errors
/// [`FileError`] when the disk refuses or a shard is damaged, [`Error::Unsupported`] for an id that would not be
/// read back: one that is blank or holds a line end.
pub fn ids(
    collection: &Collection,
    path: &Path,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<u64, Error> {
    let mut out = AtomicFile::create(path)?;
    let count = live_rows(collection, progress, interrupt, |place| {
        let id = collection.id_at(place)?;
        if id.trim().is_empty() || id.contains(['\n', '\r']) {
            let detail = format!("the id {id:?} cannot be a line; export vectors as .jsonl, which has ids");
            return Err(Error::Unsupported(detail));
        }
        Ok(writeln!(out, "{id}").map_err(FileError::io("write", path))?)
    })?;
    out.commit()?;
    Ok(count)
}

/// Writes all vectors as they are stored, in the order of [`ids`], to `.npy`, `.fvecs`, `.safetensors` or
/// `.jsonl` (with ids; so does standard output), one after the other. Returns how many.
///
/// # Errors
/// [`FileError`] when the disk refuses or the name has another ending, [`Error::Unsupported`] for a
/// collection without vectors.
pub fn vectors(
    collection: &Collection,
    path: &Path,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<u64, Error> {
    let Some(space) = collection.vectors() else {
        return Err(Error::Unsupported("the collection has no vectors; export its passages".to_owned()));
    };
    let mut out = RowWriter::create(path, collection.len(), space.dim as usize)?;
    let count = live_rows(collection, progress, interrupt, |place| {
        let vector = collection.vector_at(place).unwrap_or_default();
        out.push(collection.id_at(place)?, &vector)
    })?;
    out.finish()?;
    Ok(count)
}
