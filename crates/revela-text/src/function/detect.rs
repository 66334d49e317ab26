//! Which programming language texts without file names are in.

use super::definitions_of_piece;
use crate::language::{Format, Language};
use crate::syntax;

/// The languages that are told apart, those before others whose grammars read them, too; C++'s grammar reads C.
const CANDIDATES: [Language; 7] = [
    Language::Python,
    Language::Rust,
    Language::Go,
    Language::JavaScript,
    Language::Java,
    Language::CSharp,
    Language::Cpp,
];

/// The format of texts of one kind: a programming language in which most of them hold a function, else prose.
///
/// Of several such languages the one whose functions cover most of the texts wins.
pub fn detect_format(texts: &[&str]) -> Format {
    let score = |language: Language| {
        let parts = texts.iter().map(|text| covered(language, text));
        let (with, share) =
            parts.fold((0, 0.0), |(with, sum), part| (with + usize::from(part > 0.3), sum + part));
        (with, share)
    };
    // Of equals the first is taken: `max_by` gives the last.
    let best = CANDIDATES
        .iter()
        .rev()
        .map(|language| (score(*language), *language))
        .max_by(|(a, _), (b, _)| a.1.total_cmp(&b.1));
    match best {
        Some(((with, _), language)) if 2 * with > texts.len() => Format::Code(language),
        _ => Format::Text,
    }
}

/// The share of a text that functions cover; half of it where the grammar had to pass over something, since some
/// grammars make a function of what another language says.
fn covered(language: Language, text: &str) -> f64 {
    let bytes: usize = definitions_of_piece(language, text).functions.iter().map(|f| f.range.len()).sum();
    let is_clean = syntax::parse(language, text).is_some_and(|tree| !tree.root_node().has_error());
    let share = (bytes as f64 / text.len().max(1) as f64).min(1.0);
    if is_clean { share } else { share / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_by_their_functions() {
        let rows: [(&[&str], Format); 6] = [
            (
                &["def add(a, b):\n    return a + b", "def f(x):\n    return x"],
                Format::Code(Language::Python),
            ),
            (&["fn add(a: u8, b: u8) -> u8 {\n    a + b\n}"], Format::Code(Language::Rust)),
            (&["func Add(a int, b int) int {\n\treturn a + b\n}"], Format::Code(Language::Go)),
            (
                &["public int add(final int a) throws IOException {\n  return a + 1;\n}"],
                Format::Code(Language::Java),
            ),
            (&["function add(a, b) {\n  return a + b;\n}"], Format::Code(Language::JavaScript)),
            (&["The mill stood still.", "It had not turned for years, they said.", ""], Format::Text),
        ];
        for (texts, format) in rows {
            assert_eq!(detect_format(texts), format, "{texts:?}");
        }
        assert_eq!(detect_format(&[]), Format::Text);
    }
}
