//! A doc comment as what somebody would ask who looks for what it is about.

use crate::doc::first_sentence;
use crate::language::Language;

/// Why a doc comment asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It has no sentence, or there is none.
    NoSentence,
    /// Its first sentence does not say what that does ("See ...", "Safety: ...").
    Boilerplate,
}

/// The first sentence of the doc comment of what has this name, without the name at its beginning.
pub(crate) fn doc_query(doc: &str, name: &str, language: Language) -> Result<String, Unfit> {
    let sentence = first_sentence(doc).ok_or(Unfit::NoSentence)?;
    let query = without_name(&sentence, name, language);
    if is_boilerplate(query) {
        return Err(Unfit::Boilerplate);
    }
    Ok(query.to_owned())
}

/// Whether a sentence says something else than what the function does, by how it begins.
fn is_boilerplate(sentence: &str) -> bool {
    const STARTS: [&str; 9] =
        ["see ", "see: ", "refer to ", "same as ", "like ", "safety: ", "note: ", "todo", "fixme"];
    let lower = sentence.to_ascii_lowercase();
    STARTS.iter().any(|start| lower.starts_with(start))
}

/// A sentence without the function's own name at its beginning, which would give the answer away: Go
/// comments begin with it (`Open opens ...`), C comments often do (`open_it(): opens ...`).
///
/// A name that is also a word stays elsewhere: `open the file` does not name the function `open`.
fn without_name<'s>(sentence: &'s str, name: &str, language: Language) -> &'s str {
    let Some(rest) = sentence.strip_prefix(name.rsplit([':', '.']).next().unwrap_or(name)) else {
        return sentence;
    };
    let called = match (rest.strip_prefix('('), rest.split_once(')')) {
        (Some(_), Some((_, after))) => Some(after),
        _ => None,
    };
    let is_word = name.bytes().all(|b| b.is_ascii_alphabetic()) && language != Language::Go;
    let rest = match called {
        Some(after) => after,
        None if rest.starts_with(' ') && (!is_word || rest.starts_with(" :")) => rest,
        None if rest.starts_with(": ") => rest,
        None => return sentence,
    };
    rest.trim_start_matches([' ', ':', '-', '\u{2013}', '\u{2014}'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::functions;

    #[test]
    fn a_name_at_the_beginning_does_not_give_the_answer_away() {
        let rows = [
            (Language::Go, "Open", "Open opens the file", "opens the file"),
            (Language::Go, "Open", "Opening is slow", "Opening is slow"),
            (Language::Cpp, "A::open_it", "open_it() : opens it", "opens it"),
            (Language::C, "open_it", "open_it(a, b) opens it", "opens it"),
            (Language::C, "open_it", "open_it - opens it", "opens it"),
            (Language::C, "open", "open: opens it", "opens it"),
            (Language::C, "open", "open the file", "open the file"),
            (Language::Rust, "open", "Open the file", "Open the file"),
            (Language::Rust, "open_it", "open_it", "open_it"),
        ];
        for (language, name, sentence, expected) in rows {
            assert_eq!(without_name(sentence, name, language), expected);
        }
    }

    #[test]
    fn comments_that_ask_for_nothing_say_why() {
        let text =
            "/// Opens it. More.\nfn a() {}\n/// See `a`.\nfn b() {}\n/// # Panics\nfn c() {}\nfn d() {}";
        let found: Vec<_> = functions(Language::Rust, text)
            .iter()
            .map(|f| doc_query(&f.doc, &f.name, Language::Rust))
            .collect();
        let expected =
            [Ok("Opens it".into()), Err(Unfit::Boilerplate), Err(Unfit::NoSentence), Err(Unfit::NoSentence)];
        assert_eq!(found, expected);
    }
}
