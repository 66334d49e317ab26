//! Doc comments without their marks.

use std::ops::Range;

use tree_sitter::Node;

use crate::language::Language;

/// How a doc comment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Line,
    Block,
}

/// How a comment documents what follows it, if it does.
pub(super) fn style(language: Language, comment: &str) -> Option<Style> {
    let (line, block) = match language {
        Language::Python => return None,
        Language::Go => (comment.starts_with("//") && !is_directive(comment), comment.starts_with("/*")),
        _ => (
            comment.starts_with("///") && !comment.starts_with("////"),
            comment.starts_with("/**") && !comment.starts_with("/***") && comment.len() > "/**/".len(),
        ),
    };
    if line { Some(Style::Line) } else { block.then_some(Style::Block) }
}

/// Whether a doc comment goes on above one that was found: Rust joins all, elsewhere only lines go on.
pub(super) fn continues(language: Language, above: Style, below: Style) -> bool {
    language == Language::Rust || (above, below) == (Style::Line, Style::Line)
}

/// A Go comment for tools: `//go:build`, `//nolint:all`, `//export Name`.
fn is_directive(comment: &str) -> bool {
    let rest = comment.trim_start_matches('/');
    let word = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
    word > 0 && (rest[word..].starts_with(':') || matches!(&rest[..word], "export" | "nolint" | "line"))
}

/// The text of these comments, joined by line breaks.
pub(super) fn clean(language: Language, text: &str, comments: &[Range<usize>]) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for comment in comments.iter().filter_map(|range| text.get(range.clone())) {
        match comment.strip_prefix("/*") {
            Some(inner) => block_lines(inner, &mut lines),
            None => lines.push(unspaced(comment.trim_start_matches('/').trim_end())),
        }
    }
    let joined = lines.join("\n");
    let plain = if language == Language::CSharp { without_xml(&joined) } else { joined };
    trim_blank_lines(&plain).to_owned()
}

fn block_lines<'t>(inner: &'t str, lines: &mut Vec<&'t str>) {
    let inner = inner.strip_suffix("*/").unwrap_or(inner);
    let mut rest = inner.lines();
    lines.extend(rest.next().map(|line| unspaced(line.trim_start_matches('*').trim_end())));
    lines.extend(rest.map(|line| {
        let line = line.trim();
        line.strip_prefix('*').map_or(line, unspaced)
    }));
}

/// Without the one space that follows a comment mark.
fn unspaced(line: &str) -> &str {
    line.strip_prefix(' ').unwrap_or(line)
}

fn trim_blank_lines(text: &str) -> &str {
    let text = text.trim_end();
    let visible = text.len() - text.trim_start().len();
    &text[text[..visible].rfind('\n').map_or(0, |n| n + 1)..]
}

/// XML documentation as text: references by their names, every block a paragraph.
fn without_xml(xml: &str) -> String {
    let mut out = String::with_capacity(xml.len());
    let mut rest = xml;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        let tag = &rest[open + 1..];
        let close = tag.find('>').filter(|_| tag.starts_with(|c: char| c == '/' || c.is_ascii_alphabetic()));
        let Some(close) = close else {
            out.push('<');
            rest = tag;
            continue;
        };
        push_tag(&tag[..close], &mut out);
        rest = &tag[close + 1..];
    }
    out.push_str(rest);
    while out.contains("\n\n\n") {
        out = out.replace("\n\n\n", "\n\n");
    }
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

fn push_tag(tag: &str, out: &mut String) {
    const INLINE: [&str; 10] = ["see", "seealso", "paramref", "typeparamref", "c", "b", "i", "em", "a", "tt"];
    let name = tag.trim_matches('/').split_whitespace().next().unwrap_or_default();
    if !INLINE.contains(&name) {
        out.push_str("\n\n");
    } else if tag.ends_with('/') {
        let value = tag.split('"').nth(1).unwrap_or_default();
        // A reference may begin with its kind: `T:System.String`.
        let value = value.get(2..).filter(|_| value.get(1..2) == Some(":")).unwrap_or(value);
        out.push_str(value);
    }
}

/// The docstring of a Python body, cleaned, and where its statement stands.
pub(super) fn docstring(text: &str, body: Node<'_>) -> Option<(String, Range<usize>)> {
    let mut cursor = body.walk();
    let first = body.named_children(&mut cursor).find(|n| n.kind() != "comment")?;
    let string = match first.kind() {
        "expression_statement" => first.named_child(0)?,
        _ => first,
    };
    if string.kind() != "string" || string.byte_range() != first.byte_range() {
        return None;
    }
    let quoted = text.get(string.byte_range())?;
    let literal = quoted.trim_start_matches(['r', 'R', 'u', 'U']);
    let inner = ["\"\"\"", "'''", "\"", "'"]
        .iter()
        .find_map(|quote| literal.strip_prefix(quote).map(|l| l.strip_suffix(quote).unwrap_or(l)))?;
    Some((outdented(inner), first.byte_range()))
}

/// Without the indentation that all lines but the first share, as Python's own tools show docstrings.
fn outdented(text: &str) -> String {
    let blanks = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let shared = text.lines().skip(1).filter(|l| !l.trim().is_empty()).map(blanks).min().unwrap_or(0);
    let lines = text.lines().enumerate().map(|(n, line)| match n {
        0 => line.trim(),
        _ => line.get(shared..).unwrap_or_default().trim_end(),
    });
    trim_blank_lines(&lines.collect::<Vec<_>>().join("\n")).to_owned()
}
