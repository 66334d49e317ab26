//! The headings and paragraphs of prose.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::language::Format;

/// A part of a text that is not inside of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) kind: Kind,
    /// Its bytes, marks included.
    pub(crate) range: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Heading,
    Paragraph,
}

/// The headings and paragraphs of a text in order; lists, quotations, tables and code are none.
pub(crate) fn blocks(text: &str, format: Format) -> Vec<Block> {
    if format == Format::Markdown { markdown_blocks(text) } else { plain_blocks(text) }
}

fn markdown_blocks(text: &str) -> Vec<Block> {
    let mut depth = 0;
    let mut found = Vec::new();
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        let kind = match &event {
            Event::Start(Tag::Heading { .. }) => Some(Kind::Heading),
            Event::Start(Tag::Paragraph) => Some(Kind::Paragraph),
            _ => None,
        };
        found.extend(kind.filter(|_| depth == 0).map(|kind| Block { kind, range }));
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            _ => {}
        }
    }
    found
}

/// Runs of lines without a blank one between them; a line over a rule (`====`) is a heading, as in
/// reStructuredText.
fn plain_blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut start = 0;
    let mut is_open = false;
    for line in text.split_inclusive('\n') {
        let range = start..start + line.len();
        start = range.end;
        match found.last_mut().filter(|_| is_open) {
            _ if line.trim().is_empty() => is_open = false,
            // Two lines, or three with a rule above, too.
            Some(last) if underlines(line, text.get(last.range.clone()).unwrap_or_default()) => {
                *last = Block { kind: Kind::Heading, range: last.range.start..range.end };
                is_open = false;
            }
            Some(last) => last.range.end = range.end,
            None => {
                found.push(Block { kind: Kind::Paragraph, range });
                is_open = true;
            }
        }
    }
    found
}

/// Whether a line is the rule under the one line of text above, which may have a rule above it.
fn underlines(line: &str, above: &str) -> bool {
    let mut lines = above.lines().map(str::trim).filter(|above| !is_rule(above));
    let (Some(label), None) = (lines.next(), lines.next()) else { return false };
    is_rule(line.trim()) && line.trim().chars().count() >= label.chars().count()
}

/// Whether a trimmed line is one mark over and over.
pub(crate) fn is_rule(line: &str) -> bool {
    let mark = line.chars().next().filter(char::is_ascii_punctuation);
    mark.is_some_and(|mark| line.len() > 2 && line.chars().all(|c| c == mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, format: Format) -> Vec<(Kind, &str)> {
        blocks(text, format).into_iter().map(|block| (block.kind, text[block.range].trim_end())).collect()
    }

    #[test]
    fn blocks_of_markdown() {
        let text = "# One\n\nA b.\nC.\n\n- # no\n- item\n\n```\n# no\n```\n> quoted\n\nTwo\n---\nD.\n";
        let expected = [
            (Kind::Heading, "# One"),
            (Kind::Paragraph, "A b.\nC."),
            (Kind::Heading, "Two\n---"),
            (Kind::Paragraph, "D."),
        ];
        assert_eq!(found(text, Format::Markdown), expected);
    }

    #[test]
    fn blocks_of_plain_text() {
        let text = "====\nOne\n====\n\nA b.\nC.\n\n\nTwo\n~~~\nD.\n\nE\nF\n--\n\nLong one\n---\n";
        let expected = [
            (Kind::Heading, "====\nOne\n===="),
            (Kind::Paragraph, "A b.\nC."),
            (Kind::Heading, "Two\n~~~"),
            (Kind::Paragraph, "D."),
            (Kind::Paragraph, "E\nF\n--"),
            (Kind::Paragraph, "Long one\n---"),
        ];
        assert_eq!(found(text, Format::Text), expected);
    }
}
