//! What is known of passages beside their texts, from a file of JSON lines.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use anyhow::Result;
use revela_base::record::{Record, from_json};
use revela_base::text_lines::{Line, TextLines};
use revela_index::Duplicates;
use revela_index::payload::Payload;
use revela_text::BadInput;

use super::super::reading::Reading;
use crate::Context;

/// Payloads by the id of their passage.
#[derive(Default)]
pub(super) struct Payloads {
    path: PathBuf,
    by_id: HashMap<String, Known>,
    /// Lines that were left out, and what the first of them was about.
    skipped: (u64, String),
}

struct Known {
    /// Nothing where the line has no `metadata`.
    payload: Option<Payload>,
    is_used: bool,
}

impl Payloads {
    /// Reads a file whose lines have `_id` and `metadata`, an object; other fields, such as those of a whole
    /// document, are passed over. `duplicates` says what an id that comes again means, as it does for passages.
    pub(super) fn read(path: &Path, reading: &Reading, duplicates: Duplicates) -> Result<Self> {
        let mut lines = TextLines::open(path)?;
        if let Some(longest) = reading.longest() {
            lines = lines.with_longest(longest);
        }
        let mut payloads = Self { path: path.to_owned(), ..Self::default() };
        loop {
            let line = match lines.read()? {
                None => return Ok(payloads),
                Some(Line::Text(text)) if text.trim().is_empty() => continue,
                Some(Line::Text(text)) => from_json::<Record<Payload>>(text)
                    .map_err(|e| format!("not a JSON object with _id and metadata: {e}")),
                Some(Line::Bad(_, detail)) => Err(detail),
            };
            match line.map_err(|detail| lines.error(detail)) {
                Ok(record) => payloads.insert(record, duplicates).map_err(|detail| lines.error(detail))?,
                Err(error) if reading.bad_input() == BadInput::Skip => payloads.skip(&error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn insert(&mut self, record: Record<Payload>, duplicates: Duplicates) -> Result<(), String> {
        let known = Known { payload: record.metadata, is_used: false };
        match self.by_id.entry(record.id) {
            Entry::Vacant(place) => drop(place.insert(known)),
            Entry::Occupied(place) if duplicates == Duplicates::Refuse => {
                return Err(format!(
                    "the id {:?} occurs twice; --duplicates last-wins takes the last",
                    place.key()
                ));
            }
            Entry::Occupied(mut place) => drop(place.insert(known)),
        }
        Ok(())
    }

    fn skip(&mut self, error: &str) {
        if self.skipped.0 == 0 {
            error.clone_into(&mut self.skipped.1);
        }
        self.skipped.0 += 1;
    }

    /// The payload of a passage. Passages with the same id have the same.
    pub(super) fn of(&mut self, id: &str) -> Payload {
        self.by_id.get_mut(id).map_or_else(Payload::default, |known| {
            known.is_used = true;
            known.payload.clone().unwrap_or_default()
        })
    }

    /// Says what was left out, and what belongs to no passage.
    pub(super) fn say_unused(&self, context: &Context) {
        let path = self.path.display();
        if self.skipped.0 > 0 {
            let (count, first) = &self.skipped;
            context.progress.line(&format!("skipped {count} lines of {path}, first {first}"));
        }
        if !self.by_id.is_empty() && self.by_id.values().all(|known| known.payload.is_none()) {
            let text = format!(
                "no line of {path} has `metadata`, an object of fields, so there are none to filter by"
            );
            context.progress.line(&text);
        }
        let unused = || self.by_id.iter().filter(|(_, known)| !known.is_used).map(|(id, _)| id);
        if let Some(example) = unused().min() {
            let count = unused().count();
            let text =
                format!("{count} lines of {path} are of no passage that was read, such as {example:?}");
            context.progress.line(&text);
        }
    }
}
