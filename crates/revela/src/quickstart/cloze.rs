//! A test collection from prose: a passage's first sentence is the query, the passage without it the only
//! relevant document (the inverse cloze task, Lee et al. 2019, arXiv:1906.00300).

use revela_base::seed::Seed;
use revela_text::Chunk;

use crate::test_collection::Judged;

/// Words of a query.
const QUERY_WORDS: std::ops::RangeInclusive<usize> = 5..=40;

/// Words that a passage has at least without its first sentence.
const PASSAGE_WORDS: usize = 20;

/// Passages with their first sentences taken out; at most `passages`, at most `queries` of them with a query,
/// chosen by seed and id alone.
pub(crate) fn passages(mut chunks: Vec<Chunk>, passages: usize, queries: usize, seed: Seed) -> Vec<Judged> {
    chunks.sort_by_cached_key(|chunk| (seed.derive(&chunk.id.to_string()).0, chunk.id.clone()));
    chunks.truncate(passages);
    let mut left = queries;
    let cut = |chunk: Chunk| {
        let parts = first_sentence(&chunk.text).filter(|_| left > 0);
        left -= usize::from(parts.is_some());
        match parts {
            Some((query, rest)) => Judged {
                id: chunk.id.to_string(),
                text: rest.to_owned(),
                query: Some(query.split_whitespace().collect::<Vec<_>>().join(" ")),
            },
            None => Judged { id: chunk.id.to_string(), text: chunk.text, query: None },
        }
    };
    chunks.into_iter().map(cut).collect()
}

/// The first sentence and the rest, where both are long enough.
fn first_sentence(text: &str) -> Option<(&str, &str)> {
    let ends = text.match_indices(['.', '?', '!', '\n']).map(|(at, mark)| at + mark.len());
    let is_end = |end: &usize| text.get(*end..).is_some_and(|rest| rest.starts_with(char::is_whitespace));
    let (sentence, rest) = ends
        .filter(is_end)
        .filter_map(|end| text.split_at_checked(end))
        .find(|(sentence, _)| sentence.split_whitespace().count() >= *QUERY_WORDS.start())?;
    let fits = sentence.split_whitespace().count() <= *QUERY_WORDS.end();
    let remains = rest.split_whitespace().count() >= PASSAGE_WORDS;
    (fits && remains).then(|| (sentence.trim(), rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(number: u32, text: &str) -> Chunk {
        let id = format!("doc#{number}").parse().unwrap();
        Chunk {
            id,
            range: 0..text.len(),
            title: String::new(),
            text: text.to_owned(),
            format: revela_text::Format::Text,
        }
    }

    #[test]
    fn the_query_is_taken_out_of_its_passage() {
        let rest = "word ".repeat(25);
        let text = format!("The mill e.g. at the river stood still. {rest}");
        let found = passages(vec![chunk(0, &text)], 10, 10, Seed(1));
        assert_eq!(found[0].query.as_deref(), Some("The mill e.g. at the river stood still."));
        assert_eq!(found[0].text, rest.trim());
    }

    #[test]
    fn what_makes_no_query_stays_as_it_is() {
        for text in
            ["", "One. Two.", &"no end ".repeat(50), "A sentence of some more words. Too short a rest."]
        {
            let found = passages(vec![chunk(0, text)], 10, 10, Seed(1));
            assert_eq!((found[0].text.as_str(), &found[0].query), (text, &None));
        }
    }

    #[test]
    fn numbers_are_kept_and_the_choice_is_the_seeds() {
        let text = format!("A first sentence of some words. {}", "word ".repeat(30));
        let chunks: Vec<Chunk> = (0..20).map(|i| chunk(i, &text)).collect();
        let found = passages(chunks.clone(), 10, 4, Seed(1));
        assert_eq!((found.len(), found.iter().filter(|p| p.query.is_some()).count()), (10, 4));
        assert_eq!(passages(chunks.clone(), 10, 4, Seed(1)), found);
        assert_ne!(passages(chunks, 10, 4, Seed(2)), found);
    }
}
