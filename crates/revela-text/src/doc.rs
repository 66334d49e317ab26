//! The first sentence of a doc comment, as somebody might ask for the function.

use pulldown_cmark::{BrokenLink, CowStr, Event, Options, Parser, Tag, TagEnd};

/// Longer first paragraphs are cut; no sentence that serves as a query comes near this.
const LONGEST: usize = 4096;

/// The first sentence of a cleaned doc comment on one line, without its full stop.
///
/// Markdown, Javadoc and reStructuredText marks are reduced to their text. The sentence ends at its stop
/// (not one inside `e.g.`, `i.e.`, `vs.`, `1.2` or `foo.bar`), or where the paragraph does: at a blank
/// line, heading, list, table, quotation, code fence, `@param` or the like. `None` where nothing is left,
/// as when the comment begins with one of those.
pub fn first_sentence(doc: &str) -> Option<String> {
    let doc = doc.trim_start();
    let doc = ["@brief ", "\\brief "].iter().find_map(|tag| doc.strip_prefix(tag)).unwrap_or(doc);
    let lines = doc.lines().map(str::trim).take_while(|line| !ends_paragraph(line));
    let paragraph = lines.collect::<Vec<_>>().join(" ");
    let paragraph = &paragraph[..paragraph.floor_char_boundary(LONGEST)];
    let plain = plain(&without_inline_tags(paragraph));
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = without_stop(&words[..sentence_end(&words)]);
    sentence.contains(char::is_alphanumeric).then(|| sentence.to_owned())
}

/// A sentence without the mark that ends it; a question keeps it.
pub(crate) fn without_stop(sentence: &str) -> &str {
    sentence.trim_end_matches(['.', ':', ';', ',', ' ', '。'])
}

/// Whether this trimmed line is no part of a paragraph.
pub(crate) fn ends_paragraph(line: &str) -> bool {
    const STARTS: [&str; 16] = [
        "- ", "* ", "+ ", "• ", "```", "~~~", "|", "> ", ">>>", ".. ", "<pre", "<ul", "<ol", "<p>", "<li",
        "<table",
    ];
    let mut chars = line.chars();
    let first = chars.next();
    let tag = matches!(first, Some('@' | '\\' | ':')) && chars.next().is_some_and(char::is_alphabetic);
    let rule = line.len() > 2 && line.chars().all(|c| matches!(c, '-' | '=' | '*' | '_' | '~' | '#' | '/'));
    let heading = line.starts_with('#') && line.trim_start_matches('#').starts_with(' ');
    line.is_empty()
        || heading
        || rule
        || is_numbered(line)
        || is_section(line)
        || STARTS.iter().any(|start| line.starts_with(start))
        || (tag && !is_role(line))
}

fn is_numbered(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < line.len() && (rest.starts_with(". ") || rest.starts_with(") "))
}

/// A line such as `Args:` or `Example::`.
fn is_section(line: &str) -> bool {
    line.strip_suffix(':')
        .map(|word| word.trim_end_matches(':'))
        .is_some_and(|word| word.starts_with(|c: char| c.is_ascii_uppercase()) && !word.contains(' '))
}

/// A line that begins with a reference such as ``:class:`Name` ``, unlike a field such as `:param x:`.
fn is_role(line: &str) -> bool {
    line.strip_prefix(':').and_then(|l| l.split_once(":`")).is_some_and(|(role, _)| !role.contains(' '))
}

/// Javadoc's `{@link Type#member label}` and `{@code text}` by their texts.
fn without_inline_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once("{@") {
        out.push_str(before);
        let Some((inner, after)) = tag.split_once('}') else {
            rest = tag;
            break;
        };
        let (name, value) = inner.split_once(' ').unwrap_or((inner, ""));
        let label = value.trim().split_once(' ').map(|(_, label)| label).filter(|_| name.starts_with("link"));
        out.push_str(label.unwrap_or(value.trim()).trim_start_matches('#'));
        rest = after;
    }
    out + rest
}

/// One line of Markdown as its text.
pub(crate) fn plain(line: &str) -> String {
    let starts_word =
        |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "&]).'*_".contains(c));
    // Doc comments name items in brackets alone, `[Vec::push]`; an index `a[i]` looks the same.
    let link = |link: BrokenLink<'_>| {
        let named = link.reference.trim_matches('`').starts_with(|c: char| c.is_alphabetic() || c == '_');
        (named && starts_word(link.span.start)).then(|| (CowStr::from(""), CowStr::from("")))
    };
    let mut out = String::with_capacity(line.len());
    let parser = Parser::new_with_broken_link_callback(line, Options::empty(), Some(link));
    for (event, range) in parser.into_offset_iter() {
        let source = &line[range];
        match event {
            Event::Text(text) => out.push_str(&text),
            Event::Code(text) => {
                out.truncate(without_role(&out).len());
                out.push_str(&text);
            }
            // Generic arguments such as `Vec<T>` are no markup.
            Event::Html(tag) | Event::InlineHtml(tag) if !is_markup(&tag) => out.push_str(&tag),
            Event::Html(_) | Event::InlineHtml(_) | Event::SoftBreak | Event::HardBreak => out.push(' '),
            // `__init__` is a name more often than a shout.
            Event::Start(Tag::Strong) | Event::End(TagEnd::Strong) if source.starts_with("__") => {
                out.push_str("__")
            }
            _ => {}
        }
    }
    out
}

