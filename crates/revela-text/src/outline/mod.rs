//! What the parts of a text are called: definitions of source code, sections below headings.

use std::ops::Range;

use crate::language::Format;

mod code;
mod prose;

/// A part of a text that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// With the names of what it stands in: `Stack::push`, `Install > Linux`.
    name: String,
    /// Its bytes, those of the parts inside of it included; a definition's begin with its comments and attributes.
    range: Range<usize>,
}

/// The named parts of a text.
///
/// Definitions have the names of the types and modules around them before their own, joined as the language does
/// (`::` in Rust and C++, `.` elsewhere); sections of Markdown those of the headings above, joined by ` > `. What is
/// defined inside of a function belongs to the function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// By where they begin, outer ones before inner ones; each is inside of another or apart from it.
    parts: Vec<Part>,
}

impl Outline {
    /// Finds the parts of a text; none in one that cannot be parsed.
    pub fn of(text: &str, format: Format) -> Self {
        let parts = match format {
            Format::Code(language) => code::definitions(language, text),
            Format::Markdown => prose::markdown(text),
            Format::Text => prose::plain(text),
        };
        Self { parts }
    }

    /// The name of the part that most of this range belongs to, not counting what belongs to a part inside of it.
    pub fn name_of(&self, range: &Range<usize>) -> Option<&str> {
        let mut best: Option<(&Part, usize)> = None;
        // Parts that the one at hand is inside of, with what is left of the range for them.
        let mut open: Vec<(&Part, usize)> = Vec::new();
        for part in self.parts.iter().take_while(|part| part.range.start < range.end) {
            while let Some(done) = open.pop_if(|(outer, _)| outer.range.end <= part.range.start) {
                best = better(best, done);
            }
            let own = part.range.end.min(range.end).saturating_sub(part.range.start.max(range.start));
            if let Some((_, left)) = open.last_mut() {
                *left = left.saturating_sub(own);
            }
            open.push((part, own));
        }
        let best = open.into_iter().fold(best, better);
        best.map(|(part, _)| part.name.as_str())
    }
}

/// The part that has more of the range; of equals the one that begins first.
fn better<'p>(best: Option<(&'p Part, usize)>, other: (&'p Part, usize)) -> Option<(&'p Part, usize)> {
    let is_better = best.is_none_or(|(part, own)| {
        other.1 > own || (other.1 == own && other.0.range.start < part.range.start)
    });
    if is_better && other.1 > 0 { Some(other) } else { best }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    fn names(text: &str, format: Format) -> Vec<(String, String)> {
        let parts = Outline::of(text, format).parts;
        let first_line = |range: Range<usize>| text[range].lines().next().unwrap_or_default().to_owned();
        parts.into_iter().map(|part| (part.name, first_line(part.range))).collect()
    }

    fn check(text: &str, format: Format, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(names(text, format), expected);
    }

    #[test]
    fn definitions_carry_the_names_around_them() {
        let rust = "use a::b;\n\n/// Doc.\n#[derive(Debug)]\nstruct Stack<T>(T);\n\nimpl<T> Stack<T> {\n    // Why.\n    fn push(&self) { fn inner() {} }\n}\nmod deep { const X: u8 = 1; }\n";
        check(
            rust,
            Format::Code(Language::Rust),
            &[
                ("Stack", "/// Doc."),
                ("Stack", "impl<T> Stack<T> {"),
                ("Stack::push", "// Why."),
                ("deep", "mod deep { const X: u8 = 1; }"),
                ("deep::X", "const X: u8 = 1;"),
            ],
        );
        let python = "class A:\n    @property\n    def b(self):\n        return 1\n\ndef c():\n    pass\n";
        check(
            python,
            Format::Code(Language::Python),
            &[("A", "class A:"), ("A.b", "@property"), ("c", "def c():")],
        );
        let go = "package p\n\nfunc (s *Stack[T]) Push(x T) {}\n";
        check(go, Format::Code(Language::Go), &[("Stack.Push", "func (s *Stack[T]) Push(x T) {}")]);
        let script = "export const f = () => { return 1 }\nclass C { m() {} }\n";
        check(
            script,
            Format::Code(Language::JavaScript),
            &[("f", "export const f = () => { return 1 }"), ("C", "class C { m() {} }"), ("C.m", "m() {}")],
        );
    }

    #[test]
    fn sections_carry_the_headings_above() {
        let markdown = "intro\n\n# A `b`\n\ntext\n\n## C\n\ntext\n\n# D\n";
        check(markdown, Format::Markdown, &[("A b", "# A `b`"), ("A b > C", "## C"), ("D", "# D")]);
        check("One\n===\n\na\n\nTwo\n---\nb\n", Format::Text, &[("One", "One"), ("Two", "Two")]);
    }

    #[test]
    fn a_range_has_the_name_of_what_most_of_it_is() {
        let text = "# A\n\nLong text of the first part.\n\n## B\n\nShort.\n";
        let outline = Outline::of(text, Format::Markdown);
        let b = text.find("## B").unwrap();
        assert_eq!(outline.name_of(&(0..text.len())), Some("A"));
        assert_eq!(outline.name_of(&(b..text.len())), Some("A > B"));
        assert_eq!(outline.name_of(&(b - 3..text.len())), Some("A > B"));
        assert_eq!(Outline::of("no heading", Format::Markdown).name_of(&(0..4)), None);
    }
}
