//! The piece of a text that shows why it was found.

use revela_search::Snippet;
use tantivy::schema::Field;
use tantivy::snippet::{SnippetGenerator, collapse_overlapped_ranges};

use super::Analyser;

/// Cuts the piece of at most about `length` bytes in which most of the query's terms occur.
pub fn snippet(analyser: Analyser, query: &str, text: &str, length: usize) -> Snippet {
    // Code is indexed with its stop words, but that "a" and "for" occur shows nothing.
    let (says_much, says_little): (Vec<_>, Vec<_>) =
        analyser.terms(query).into_keys().partition(|term| !Analyser::Prose.terms(term).is_empty());
    let terms = if says_much.is_empty() { says_little } else { says_much };
    // Longer terms say more; the index's statistics are not at hand for every text.
    let terms = terms.into_iter().map(|term| {
        let weight = 1.0 + (term.len() as f32).ln_1p();
        (term, weight)
    });
    let field = Field::from_field_id(0);
    let generator = SnippetGenerator::new(terms.collect(), analyser.tokenizer(), field, length);
    let found = generator.snippet(text);
    if found.is_empty() {
        return Snippet::beginning(text, length);
    }
    let mut highlights = found.highlighted().to_vec();
    highlights.sort_by_key(|range| (range.start, range.end));
    Snippet { text: found.fragment().to_owned(), highlights: collapse_overlapped_ranges(&highlights) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(snippet: &Snippet) -> Vec<&str> {
        snippet.highlights.iter().map(|range| &snippet.text[range.clone()]).collect()
    }

    #[test]
    fn prose_marks_inflected_words() {
        let text = "Nothing here. ".repeat(30) + "The runners were running far. " + &"More. ".repeat(30);
        let snippet = snippet(Analyser::Prose, "a run of runners", &text, 80);
        assert_eq!(marked(&snippet), ["runners", "running"]);
        assert!(snippet.text.len() <= 80);
    }

    #[test]
    fn code_marks_whole_identifiers_once() {
        let snippet = snippet(Analyser::Code, "read file", "fn readFile(path) { file.read_all() }", 100);
        assert_eq!(marked(&snippet), ["read", "File", "file", "read"]);
        let whole = super::snippet(Analyser::Code, "readFile", "fn read_file()", 100);
        assert_eq!(marked(&whole), ["read_file"]);
    }

    #[test]
    fn stop_words_are_marked_only_where_the_query_has_nothing_else() {
        let text = "for a in list { sort(a) }";
        assert_eq!(marked(&snippet(Analyser::Code, "sort a list for me", text, 80)), ["list", "sort"]);
        assert_eq!(marked(&snippet(Analyser::Code, "for a", text, 80)), ["for", "a", "a"]);
    }

    #[test]
    fn without_a_match_the_beginning() {
        let snippet = snippet(Analyser::Prose, "zebra", "größer als nichts", 3);
        assert_eq!((snippet.text.as_str(), snippet.highlights.len()), ("gr", 0));
        assert_eq!(super::snippet(Analyser::Prose, "", "", 10).text, "");
    }
}
