//! How long a text is: in words, or in the tokens of a tokenizer that lives elsewhere.

use std::ops::Range;

/// Measures texts in some unit, such as a tokenizer's tokens.
pub trait Sizer: Sync {
    /// How many units the text has.
    fn size(&self, text: &str) -> usize;

    /// Where each unit of the text starts, in bytes and ascending.
    ///
    /// A document is measured once with this, and every range of it is then known. The default asks
    /// [`size`](Self::size) word by word; a tokenizer that knows offsets should give them.
    fn starts(&self, text: &str) -> Vec<usize> {
        let mut starts = Vec::new();
        for (at, word) in words_at(text) {
            let n = self.size(word);
            starts.extend((0..n).map(|k| at + word.floor_char_boundary(k * word.len() / n)));
        }
        starts
    }
}

/// Pieces between white space with their byte offsets.
fn words_at(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let base = text.as_ptr() as usize;
    text.split_whitespace().map(move |word| (word.as_ptr() as usize - base, word))
}

/// Words as people count them, made safe for code and for texts without spaces.
///
/// - A run of letters, digits and `_` counts one per 16 characters begun; an apostrophe inside one
///   does not end it.
/// - An ideograph, kana or hangul counts one.
/// - Other visible characters count nothing, but one per 8 of them in an unbroken run, so that no text
///   can be long and count as short.
#[derive(Debug, Clone, Copy, Default)]
pub struct Words;

const WORD_LENGTH: usize = 16;
const MARK_LENGTH: usize = 8;

#[derive(Clone, Copy, PartialEq)]
enum Run {
    Space,
    Word(usize),
    Marks(usize),
}

impl Run {
    /// The run after one more character, and whether that character starts a unit.
    fn next(self, c: char) -> (Self, bool) {
        if c.is_whitespace() {
            (Self::Space, false)
        } else if c == '_' || c.is_alphanumeric() {
            match self {
                _ if is_word_by_itself(c) => (Self::Space, true),
                Self::Word(n) => (Self::Word(n + 1), n % WORD_LENGTH == 0),
                _ => (Self::Word(1), true),
            }
        } else {
            match self {
                Self::Word(n) if matches!(c, '\'' | '\u{2019}') => (Self::Word(n + 1), n % WORD_LENGTH == 0),
                Self::Marks(n) => (Self::Marks(n + 1), (n + 1) % MARK_LENGTH == 0),
                _ => (Self::Marks(1), false),
            }
        }
    }
}

