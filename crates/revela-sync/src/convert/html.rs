//! Web pages as Markdown: headings, paragraphs, lists, code; no scripts, styles, pictures or addresses of links.
//!
//! One pass over the tokens and no tree, so that a page may be nested as deeply as it likes.

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Token, Tokenizer};

/// What a page says.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) text: String,
}

/// Elements of which nothing is read.
const SILENT: [&str; 9] =
    ["script", "style", "template", "svg", "math", "select", "iframe", "object", "noscript"];

/// Elements that stand by themselves.
const BLOCKS: [&str; 32] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "section",
    "summary",
    "table",
    "tbody",
    "thead",
    "tr",
    "ul",
    "center",
    "html",
];

/// Reads a page; what is not UTF-8 in it becomes a replacement character.
pub(super) fn as_markdown(bytes: &[u8]) -> Page {
    let text = String::from_utf8_lossy(bytes);
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut writer = Writer::default();
    for token in Tokenizer::new_with_emitter(text.as_ref(), emitter) {
        // Reading from memory does not fail.
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => writer.start(&String::from_utf8_lossy(&tag.name), tag.self_closing),
            Token::EndTag(tag) => writer.end(&String::from_utf8_lossy(&tag.name)),
            Token::String(piece) => writer.text(&String::from_utf8_lossy(&piece)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    writer.finish()
}

#[derive(Default)]
struct Writer {
    page: Page,
    /// The element that nothing is read of, and how many of its name are open.
    silent: Option<(String, usize)>,
    in_title: bool,
    /// How many `pre` are open.
    pre: usize,
    /// Whether white space came since the last word.
    is_apart: bool,
}

impl Writer {
    fn start(&mut self, name: &str, closes_itself: bool) {
        if let Some((silent, open)) = &mut self.silent {
            *open += usize::from(silent == name && !closes_itself);
            return;
        }
        match name {
            _ if SILENT.contains(&name) => {
                if !closes_itself {
                    self.silent = Some((name.to_owned(), 1));
                }
            }
            "title" => self.in_title = true,
            "br" => self.line(),
            "pre" => {
                self.block();
                self.page.text.push_str("```\n");
                self.pre += 1;
            }
            "li" => {
                self.line();
                self.page.text.push_str("- ");
            }
            "tr" | "dt" | "dd" => self.line(),
            "td" | "th" => self.is_apart = true,
            "code" | "kbd" | "samp" if self.pre == 0 => self.word_mark(),
            _ => match heading(name) {
                Some(depth) => {
                    self.block();
                    self.page.text.push_str(&"#".repeat(depth));
                    self.page.text.push(' ');
                }
                None if BLOCKS.contains(&name) => self.block(),
                None => {}
            },
        }
    }

    fn end(&mut self, name: &str) {
        if let Some((silent, open)) = &mut self.silent {
            *open -= usize::from(silent == name);
            if *open == 0 {
                self.silent = None;
            }
            return;
        }
        match name {
            "title" => self.in_title = false,
            "pre" if self.pre > 0 => {
                self.pre -= 1;
                self.line();
                self.page.text.push_str("```");
                self.block();
            }
            "code" | "kbd" | "samp" if self.pre == 0 => {
                self.page.text.push('`');
            }
            "li" | "tr" | "dt" | "dd" => self.line(),
            "td" | "th" => self.is_apart = true,
            _ if heading(name).is_some() || BLOCKS.contains(&name) => self.block(),
            _ => {}
        }
    }

    fn text(&mut self, piece: &str) {
        if self.silent.is_some() {
            return;
        }
        if self.in_title {
            self.page.title.push_str(piece);
            return;
        }
        if self.pre > 0 {
            self.page.text.extend(piece.chars().filter(|c| *c != '\0'));
            return;
        }
        for part in piece.split_inclusive(char::is_whitespace) {
            let word = part.trim_end();
            if !word.is_empty() {
                self.space();
                self.page.text.extend(word.chars().filter(|c| *c != '\0'));
            }
            self.is_apart |= word.len() < part.len();
        }
    }

    /// A mark that belongs to the word behind it.
    fn word_mark(&mut self) {
        self.space();
        self.page.text.push('`');
    }

    /// The space between words where there was one.
    fn space(&mut self) {
        let is_apart = std::mem::take(&mut self.is_apart);
        if is_apart && !self.page.text.is_empty() && !self.page.text.ends_with(['\n', ' ']) {
            self.page.text.push(' ');
        }
    }

    fn line(&mut self) {
        self.is_apart = false;
        if !self.page.text.is_empty() && !self.page.text.ends_with('\n') {
            self.page.text.push('\n');
        }
    }

    fn block(&mut self) {
        if self.pre > 0 {
            return;
        }
        self.line();
        if !self.page.text.is_empty() && !self.page.text.ends_with("\n\n") {
            self.page.text.push('\n');
        }
    }

    fn finish(mut self) -> Page {
        if self.pre > 0 {
            self.line();
            self.page.text.push_str("```\n");
        }
        self.page.title = self.page.title.split_whitespace().collect::<Vec<_>>().join(" ");
        self.page
    }
}

/// How deep a heading is: 2 for `h2`.
fn heading(name: &str) -> Option<usize> {
    match name.as_bytes() {
        [b'h', digit @ b'1'..=b'6'] => Some(usize::from(digit - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_read_stays_and_scripts_go() {
        let page = as_markdown(
            b"<!doctype html><html><head><title> A\n page </title><style>p { color: red }</style></head>\
              <body><h1>One &amp; only</h1><p>Some <b>bold</b>\n text, <code>x = 1</code>.</p>\
              <script>let x = '<p>no</p>';</script><ul><li>first<li>second</ul>\
              <pre>a  b\n  c</pre><table><tr><td>1</td><td>2</td></tr></table><p>End</body></html>",
        );
        assert_eq!(page.title, "A page");
        assert_eq!(
            page.text.trim_end(),
            "# One & only\n\nSome bold text, `x = 1`.\n\n- first\n- second\n\n```\na  b\n  c\n```\n\n1 2\n\nEnd"
        );
    }

    #[test]
    fn broken_and_deep_pages_do_no_harm() {
        let deep = format!("{}word", "<div><svg>".repeat(100_000));
        assert_eq!(as_markdown(deep.as_bytes()).text.trim(), "");
        let deep = format!("{}word", "<div><b>".repeat(200_000));
        assert_eq!(as_markdown(deep.as_bytes()).text.trim(), "word");
        for broken in ["", "<", "</", "<p", "</pre>", "<pre>", "<title>", "<!--", "&#0;", "\u{0}<p>\u{0}"] {
            assert!(!as_markdown(broken.as_bytes()).text.contains('\0'), "{broken}");
        }
        assert!(as_markdown(b"<p>\xff</p>").text.contains('\u{fffd}'));
    }
}
