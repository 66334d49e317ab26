//! Files that may have changed, as the stream of passages that a collection is changed by.

use std::collections::{HashSet, VecDeque};

use rayon::prelude::*;
use revela_base::checksum::Checksum;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Task;
use revela_index::Entry;

use crate::error::SyncError;
use crate::examine::{Examiner, Finding};
use crate::record::{Named, Record};
use crate::report::Report;
use crate::scan::Seen;

/// Files that are examined at once.
const BATCH: usize = 64;

/// What was found out about files, to be told once the collection has it.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) records: Vec<Named>,
    pub(crate) gone: Vec<String>,
    /// Passages to be taken out.
    pub(crate) remove: Vec<String>,
}

/// Examines files, a batch at a time.
pub(crate) struct Feed<'a> {
    examiner: &'a Examiner<'a>,
    candidates: std::vec::IntoIter<Seen>,
    ready: VecDeque<Entry>,
    /// Contents of files that are gone.
    moved: HashSet<Checksum>,
    /// Passages handed out since the last portion began.
    rows: usize,
    pub(crate) found: Found,
    pub(crate) report: Report,
    interrupt: Interrupt,
    task: Box<dyn Task>,
}

impl<'a> Feed<'a> {
    pub(crate) fn new(
        examiner: &'a Examiner<'a>,
        candidates: Vec<Seen>,
        moved: HashSet<Checksum>,
        interrupt: &Interrupt,
        task: Box<dyn Task>,
    ) -> Self {
        Self {
            examiner,
            candidates: candidates.into_iter(),
            ready: VecDeque::new(),
            moved,
            rows: 0,
            found: Found::default(),
            report: Report::default(),
            interrupt: interrupt.clone(),
            task,
        }
    }

    /// Paths of files that were not examined yet, or whose passages were not handed out.
    pub(crate) fn open_paths(&self) -> Vec<String> {
        let found = self.found.records.iter().map(|named| &named.path).chain(&self.found.gone);
        found.chain(self.candidates.as_slice().iter().map(|seen| &seen.path)).cloned().collect()
    }

    /// Whether all files were examined and all passages handed out.
    pub(crate) fn is_done(&self) -> bool {
        self.ready.is_empty() && self.candidates.as_slice().is_empty()
    }

    /// Begins a portion. Returns whether there is a passage to hand out.
    pub(crate) fn begin_portion(&mut self) -> Result<bool, SyncError> {
        self.rows = 0;
        while self.ready.is_empty() && !self.candidates.as_slice().is_empty() {
            self.examine()?;
        }
        Ok(!self.ready.is_empty())
    }

    /// The next passage of a portion of about this many, which ends where a file does.
    pub(crate) fn next(&mut self, portion: usize) -> Option<Result<Entry, SyncError>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                self.rows += 1;
                return Some(Ok(entry));
            }
            if self.rows >= portion || self.candidates.as_slice().is_empty() {
                return None;
            }
            if let Err(error) = self.examine() {
                return Some(Err(error));
            }
        }
    }

    fn examine(&mut self) -> Result<(), SyncError> {
        self.interrupt.check()?;
        let batch: Vec<Seen> = self.candidates.by_ref().take(BATCH).collect();
        let findings: Vec<_> = match batch.len() {
            1 => batch.iter().map(|seen| self.examiner.examine(seen)).collect(),
            _ => batch.par_iter().map(|seen| self.examiner.examine(seen)).collect(),
        };
        for (seen, finding) in batch.iter().zip(findings) {
            self.absorb(seen, finding?);
        }
        self.task.advance(batch.len() as u64);
        Ok(())
    }

    fn absorb(&mut self, seen: &Seen, finding: Finding) {
        let known = self.examiner.known.get(&seen.path);
        let named = |record| Named { path: seen.path.clone(), record };
        match finding {
            Finding::Same(record) => {
                match record.left_out {
                    Some(reason) => self.report.leave_out(reason, || seen.path.clone()),
                    None => self.report.files.unchanged += 1,
                }
                self.found.records.push(named(record));
            }
            Finding::Other { record, write, remove, detail } => {
                let is_as_it_was = write.is_empty() && remove.is_empty();
                self.count(seen, known, &record, is_as_it_was, detail);
                self.report.chunks.written += write.len() as u64;
                self.ready.extend(write);
                self.found.remove.extend(remove);
                self.found.records.push(named(record));
            }
            Finding::Gone(remove) => {
                self.report.files.removed += u64::from(known.is_some_and(|known| known.left_out.is_none()));
                self.found.remove.extend(remove);
                self.found.gone.push(seen.path.clone());
            }
            Finding::Unsettled(reason, detail) => {
                self.report.leave_out(reason, || format!("{}: {detail}", seen.path));
                if let Some(known) = known {
                    // It is read again whatever it looks like.
                    self.found.records.push(named(Record { stat: None, ..known.clone() }));
                }
            }
        }
    }

    fn count(
        &mut self,
        seen: &Seen,
        known: Option<&Record>,
        record: &Record,
        is_as_it_was: bool,
        detail: String,
    ) {
        let files = &mut self.report.files;
        let had = known.is_some_and(|known| known.left_out.is_none());
        match record.left_out {
            Some(reason) => {
                files.removed += u64::from(had && !is_as_it_was);
                self.report.leave_out(reason, || format!("{}: {detail}", seen.path));
            }
            None if had && is_as_it_was => files.unchanged += 1,
            None if had => files.changed += 1,
            None => {
                files.added += 1;
                files.moved += u64::from(record.content.is_some_and(|content| self.moved.contains(&content)));
            }
        }
    }
}
