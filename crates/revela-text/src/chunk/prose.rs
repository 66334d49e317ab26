//! Prose and Markdown, by the `text-splitter` crate.
//!
//! It cuts at the largest structure that fits: headings and blocks in Markdown, then paragraphs, lines,
//! sentences, words and characters. Where a text has no such structure (one endless line), its time
//! grows with the square of the length, so long texts are handed to it in blocks.

use std::ops::Range;

use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};

use crate::error::TextError;
use crate::sizer::Measured;

/// Texts up to this many bytes are split as a whole.
const BLOCK: usize = 64 << 10;

/// Answers the splitter from the one measurement of the whole text.
struct Slices<'m, 't>(&'m Measured<'t>);

impl ChunkSizer for Slices<'_, '_> {
    fn size(&self, chunk: &str) -> usize {
        self.0.size_of(chunk)
    }
}

/// Plain prose.
pub(super) fn plain(measured: &Measured<'_>, capacity: usize, overlap: usize) -> Vec<Range<usize>> {
    let Ok(config) = settings(measured, capacity, overlap) else { return Vec::new() };
    let splitter = TextSplitter::new(config);
    in_blocks(measured.text, |block| splitter.chunk_indices(block).collect())
}

/// Markdown.
pub(super) fn markdown(measured: &Measured<'_>, capacity: usize, overlap: usize) -> Vec<Range<usize>> {
    let Ok(config) = settings(measured, capacity, overlap) else { return Vec::new() };
    let splitter = MarkdownSplitter::new(config);
    in_blocks(measured.text, |block| splitter.chunk_indices(block).collect())
}

fn settings<'m, 't>(
    measured: &'m Measured<'t>,
    capacity: usize,
    overlap: usize,
) -> Result<ChunkConfig<Slices<'m, 't>>, TextError> {
    let config = ChunkConfig::new(capacity).with_sizer(Slices(measured));
    config.with_overlap(overlap).map_err(|e| TextError::setting("chunk overlap", e.to_string()))
}

/// Splits block by block; where a block begins, there is no overlap.
fn in_blocks<'t>(text: &'t str, split: impl Fn(&'t str) -> Vec<(usize, &'t str)>) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        let (block, after) = rest.split_at(block_end(rest));
        ranges.extend(split(block).into_iter().map(|(start, chunk)| at + start..at + start + chunk.len()));
        rest = after;
    }
    ranges
}

/// Where the first block of a text ends: at the last blank line, line or space of its second half.
fn block_end(text: &str) -> usize {
    if text.len() <= BLOCK {
        return text.len();
    }
    let end = text.floor_char_boundary(BLOCK);
    let middle = text.floor_char_boundary(BLOCK / 2);
    let half = text.get(middle..end).unwrap_or_default();
    let last = |mark: &str| half.rfind(mark).map(|at| middle + at + mark.len());
    last("\n\n").or_else(|| last("\n")).or_else(|| last(" ")).unwrap_or(end)
}
