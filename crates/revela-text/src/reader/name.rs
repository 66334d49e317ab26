//! Identifiers as words.

/// The last part of a qualified name: `push` of `Stack::push`.
pub(super) fn own_part(name: &str) -> &str {
    name.rsplit([':', '.']).next().unwrap_or(name)
}

/// The words of an identifier in lower case: `parseHTTPHeader_2` is "parse http header 2".
///
/// A word ends at a mark, where a capital follows a small letter, before the last of several capitals that a
/// small letter follows, and between letters and digits.
pub(super) fn words(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 8);
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        if before.is_some_and(|before| ends_word(*before, *c, chars.get(at + 1))) && !out.ends_with(' ') {
            out.push(' ');
        }
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        }
    }
    out.trim().to_owned()
}

fn ends_word(before: char, here: char, after: Option<&char>) -> bool {
    let is_last_capital =
        before.is_uppercase() && here.is_uppercase() && after.is_some_and(|after| after.is_lowercase());
    !before.is_alphanumeric()
        || !here.is_alphanumeric()
        || (before.is_lowercase() && here.is_uppercase())
        || before.is_numeric() != here.is_numeric()
        || is_last_capital
}

/// The text with `_` for every place where the identifier stands by itself.
pub(super) fn masked(text: &str, name: &str) -> String {
    if name.is_empty() {
        return text.to_owned();
    }
    let is_part = |c: char| c == '_' || c.is_alphanumeric();
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    for (at, _) in text.match_indices(name) {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|t| t.chars().next());
        if !before.is_some_and(is_part) && !after.is_some_and(is_part) {
            out.push_str(text.get(kept..at).unwrap_or_default());
            out.push('_');
            kept = at + name.len();
        }
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_read_as_words() {
        for (name, expected) in [
            ("parse_http_header", "parse http header"),
            ("parseHTTPHeader_2", "parse http header 2"),
            ("ParseAll", "parse all"),
            ("to_utf8", "to utf 8"),
            ("__init__", "init"),
            ("~Größe", "größe"),
            ("", ""),
            ("_", ""),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
        assert_eq!((own_part("a::B::c"), own_part("a.b"), own_part("c")), ("c", "b", "c"));
    }

    #[test]
    fn only_the_whole_identifier_is_masked() {
        let text = "fn add_one() { add_one(re_add_one, add_one2); self.add_one }";
        assert_eq!(masked(text, "add_one"), "fn _() { _(re_add_one, add_one2); self._ }");
        assert_eq!(masked("é", ""), "é");
    }
}
