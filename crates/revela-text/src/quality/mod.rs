//! What is worth learning from.
//!
//! Half of what lies in folders of sources and notes teaches nothing: tables that a program printed, licences
//! over every file, the same code again under another name. A [`Cleaner`] stands between documents and chunks
//! and leaves such text out; every reason is counted, and each can be switched off ([`QualityConfig::keep`]).
//! Rules look at a document's name, at its text, and at each chunk; the last two, copies and shares, compare it
//! with all others.
//!
//! Some 450 bytes per chunk are held in memory, of which 400 are for [`Reason::NearCopy`].

mod config;
mod copies;
mod header;
mod path;
mod reason;
mod shape;
mod share;
#[cfg(test)]
mod tests;

use revela_base::shingles::Shingles;

use crate::chunk::Chunker;
use crate::document::{Chunk, Document};
use crate::error::TextError;
use crate::language::Format;
use crate::sizer::{Sizer, Words};

pub use config::QualityConfig;
pub use reason::{Amount, QualityReport, Reason};

use copies::Copies;
use share::Shares;

/// Words of a licence that a chunk must have to be one.
const LICENCE_WORDS: usize = 3;

/// Leaves out what is not worth learning from. Chunks are shown to it document by document; who is kept
/// depends on the order of documents only in that the first of several copies is.
#[derive(Debug)]
pub struct Cleaner {
    config: QualityConfig,
    copies: Copies,
    shares: Shares,
    report: QualityReport,
}

impl Cleaner {
    /// A cleaner with these settings.
    ///
    /// # Errors
    /// [`TextError::Setting`] when a setting cannot work.
    pub fn new(config: QualityConfig) -> Result<Self, TextError> {
        config.check()?;
        let (copies, shares) = (Copies::default(), Shares::default());
        Ok(Self { config, copies, shares, report: QualityReport::default() })
    }

    /// The settings.
    pub fn config(&self) -> &QualityConfig {
        &self.config
    }

    /// The chunks of the next document that are worth learning from, but for those that turn out to be beyond
    /// a share ([`finish`](Self::finish)).
    ///
    /// Comments about the licence at the head of a source file are cut off before it is chunked.
    pub fn chunks(&mut self, document: &Document, chunker: &Chunker<'_>) -> Vec<Chunk> {
        self.report.kept.documents += 1;
        if let Some(reason) = self.reason_against_document(document) {
            self.report.kept.documents -= 1;
            self.report.document(reason, document.text.len());
            return Vec::new();
        }
        let start = match document.format {
            Format::Code(_) if self.config.counts(Reason::Licence) => header::licence_end(&document.text),
            _ => 0,
        };
        if start > 0 {
            self.report.chunk(Reason::Licence, start);
        }
        let mut chunks = chunker.chunk_from(document, start);
        chunks.retain(|chunk| self.is_worth_it(chunk));
        chunks
    }

    /// Whether the next chunk is worth learning from, but for its share. For chunks whose documents are no longer
    /// at hand: of those, only the names are looked at.
    pub fn keeps(&mut self, chunk: &Chunk) -> bool {
        match path::reason(&chunk.id.document).filter(|reason| self.config.counts(*reason)) {
            Some(reason) => {
                self.report.chunk(reason, chunk.text.len());
                false
            }
            None => self.is_worth_it(chunk),
        }
    }

    fn is_worth_it(&mut self, chunk: &Chunk) -> bool {
        let (text, bytes) = (chunk.text.as_str(), chunk.text.len());
        let shingles = Shingles::of(text);
        let found = self.reason_against_chunk(chunk, &shingles).or_else(|| {
            let looks = self.config.counts(Reason::NearCopy);
            (looks && !self.copies.is_new(&shingles, self.config.near_copy)).then_some(Reason::NearCopy)
        });
        match found {
            Some(reason) => self.report.chunk(reason, bytes),
            None => {
                self.report.kept.chunks += 1;
                self.report.kept.bytes += bytes as u64;
                self.shares.push(&chunk.id, bytes);
            }
        }
        found.is_none()
    }

    /// Decides which of the chunks that were kept so far are beyond a share.
    pub fn finish(self) -> Cleaned {
        let Self { config, shares, mut report, .. } = self;
        let verdicts = shares.finish(&config);
        for (reason, bytes) in verdicts.iter().filter_map(|(reason, bytes)| Some(((*reason)?, *bytes))) {
            report.kept.chunks -= 1;
            report.kept.bytes -= bytes as u64;
            report.chunk(reason, bytes);
        }
        let kept = verdicts.into_iter().map(|(reason, _)| reason.is_none()).collect();
        Cleaned { config, kept, report }
    }

    fn reason_against_document(&self, document: &Document) -> Option<Reason> {
        let text = document.text.as_str();
        let is_code = matches!(document.format, Format::Code(_));
        let by_name = path::reason(&document.id).filter(|reason| self.config.counts(*reason));
        by_name
            .or_else(|| self.found(Reason::Log, || !is_code && shape::is_log(text)))
            .or_else(|| self.found(Reason::MachineWritten, || header::is_machine_written(text)))
            .or_else(|| self.found(Reason::Minified, || is_code && shape::is_minified(text)))
            .or_else(|| self.found(Reason::MachineWritten, || shape::is_machine_written(text)))
    }

    fn reason_against_chunk(&self, chunk: &Chunk, shingles: &Shingles) -> Option<Reason> {
        let text = chunk.text.as_str();
        self.found(Reason::Licence, || header::is_licence(text, LICENCE_WORDS))
            .or_else(|| self.found(Reason::Fragment, || Words.size(text) < self.config.min_words))
            .or_else(|| self.found(Reason::Boilerplate, || shape::is_boilerplate(text)))
            .or_else(|| self.found(Reason::DataLike, || shape::is_data_like(text)))
            .or_else(|| self.found(Reason::Repetitive, || shape::is_repetitive(text, shingles.distinct())))
    }

    /// The reason, if it counts and holds.
    fn found(&self, reason: Reason, holds: impl FnOnce() -> bool) -> Option<Reason> {
        (self.config.counts(reason) && holds()).then_some(reason)
    }
}

/// What a cleaner decided in the end.
#[derive(Debug, Clone)]
pub struct Cleaned {
    config: QualityConfig,
    kept: Vec<bool>,
    report: QualityReport,
}

impl Cleaned {
    /// Whether the chunk of this number, among those that the cleaner kept at first, stays.
    pub fn keeps(&self, number: usize) -> bool {
        self.kept.get(number).copied().unwrap_or(false)
    }

    /// The settings.
    pub fn config(&self) -> &QualityConfig {
        &self.config
    }

    /// What was left out and why.
    pub fn report(&self) -> &QualityReport {
        &self.report
    }
}
