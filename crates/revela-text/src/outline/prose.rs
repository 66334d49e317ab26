//! Sections below headings.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::Part;
use crate::block::{Kind, blocks, is_rule};
use crate::language::Format;

/// A heading: how deep it is (1 is the highest), what it says, and where it begins.
struct Heading {
    depth: usize,
    label: String,
    start: usize,
}

/// The sections of Markdown. Headings inside of lists and quotations begin none.
pub(super) fn markdown(text: &str) -> Vec<Part> {
    let mut headings: Vec<Heading> = Vec::new();
    let (mut nesting, mut is_open) = (0usize, false);
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match &event {
            Event::Start(Tag::Heading { level, .. }) if nesting == 0 => {
                headings.push(Heading { depth: *level as usize, label: String::new(), start: range.start });
                is_open = true;
            }
            Event::End(TagEnd::Heading(_)) => is_open = false,
            Event::Text(piece) | Event::Code(piece) if is_open => {
                if let Some(heading) = headings.last_mut() {
                    heading.label.push_str(piece);
                }
            }
            _ => {}
        }
        match event {
            Event::Start(_) => nesting += 1,
            Event::End(_) => nesting = nesting.saturating_sub(1),
            _ => {}
        }
    }
    sections(text, &headings)
}

/// The sections of plain text, whose headings are all of one depth.
pub(super) fn plain(text: &str) -> Vec<Part> {
    let headings = blocks(text, Format::Text).into_iter().filter(|block| block.kind == Kind::Heading);
    let headings = headings.map(|block| {
        let lines = text.get(block.range.clone()).unwrap_or_default().lines().map(str::trim);
        let label = lines.into_iter().find(|line| !is_rule(line)).unwrap_or_default().to_owned();
        Heading { depth: 1, label, start: block.range.start }
    });
    sections(text, &headings.collect::<Vec<_>>())
}

/// A section ends where the next heading begins that is not deeper.
fn sections(text: &str, headings: &[Heading]) -> Vec<Part> {
    let mut above: Vec<&Heading> = Vec::new();
    let mut parts = Vec::with_capacity(headings.len());
    for (number, heading) in headings.iter().enumerate() {
        while above.pop_if(|outer| outer.depth >= heading.depth).is_some() {}
        above.push(heading);
        let labels = above.iter().map(|heading| heading.label.trim()).filter(|label| !label.is_empty());
        let name = labels.collect::<Vec<_>>().join(" > ");
        let next = headings.iter().skip(number + 1).find(|next| next.depth <= heading.depth);
        let end = next.map_or(text.len(), |next| next.start);
        if !name.is_empty() {
            parts.push(Part { name, range: heading.start..end });
        }
    }
    parts
}