/// Without the role of a reStructuredText reference at the end (``:class:`Name` ``).
fn without_role(text: &str) -> &str {
    let Some(before) = text.strip_suffix(':') else { return text };
    let role = before.trim_end_matches(|c: char| c.is_ascii_lowercase() || c == ':');
    if before[role.len()..].starts_with(':') && before.len() > role.len() + 1 { role } else { text }
}

fn is_markup(tag: &str) -> bool {
    const TAGS: [&str; 22] = [
        "p", "br", "b", "i", "em", "strong", "code", "tt", "a", "span", "div", "pre", "sup", "sub", "kbd",
        "var", "u", "small", "img", "li", "ul", "ol",
    ];
    let name = tag.trim_start_matches(['<', '/']);
    let name = &name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())];
    TAGS.contains(&name.to_ascii_lowercase().as_str()) || tag.starts_with("<!--")
}

/// Where the first sentence of a paragraph ends, in bytes; its length where no stop is in it.
pub(crate) fn sentence_end(line: &str) -> usize {
    let mut start = 0;
    for word in line.split_inclusive(char::is_whitespace) {
        let end = start + word.trim_end().len();
        if stops(word.trim_end(), line[start + word.len()..].trim_start()) {
            return end;
        }
        // Scripts without spaces stop inside what looks like one word.
        if let Some(stop) = word.find('。') {
            return start + stop;
        }
        start += word.len();
    }
    line.len()
}

/// Whether a sentence ends with this word, given what follows.
fn stops(word: &str, after: &str) -> bool {
    let bare = word.trim_end_matches([')', ']', '"', '\'', '”', '’']);
    let goes_on = after.starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit() || c == ',');
    // A macro's name, `vec!`, may stand anywhere.
    if bare.ends_with(['!', '?']) {
        return !goes_on;
    }
    let Some(before) = bare.strip_suffix('.') else { return false };
    let before = before.trim_start_matches(['(', '[', '"', '\'']).to_lowercase();
    match before.as_str() {
        "e.g" | "i.e" | "eg" | "ie" | "vs" | "cf" | "approx" | "resp" | "fig" | "mr" | "dr" | "st"
        | "a.k.a" | "ca" | "incl" | "viz" | "w.r.t" => false,
        "etc" | "no" | "al" | "sec" | "ref" | "eq" => !goes_on,
        _ => !(before.ends_with("..") && goes_on),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sentences_as_people_would_ask_them() {
        for (doc, sentence) in [
            ("Adds one.\n\nWraps around.", "Adds one"),
            ("Adds one\nto a number. Then stops.", "Adds one to a number"),
            (
                "Reads `foo.bar` from v1.2 files, e.g. old ones, i.e. most. More.",
                "Reads foo.bar from v1.2 files, e.g. old ones, i.e. most",
            ),
            ("Compares a vs. b (etc. as well). Next", "Compares a vs. b (etc. as well)"),
            ("Is it [`Vec<T>`]? Yes.", "Is it Vec<T>?"),
            (
                "A [link](http://x.y/z.w), a [`ref`][r], [Item::name] and `a[i]`, b[i], &[u8].",
                "A link, a ref, Item::name and a[i], b[i], &[u8]",
            ),
            ("Makes a Vec<T> of *many* <b>bold</b> parts.", "Makes a Vec<T> of many bold parts"),
            ("Called by __init__ and __new__.", "Called by __init__ and __new__"),
            ("Does this:\n- one\n- two", "Does this"),
            ("Does this\n# Examples\nfoo", "Does this"),
            ("Does this\n```\ncode\n```", "Does this"),
            ("Does this\n@param x what", "Does this"),
            ("Does this\n:param x: what", "Does this"),
            ("Sets up the\n:class:`Thing` of ``it``.", "Sets up the Thing of it"),
            (
                "Returns the {@link java.util.List list} of {@code x}, see {@link #y}.",
                "Returns the list of x, see y",
            ),
            ("@brief Opens the file. Later", "Opens the file"),
            ("Called by every `vec!` in it. More", "Called by every vec! in it"),
            ("Waits ... and goes on. End", "Waits ... and goes on"),
            ("读取文件。然后关闭", "读取文件"),
        ] {
            assert_eq!(first_sentence(doc).as_deref(), Some(sentence), "{doc:?}");
        }
    }

    #[test]
    fn nothing_is_left_of_what_has_no_sentence() {
        for doc in [
            "",
            " \n",
            "# Safety\nDo not.",
            "- a list",
            "```\nx\n```",
            "@return x",
            "...",
            "1. One",
            "Args:\n x",
        ] {
            assert_eq!(first_sentence(doc), None, "{doc:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_one_tidy_line_or_none(
            doc in "([A-Za-zé日。]{1,8}|[ \n.`\\[\\]()*_<>#@{}:!&\\\\-]{1,4}){0,30}", any: String
        ) {
            for doc in [doc, any] {
                if let Some(sentence) = first_sentence(&doc) {
                    prop_assert_eq!(sentence.trim(), &sentence);
                    prop_assert!(!sentence.is_empty() && !sentence.contains(['\n', '\r', '\t']));
                }
            }
        }
    }
}
