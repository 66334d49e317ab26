//! Which queries are fit, and the order in which things are drawn.

use revela_base::seed::Seed;

use super::Entry;
use crate::language::Language;

/// The indices of the entries that are eligible, in the order of a hash of the seed and their ids, so
/// that neither the order of documents nor what else there is changes who comes first.
pub(super) fn drawn(entries: &[Entry], seed: Seed, eligible: impl Fn(&Entry) -> bool) -> Vec<usize> {
    let fit = entries.iter().enumerate().filter(|(_, entry)| eligible(entry));
    let mut order: Vec<(u64, usize)> = fit.map(|(n, entry)| (seed.derive(&entry.id).0, n)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, n)| n).collect()
}

/// Whether most of the visible characters are ASCII letters: prose in English or near it.
pub(super) fn is_mostly_latin(text: &str) -> bool {
    let visible = text.chars().filter(|c| !c.is_whitespace()).count();
    let letters = text.chars().filter(char::is_ascii_alphabetic).count();
    letters * 10 >= visible * 7
}

/// Whether a sentence says something else than what the function does, by how it begins.
pub(super) fn is_boilerplate(sentence: &str) -> bool {
    const STARTS: [&str; 9] =
        ["see ", "see: ", "refer to ", "same as ", "like ", "safety: ", "note: ", "todo", "fixme"];
    let lower = sentence.to_ascii_lowercase();
    STARTS.iter().any(|start| lower.starts_with(start))
}

/// A sentence without the function's own name at its beginning, which would give the answer away: Go
/// comments begin with it (`Open opens ...`), C comments often do (`open_it(): opens ...`).
///
/// A name that is also a word stays elsewhere: `open the file` does not name the function `open`.
pub(super) fn without_name<'s>(sentence: &'s str, name: &str, language: Language) -> &'s str {
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
