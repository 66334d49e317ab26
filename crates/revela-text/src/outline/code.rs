//! Definitions of source code.

use std::ops::Range;

use tree_sitter::Node;

use super::Part;
use crate::function::{Shape, leads, shape};
use crate::language::Language;
use crate::syntax;

/// Siblings being walked.
#[derive(Default)]
struct Level {
    /// Where the comments and attributes begin that wait for what they belong to, and where they end.
    lead: Option<Range<usize>>,
    /// Inside of a wrapper such as `export`: where that begins and ends.
    wrapper: Option<Range<usize>>,
    /// The name of what the siblings stand in.
    inside: String,
}

/// The definitions of a text, outer ones before inner ones.
pub(super) fn definitions(language: Language, text: &str) -> Vec<Part> {
    let Some(tree) = syntax::parse(language, text) else { return Vec::new() };
    let mut parts = Vec::new();
    let mut cursor = tree.walk();
    let mut levels = vec![Level::default()];
    loop {
        let below =
            levels.last_mut().and_then(|level| visit(language, text, cursor.node(), level, &mut parts));
        if let Some(level) = below
            && cursor.goto_first_child()
        {
            levels.push(level);
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return parts;
            }
            levels.pop();
        }
    }
}

/// Takes note of a node; gives the level of its children where they are to be visited.
fn visit(
    language: Language,
    text: &str,
    node: Node<'_>,
    level: &mut Level,
    parts: &mut Vec<Part>,
) -> Option<Level> {
    let here = node.start_byte();
    let lead = level.lead.take().filter(|lead| !syntax::has_blank_line(text, lead.end..here));
    let start = lead.map_or(here, |lead| lead.start);
    if leads(node) {
        // Some grammars count the line end as part of a comment.
        let end = here + text.get(node.byte_range()).map_or(0, |piece| piece.trim_end().len());
        level.lead = Some(start..end);
        return None;
    }
    let own = start..node.end_byte();
    let below = |wrapper, inside| Some(Level { lead: None, wrapper, inside });
    let whole = level.wrapper.clone().unwrap_or(own.clone());
    let (name, is_function) = match shape(language, node, level.wrapper.is_some()) {
        Shape::Wrapper => return below(Some(whole), level.inside.clone()),
        Shape::Function { name, .. } => (Some(name), true),
        Shape::Item { name } => (Some(name), false),
        Shape::Other if language == Language::Rust && node.kind() == "impl_item" => {
            (node.child_by_field_name("type"), false)
        }
        Shape::Other => (None, false),
    };
    let name = name.and_then(|name| text.get(name.byte_range())).map(without_arguments);
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return below(None, level.inside.clone());
    };
    let around = match receiver(language, text, node) {
        Some(receiver) => receiver,
        None => &level.inside,
    };
    let name = if around.is_empty() { name.to_owned() } else { format!("{around}{}{name}", joint(language)) };
    parts.push(Part { name: name.clone(), range: whole });
    if is_function { None } else { below(None, name) }
}

/// `Stack` of `Stack<T>`; operators keep their signs.
fn without_arguments(name: &str) -> &str {
    let name = name.trim();
    if name.contains("operator") {
        return name;
    }
    name.split(['<', '[', '\n']).next().unwrap_or(name).trim_end()
}

/// The type of a Go method's receiver: `Stack` of `(s *Stack[T])`.
fn receiver<'t>(language: Language, text: &'t str, node: Node<'_>) -> Option<&'t str> {
    let receiver = node.child_by_field_name("receiver").filter(|_| language == Language::Go)?;
    let declared = text.get(receiver.byte_range())?.trim_matches(['(', ')']);
    let named = declared.split_once(char::is_whitespace).map_or(declared, |(_, kind)| kind);
    Some(without_arguments(named.trim_start_matches(['*', ' '])))
}

fn joint(language: Language) -> &'static str {
    match language {
        Language::Rust | Language::Cpp => "::",
        _ => ".",
    }
}
