//! One file, read and compared with what the collection has of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::SystemTime;

use revela_base::checksum::Checksum;
use revela_index::{Collection, Entry};
use revela_text::{Bad, Chunker, NoDocument};

use crate::convert;
use crate::cut;
use crate::error::SyncError;
use crate::record::{Reason, Record, id};
use crate::scan::Seen;
use crate::stat::Stat;

/// How often a file that changes while it is read is read again.
const ATTEMPTS: usize = 3;

/// What files are compared with, and how they are cut.
pub(crate) struct Examiner<'a> {
    pub(crate) collection: &'a Collection,
    /// What is known of the files.
    pub(crate) known: HashMap<String, Record>,
    pub(crate) chunker: Chunker<'a>,
    pub(crate) longest: u64,
}

/// What a file turned out to be.
pub(crate) enum Finding {
    /// It has the content that the collection has.
    Same(Record),
    /// What has to be done for the collection to have it.
    Other {
        record: Record,
        write: Vec<Entry>,
        remove: Vec<String>,
        /// Why it has no passages, in words.
        detail: String,
    },
    /// It vanished, and these passages are to go.
    Gone(Vec<String>),
    /// Nothing certain could be read of it; what the collection has of it stays.
    Unsettled(Reason, String),
}

/// A file's bytes, and what it looked like when they were read where that tells it from what it becomes next.
enum Reading {
    Whole(Vec<u8>, Option<Stat>),
    TooLong(Option<Stat>),
    Changing,
}

impl Examiner<'_> {
    pub(crate) fn examine(&self, seen: &Seen) -> Result<Finding, SyncError> {
        let limit = seen.form.longest_file(&seen.file, self.longest);
        let (bytes, stat) = match read(&seen.file, limit) {
            Ok(Reading::Whole(bytes, stat)) => (bytes, stat),
            Ok(Reading::TooLong(stat)) => {
                let too_long = NoDocument::too_long(&seen.file, self.longest);
                return self.no_document(seen, Record { stat, ..Record::default() }, too_long);
            }
            Ok(Reading::Changing) => {
                let detail = "it is being written; it comes in when it is left alone".to_owned();
                return Ok(Finding::Unsettled(Reason::Changing, detail));
            }
            Err(error) => return self.unreadable(seen, &error),
        };
        let content = Some(Checksum::of(&bytes));
        if let Some(known) = self.known.get(&seen.path)
            && known.content == content
            && known.chunks.is_some()
        {
            return Ok(Finding::Same(Record { stat, ..known.clone() }));
        }
        let record = Record { stat, content, ..Record::default() };
        match convert::document(&seen.file, seen.path.clone(), bytes, seen.form, self.longest) {
            Ok(document) => {
                self.compare(seen, record, cut::entries(&self.chunker, &document, seen.form), String::new())
            }
            Err(reason) => self.no_document(seen, record, reason),
        }
    }

    /// How many passages of a file the collection holds.
    fn chunks(&self, seen: &Seen) -> Result<u32, SyncError> {
        let known = self.known.get(&seen.path);
        known.map_or(Ok(0), |known| known.chunks_in(self.collection, &seen.path))
    }

    fn unreadable(&self, seen: &Seen, error: &std::io::Error) -> Result<Finding, SyncError> {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                let had = self.chunks(seen)?;
                Ok(Finding::Gone((0..had).map(|ordinal| id(&seen.path, ordinal)).collect()))
            }
            ErrorKind::PermissionDenied => {
                let detail = format!("it cannot be read: {error}");
                let reason = NoDocument::bad(&seen.file, Bad::Unreadable, &detail);
                // What lets it be read need not leave a mark on it, so it is tried again.
                self.no_document(seen, Record::default(), reason)
            }
            _ => Ok(Finding::Unsettled(Reason::Unsure, error.to_string())),
        }
    }

    fn no_document(&self, seen: &Seen, record: Record, why: NoDocument) -> Result<Finding, SyncError> {
        let (reason, detail) = match why {
            NoDocument::Ignored(reason) => (Reason::Ignored(reason), String::new()),
            NoDocument::Bad(reason, revela_text::TextError::BadFile { detail, .. }) => {
                (Reason::Bad(reason), detail)
            }
            NoDocument::Bad(reason, error) => (Reason::Bad(reason), error.to_string()),
        };
        self.compare(seen, Record { left_out: Some(reason), ..record }, Vec::new(), detail)
    }

    /// Compares a file's passages with those that the collection has of it.
    fn compare(
        &self,
        seen: &Seen,
        record: Record,
        entries: Vec<Entry>,
        detail: String,
    ) -> Result<Finding, SyncError> {
        let had = self.chunks(seen)?;
        let has = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let mut write = Vec::new();
        for (ordinal, entry) in (0..).zip(entries) {
            if ordinal >= had || !self.holds(&entry)? {
                write.push(entry);
            }
        }
        let remove = (has..had).map(|ordinal| id(&seen.path, ordinal)).collect();
        Ok(Finding::Other { record: Record { chunks: Some(has), ..record }, write, remove, detail })
    }

    fn holds(&self, entry: &Entry) -> Result<bool, SyncError> {
        let id = &entry.passage.id;
        Ok(self.collection.payload(id)?.as_ref() == Some(&entry.payload)
            && self.collection.passage(id)?.as_ref() == Some(&entry.passage))
    }
}

/// Reads a file that is left alone meanwhile.
fn read(path: &Path, limit: u64) -> std::io::Result<Reading> {
    for _ in 0..ATTEMPTS {
        let at = SystemTime::now();
        let file = File::open(path)?;
        let before = Stat::of(&file.metadata()?);
        let kept = (!before.could_hide_a_change(at)).then_some(before);
        if before.bytes() > limit {
            return Ok(Reading::TooLong(kept));
        }
        let mut bytes = Vec::with_capacity(before.bytes() as usize);
        (&file).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        let after = Stat::of(&file.metadata()?);
        if after == before && bytes.len() as u64 == before.bytes() {
            return Ok(Reading::Whole(bytes, kept));
        }
    }
    Ok(Reading::Changing)
}
