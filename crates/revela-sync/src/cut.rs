//! Documents as passages that say where they stand.

use std::ops::Range;

use revela_index::payload::Payload;
use revela_index::{Entry, Passage};
use revela_text::{Chunker, Document, Format, Outline};
use serde_json::Value;

use crate::form::Form;
use crate::record::id;

/// The passages of a document, in order.
pub(crate) fn entries(chunker: &Chunker<'_>, document: &Document, form: Form) -> Vec<Entry> {
    let chunks = chunker.chunk(document);
    let outline = Outline::of(&document.text, document.format);
    let mut lines = Lines::of(&document.text);
    let entry = |chunk: revela_text::Chunk| {
        let range = visible(&document.text, &chunk.range);
        let mut payload = Payload::new();
        let mut say = |key: &str, value: Value| payload.insert(key.to_owned(), value);
        say("path", document.id.as_str().into());
        say("language", form.language().into());
        if form.has_lines() {
            say("start_line", lines.number(range.start).into());
            say("end_line", lines.number(range.end.saturating_sub(1)).into());
        }
        if let Some(name) = outline.name_of(&range) {
            let key = if matches!(document.format, Format::Code(_)) { "symbol" } else { "heading" };
            say(key, name.into());
        }
        let passage =
            Passage { id: id(&document.id, chunk.id.ordinal), title: chunk.title, text: chunk.text };
        Entry { passage, payload }
    };
    chunks.into_iter().map(entry).collect()
}

/// A range without the white space at its ends.
fn visible(text: &str, range: &Range<usize>) -> Range<usize> {
    let piece = text.get(range.clone()).unwrap_or_default();
    let start = range.end - piece.trim_start().len();
    start..(range.start + piece.trim_end().len()).max(start)
}

/// Counts lines up to places, which mostly come in order.
struct Lines<'t> {
    text: &'t str,
    at: usize,
    number: u64,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        Self { text, at: 0, number: 1 }
    }

    /// The line that a byte is in, from 1.
    fn number(&mut self, at: usize) -> u64 {
        if at < self.at {
            (self.at, self.number) = (0, 1);
        }
        let between = self.text.as_bytes().get(self.at..at).unwrap_or_default();
        self.number += between.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.at = at;
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use revela_text::{ChunkerConfig, Language};

    fn cut(text: &str, name: &str, size: usize) -> Vec<Entry> {
        let config = ChunkerConfig { size, min_size: 1, ..ChunkerConfig::default() };
        let form = Form::of_path(name.as_ref()).unwrap();
        let document = Document {
            id: name.to_owned(),
            title: String::new(),
            text: text.to_owned(),
            format: form.format(),
        };
        entries(&Chunker::new(config, None).unwrap(), &document, form)
    }

    #[test]
    fn passages_say_where_they_stand() {
        let code = "use a::b;\n\nstruct Stack;\n\nimpl Stack {\n    fn push(&self) {\n        one();\n        two();\n    }\n}\n";
        for entry in cut(code, "src/a.rs", 6) {
            let (first, last) = (&entry.payload["start_line"], &entry.payload["end_line"]);
            let lines: Vec<&str> = code.lines().collect();
            let (first, last) = (first.as_u64().unwrap() as usize, last.as_u64().unwrap() as usize);
            assert_eq!(entry.passage.text.trim(), lines[first - 1..last].join("\n").trim());
            assert_eq!(entry.payload["path"], "src/a.rs");
            assert_eq!(entry.payload["language"], "rust");
        }
        let found = cut(code, "src/a.rs", 6).into_iter().find(|entry| entry.passage.text.contains("one()"));
        assert_eq!(found.unwrap().payload["symbol"], "Stack::push");
        assert_eq!(Format::of_path("a.rs".as_ref()), Some(Format::Code(Language::Rust)));
        let prose = cut("# A\n\ntext\n\n## B\n\nmore text here now\n", "a.md", 6);
        assert_eq!(prose.last().unwrap().payload["heading"], "A > B");
        assert!(cut("# A\n\ntext\n", "a.ipynb", 6)[0].payload.get("start_line").is_none());
    }
}
