//! The one place where text becomes a syntax tree.

use std::ops::{ControlFlow, Range};

use tree_sitter::{ParseOptions, ParseState, Parser, Tree};

use crate::language::Language;

/// Longer texts are not parsed: a tree takes some ten times the memory of its text.
const LONGEST: usize = 16 << 20;

/// Parses a text, or gives up: `None` where it is too long or the grammar finds it too hard.
///
/// Ordinary code takes about 10 of the parser's own progress steps per KiB. A text that takes far more
/// (hostile or broken input, where error recovery tries ever more readings) is given up after a number
/// of steps that depends on its length alone, so that the result never depends on the machine.
pub(crate) fn parse(language: Language, text: &str) -> Option<Tree> {
    if text.len() > LONGEST {
        return None;
    }
    let mut parser = Parser::new();
    parser.set_language(&language.grammar()).ok()?;
    let mut left = 2_000 + text.len() / 8;
    let mut step = |_: &ParseState| {
        left = left.saturating_sub(1);
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut step);
    let mut read = |offset: usize, _| text.as_bytes().get(offset..).unwrap_or_default();
    parser.parse_with_options(&mut read, None, Some(options))
}

/// Whether what stands between two nodes holds an empty line.
pub(crate) fn has_blank_line(text: &str, between: Range<usize>) -> bool {
    text.get(between).is_some_and(|space| space.bytes().filter(|b| *b == b'\n').count() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Format;

    #[test]
    fn every_grammar_loads_with_the_one_tree_sitter() {
        for format in Format::all() {
            if let Format::Code(language) = format {
                assert!(parse(language, "x").is_some(), "{format}");
            }
        }
    }
}
