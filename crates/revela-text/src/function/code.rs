//! A function's text by itself.

use std::ops::Range;

const BLANK: [char; 2] = [' ', '\t'];

/// Whether only blanks stand before this place in its line.
pub(super) fn starts_line(text: &str, at: usize) -> bool {
    text.get(..at).is_some_and(|t| line_is_blank(t.trim_end_matches(BLANK)))
}

fn line_is_blank(trimmed: &str) -> bool {
    trimmed.is_empty() || trimmed.ends_with('\n')
}

/// The range of the text without the holes in it (in order, apart), dedented by its first line.
pub(super) fn without(text: &str, range: &Range<usize>, holes: &[Range<usize>]) -> String {
    let mut kept = String::with_capacity(range.len());
    let mut at = range.start;
    for hole in holes.iter().filter(|hole| hole.start >= range.start) {
        let hole = widened(text, hole);
        kept.push_str(text.get(at..hole.start).unwrap_or_default());
        at = hole.end.max(at);
    }
    kept.push_str(text.get(at..range.end).unwrap_or_default());
    dedented(kept.trim_end(), indentation(text, range.start))
}

/// With the whole lines, and the blank lines below, where nothing else stands in them.
fn widened(text: &str, hole: &Range<usize>) -> Range<usize> {
    let before = text.get(..hole.start).unwrap_or_default().trim_end_matches(BLANK);
    let after = text.get(hole.end..).unwrap_or_default();
    let space = &after[..after.len() - after.trim_start().len()];
    match space.rfind('\n') {
        Some(newline) if line_is_blank(before) => before.len()..hole.end + newline + 1,
        _ => hole.clone(),
    }
}

/// The blanks that the line of this place begins with.
fn indentation(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    let line = &before[before.rfind('\n').map_or(0, |n| n + 1)..];
    &line[..line.len() - line.trim_start_matches(BLANK).len()]
}

/// Takes as much of the indentation from every line as the line has of it.
fn dedented(text: &str, indentation: &str) -> String {
    let shared = |line: &str| line.bytes().zip(indentation.bytes()).take_while(|(a, b)| a == b).count();
    let mut lines = text.lines();
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        out.push('\n');
        out.push_str(line[shared(line)..].trim_end());
    }
    out
}
