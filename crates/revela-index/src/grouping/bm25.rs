//! BM25 neighbours of chunks.

use std::cmp::Ordering;

use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;

use super::{ChunkView, Neighbours};
use crate::bm25::{Analyser, TextIndex, TextIndexWriter, TextQuery};
use crate::error::Error;

/// How many chunks are indexed between two looks at the interrupt.
const BLOCK: usize = 4096;

/// An index of all chunks in memory, asked with each chunk's most telling terms.
pub(super) struct Bm25Neighbours<'a> {
    chunks: &'a [ChunkView<'a>],
    index: TextIndex,
    query_terms: usize,
}

impl<'a> Bm25Neighbours<'a> {
    pub(super) fn build(
        chunks: &'a [ChunkView<'a>],
        analyser: Analyser,
        query_terms: usize,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        let task = progress.task("index for grouping", "chunks", Some(chunks.len() as u64));
        let mut writer = TextIndexWriter::in_memory(analyser)?;
        for block in chunks.chunks(BLOCK) {
            interrupt.check()?;
            for chunk in block {
                writer.add_unstored(chunk.text)?;
            }
            task.advance(block.len() as u64);
        }
        Ok(Self { chunks, index: writer.finish()?, query_terms })
    }

    /// The terms that say most about a text: those of the largest `idf * (1 + ln(count))`. Terms of this
    /// chunk alone find nothing and are left out.
    fn query(&self, text: &str) -> Result<TextQuery, Error> {
        let rows = f64::from(self.index.len());
        let mut weighted = Vec::new();
        for (term, count) in self.index.analyser().terms(text) {
            let frequency = f64::from(self.index.document_frequency(&term)?);
            if frequency > 1.0 {
                let idf = (1.0 + (rows - frequency + 0.5) / (frequency + 0.5)).ln();
                weighted.push((idf * (1.0 + f64::from(count).ln()), term, count));
            }
        }
        weighted.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(&b.1)));
        weighted.truncate(self.query_terms);
        Ok(TextQuery::new(weighted.into_iter().map(|(_, term, count)| (term, count as f32))))
    }
}

impl Neighbours for Bm25Neighbours<'_> {
    fn neighbours(&self, chunk: u32, limit: usize) -> Result<Vec<u32>, Error> {
        let Some(view) = self.chunks.get(chunk as usize) else { return Ok(Vec::new()) };
        let found = self.index.search(&self.query(view.text)?, limit)?;
        Ok(found.into_iter().map(|hit| hit.id).collect())
    }
}
