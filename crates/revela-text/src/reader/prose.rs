//! Readers of prose: headings and first sentences.

use std::ops::Range;

use super::{Reader, ReaderConfig, ReaderKind, one_line};
use crate::block::{Block, Kind, is_rule};
use crate::doc;
use crate::sizer::{Sizer, Words};

/// The first heading that has enough text below it before the next one.
pub(super) fn heading(text: &str, blocks: &[Block], config: &ReaderConfig) -> Option<Reader> {
    let mut headings = blocks.iter().filter(|block| block.kind == Kind::Heading).peekable();
    while let Some(heading) = headings.next() {
        let end = headings.peek().map_or(text.len(), |next| next.range.start);
        let below = text.get(heading.range.end..end).unwrap_or_default();
        if Words.size(below) < config.min_rest_words {
            continue;
        }
        let label = text.get(heading.range.clone()).unwrap_or_default();
        let label: Vec<&str> = label.lines().filter(|line| !is_rule(line.trim())).collect();
        let query = one_line(&doc::plain(&label.join(" ")));
        let found = config.accept(ReaderKind::Heading, query, without(text, &heading.range));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The first whole sentence of the first paragraph that has a fit one.
pub(super) fn first_sentence(text: &str, blocks: &[Block], config: &ReaderConfig) -> Option<Reader> {
    let paragraphs = blocks.iter().filter(|block| block.kind == Kind::Paragraph);
    paragraphs.filter_map(|block| sentence(text, block.range.clone())).find_map(|range| {
        let query = one_line(&doc::plain(&one_line(text.get(range.clone())?)));
        let query = doc::without_stop(&query).to_owned();
        config.accept(ReaderKind::FirstSentence, query, without(text, &range))
    })
}

/// Where the first whole sentence of a paragraph stands: a paragraph cut out of a text may begin within one.
fn sentence(text: &str, paragraph: Range<usize>) -> Option<Range<usize>> {
    let inner = text.get(paragraph.clone())?;
    let start = inner.len() - inner.trim_start().len();
    let inner = inner.get(start..)?;
    if doc::ends_paragraph(inner.lines().next()?.trim_end()) {
        return None;
    }
    let first = doc::sentence_end(inner);
    let whole = if inner.starts_with(char::is_lowercase) {
        let after = inner.get(first..)?;
        let next = first + after.len() - after.trim_start().len();
        next..next + doc::sentence_end(inner.get(next..)?)
    } else {
        0..first
    };
    let at = paragraph.start + start;
    Some(at + whole.start..at + whole.end)
}

/// The text without a part of it, trimmed.
fn without(text: &str, range: &Range<usize>) -> String {
    let before = text.get(..range.start).unwrap_or_default().trim();
    let after = text.get(range.end..).unwrap_or_default().trim();
    let between = match (before.is_empty(), text.get(..range.start).is_some_and(|t| t.ends_with('\n'))) {
        (true, _) => "",
        (false, true) => "\n\n",
        (false, false) => " ",
    };
    format!("{before}{between}{after}")
}
