//! Headings stay with what is below them.

use std::ops::Range;

use crate::block::{Block, Kind, blocks};
use crate::language::Format;
use crate::sizer::Measured;

/// Moves headings at the end of a chunk to the next one where they fit.
///
/// The splitter fills a chunk with whole blocks, so that the heading of a paragraph that does not fit would end
/// the chunk before it, or be one by itself.
pub(super) fn mend(
    measured: &Measured<'_>,
    ranges: Vec<Range<usize>>,
    format: Format,
    size: usize,
) -> Vec<Range<usize>> {
    let mut headings = blocks(measured.text, format);
    headings.retain(|block| block.kind == Kind::Heading);
    let mut ranges = ranges;
    for at in 1..ranges.len() {
        let [before, after] = ranges.get(at - 1..=at).unwrap_or_default() else { continue };
        let fits = |start: &usize| measured.size(&(*start..after.end)) <= size;
        let Some(start) = last_headings(measured.text, &headings, before).into_iter().find(fits) else {
            continue;
        };
        let shorter = measured.text.get(before.start..start).unwrap_or_default().trim_end().len();
        let before = before.start..before.start + shorter;
        let after = start.min(after.start)..after.end;
        if let Some(pair) = ranges.get_mut(at - 1..=at) {
            pair.clone_from_slice(&[before, after]);
        }
    }
    ranges.retain(|range| !range.is_empty());
    ranges
}

/// Where the headings start that end a range with nothing but each other behind them, first to last.
fn last_headings(text: &str, headings: &[Block], range: &Range<usize>) -> Vec<usize> {
    let inside = headings.partition_point(|heading| heading.range.start < range.end);
    let mut starts = Vec::new();
    let mut end = range.end;
    for heading in headings.get(..inside).unwrap_or_default().iter().rev() {
        let behind = text.get(heading.range.end.min(end)..end).unwrap_or_default();
        if heading.range.start < range.start || !behind.trim().is_empty() {
            break;
        }
        end = heading.range.start;
        starts.push(end);
    }
    starts.reverse();
    starts
}