/// Scripts written without spaces.
fn is_word_by_itself(c: char) -> bool {
    matches!(u32::from(c), 0x2E80..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

impl Sizer for Words {
    fn size(&self, text: &str) -> usize {
        let mut run = Run::Space;
        text.chars()
            .filter(|c| {
                let (next, starts) = run.next(*c);
                run = next;
                starts
            })
            .count()
    }

    fn starts(&self, text: &str) -> Vec<usize> {
        let mut run = Run::Space;
        let mut starts = Vec::with_capacity(text.len() / 5);
        for (at, c) in text.char_indices() {
            let (next, is_start) = run.next(c);
            run = next;
            if is_start {
                starts.push(at);
            }
        }
        starts
    }
}

/// A text whose every range has a known size.
pub(crate) struct Measured<'t> {
    pub(crate) text: &'t str,
    starts: Vec<usize>,
    sizer: &'t dyn Sizer,
}

impl<'t> Measured<'t> {
    pub(crate) fn new(text: &'t str, sizer: &'t dyn Sizer) -> Self {
        let mut starts = sizer.starts(text);
        move_past_space(text, &mut starts);
        Self { text, starts, sizer }
    }

    /// The units of a range: those that start in it, and one that may reach into it from before.
    ///
    /// So this is never less than what the range alone would count as, for units that do not depend on
    /// what precedes them.
    pub(crate) fn size(&self, range: &Range<usize>) -> usize {
        let (first, reaches_in) = self.first_unit(range);
        let end = self.starts.partition_point(|s| *s < range.end);
        end.saturating_sub(first) + reaches_in
    }

    /// The first unit that starts in the range, and 1 if one from before may reach in.
    fn first_unit(&self, range: &Range<usize>) -> (usize, usize) {
        let text = self.text.get(range.clone()).unwrap_or_default();
        let visible = range.end - text.trim_start().len();
        let first = self.starts.partition_point(|s| *s < visible);
        let before = self.text.get(..visible).and_then(|t| t.chars().next_back());
        let joined = visible < range.end && before.is_some_and(|c| !c.is_whitespace());
        let reaches_in = joined && first > 0 && self.starts.get(first) != Some(&visible);
        (first, usize::from(reaches_in))
    }

    /// Where the range must end at the latest to have at most `units` units; a character boundary.
    pub(crate) fn reach(&self, range: &Range<usize>, units: usize) -> usize {
        let (first, reaches_in) = self.first_unit(range);
        let end = self.starts.get((first + units).saturating_sub(reaches_in)).copied();
        let end = end.unwrap_or(range.end).clamp(range.start, range.end);
        self.text.floor_char_boundary(end)
    }

    /// The size of any text: by offset where it is a slice of the measured one.
    pub(crate) fn size_of(&self, text: &str) -> usize {
        let base = self.text.as_ptr() as usize;
        match (text.as_ptr() as usize).checked_sub(base) {
            Some(start) if start + text.len() <= self.text.len() => self.size(&(start..start + text.len())),
            _ => self.sizer.size(text),
        }
    }
}

/// Moves starts that lie on white space (many tokenizers join it to the next word) to what follows it.
fn move_past_space(text: &str, starts: &mut [usize]) {
    let mut next = (text.len(), text.len());
    for start in starts.iter_mut().rev() {
        let here = *start;
        let space = text.get(here..next.0).map_or(0, |t| t.len() - t.trim_start().len());
        *start = if here + space < next.0 { here + space } else { next.1 };
        next = (here, *start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Characters;
    impl Sizer for Characters {
        fn size(&self, text: &str) -> usize {
            text.chars().filter(|c| !c.is_whitespace()).count()
        }
    }

    #[test]
    fn units_that_begin_with_space_belong_to_what_follows() {
        let mut starts = vec![0, 1, 3, 6, 8];
        move_past_space("ab   cd  ", &mut starts);
        assert_eq!(starts, [0, 1, 5, 6, 9]);
        let mut starts = vec![0, 0, 2, 3, 4];
        move_past_space("    cd", &mut starts);
        assert_eq!(starts, [4, 4, 4, 4, 4]);
    }

    #[test]
    fn words_are_counted_as_people_do() {
        let long = "x".repeat(33);
        for (text, n) in [
            ("", 0),
            ("  \n ", 0),
            ("It's a well-known fact.", 5),
            ("self.stream.write(t_0)", 4),
            (long.as_str(), 3),
            ("日本語 text", 4),
            ("({[;({[;({[;({[;", 2),
            ("a // ---- b", 2),
        ] {
            assert_eq!(Words.size(text), n, "{text}");
        }
    }

    proptest! {
        #[test]
        fn starts_agree_with_size(text in "[a-z(); é日\n']{0,80}") {
            for sizer in [&Words as &dyn Sizer, &Characters] {
                let starts = sizer.starts(&text);
                prop_assert_eq!(starts.len(), sizer.size(&text));
                prop_assert!(starts.is_sorted());
                prop_assert!(starts.iter().all(|s| text.is_char_boundary(*s)));
            }
        }

        #[test]
        fn a_range_never_measures_less_than_its_text(
            text in "([a-z]{1,40}|[(){};.]{1,20}|[é日_' \n]{1,5}){0,12}", a: prop::sample::Index, b: prop::sample::Index
        ) {
            let bounds: Vec<usize> = (0..=text.len()).filter(|i| text.is_char_boundary(*i)).collect();
            let (a, b) = (*a.get(&bounds), *b.get(&bounds));
            let range = a.min(b)..a.max(b);
            let measured = Measured::new(&text, &Words);
            let alone = Words.size(&text[range.clone()]);
            prop_assert!(measured.size(&range) >= alone);
            prop_assert!(measured.size(&range) <= alone + 2);
            prop_assert_eq!(measured.size_of(&text[range.clone()]), measured.size(&range));
            for units in 1..4 {
                let end = measured.reach(&range, units);
                prop_assert!(measured.size(&(range.start..end)) <= units);
            }
        }
    }
}
