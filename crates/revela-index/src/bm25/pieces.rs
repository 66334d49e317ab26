//! A text in the pieces of which terms are made: words where a script puts spaces between them, overlapping pairs
//! of characters where it does not, and symbols.
//!
//! Pairs are made as Lucene's CJK analyser makes them: of neighbours in a run of such scripts, whichever they are;
//! a character that stands alone is a piece by itself. "Character" is what a reader sees as one (an extended
//! grapheme cluster), so that no vowel sign or accent is parted from its letter.

use std::borrow::Cow;
use std::ops::Range;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{ExtendedPictographic, RegionalIndicator, Script};
use icu_properties::{CodePointMapData, CodePointSetData};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_segmentation::UnicodeSegmentation;

/// Stands between letters that belong together but are not joined, as in Persian; taken as a gap.
const NON_JOINER: char = '\u{200C}';

/// Below this, what may be shown as a picture is a sign of print, such as ©, ™ and ↔.
const FIRST_PICTURE: char = '\u{231A}';

/// Scripts that are written without spaces between words, or, as Korean, with parts of words that are searched for.
const UNSPACED: [Script; 16] = [
    Script::Han,
    Script::Hiragana,
    Script::Katakana,
    Script::Hangul,
    Script::Bopomofo,
    Script::Thai,
    Script::Lao,
    Script::Khmer,
    Script::Myanmar,
    Script::TaiLe,
    Script::NewTaiLue,
    Script::TaiTham,
    Script::TaiViet,
    Script::Yi,
    Script::Javanese,
    Script::Balinese,
];

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters, digits and their marks.
    Word,
    /// Two characters of scripts without spaces, or one that has no neighbour.
    Gram,
    /// One emoji, flags and joined ones among them.
    Symbol,
}

/// What a character is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Unspaced,
    Symbol,
    Gap,
}

/// Whether underscores belong to words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Underscores {
    Divide,
    Join,
}

/// The pieces of a text with their bytes, in order.
pub(super) struct Pieces<'a> {
    text: &'a str,
    underscores: Underscores,
    /// Everything before this byte is done.
    at: usize,
    /// The character before, where it is of a script without spaces, and whether it is in a pair already.
    before: Option<(Range<usize>, bool)>,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(text: &'a str, underscores: Underscores) -> Self {
        Self { text, underscores, at: 0, before: None }
    }

    /// The next character, which is not gone past.
    fn next_character(&self) -> Option<(Range<usize>, Class)> {
        let bytes = self.text.as_bytes();
        let first = *bytes.get(self.at)?;
        if first.is_ascii() && bytes.get(self.at + 1).is_none_or(u8::is_ascii) {
            return Some((self.at..self.at + 1, self.class(char::from(first))));
        }
        let cluster = self.text.get(self.at..)?.graphemes(true).next()?;
        Some((self.at..self.at + cluster.len(), self.class(cluster.chars().next()?)))
    }

    fn class(&self, c: char) -> Class {
        if c.is_ascii() {
            let is_word = c.is_ascii_alphanumeric() || (c == '_' && self.underscores == Underscores::Join);
            return if is_word { Class::Word } else { Class::Gap };
        }
        if is_unspaced(c) {
            Class::Unspaced
        } else if c.is_alphanumeric() {
            Class::Word
        } else if is_picture(c) {
            Class::Symbol
        } else {
            Class::Gap
        }
    }

    /// The rest of a word that begins with this character.
    fn word(&mut self, first: Range<usize>) -> Range<usize> {
        let start = first.start;
        self.at = first.end;
        while !self.ends_with_non_joiner()
            && let Some((range, Class::Word)) = self.next_character()
        {
            self.at = range.end;
        }
        start..self.at
    }

    fn ends_with_non_joiner(&self) -> bool {
        self.text.get(..self.at).is_some_and(|done| done.ends_with(NON_JOINER))
    }
}

impl Iterator for Pieces<'_> {
    type Item = (Kind, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = self.next_character();
            if let Some((range, Class::Unspaced)) = &next {
                self.at = range.end;
                if let Some((before, _)) = self.before.replace((range.clone(), false)) {
                    self.before = Some((range.clone(), true));
                    return Some((Kind::Gram, before.start..range.end));
                }
                continue;
            }
            if let Some((alone, false)) = self.before.take() {
                return Some((Kind::Gram, alone));
            }
            match next? {
                (range, Class::Word) => return Some((Kind::Word, self.word(range))),
                (range, Class::Symbol) => {
                    self.at = range.end;
                    return Some((Kind::Symbol, range));
                }
                (range, _) => self.at = range.end,
            }
        }
    }
}

fn is_unspaced(c: char) -> bool {
    let script = CodePointMapData::<Script>::new().get(c);
    // Marks of length and repetition belong to several scripts, and so to none.
    let is_shared = matches!(c, '\u{3006}' | '\u{3031}'..='\u{3035}' | '\u{30FC}' | '\u{FF70}');
    // Digits of these scripts make numbers; Han has signs that are letters and digits in one.
    script == Script::Han || is_shared || (UNSPACED.contains(&script) && c.is_alphabetic() && !c.is_numeric())
}

fn is_picture(c: char) -> bool {
    c >= FIRST_PICTURE
        && (CodePointSetData::new::<ExtendedPictographic>().contains(c)
            || CodePointSetData::new::<RegionalIndicator>().contains(c))
}

/// Writes a piece as a term: compatibility forms (full width, half width, ligatures) and decomposed letters become
/// the usual ones, and what only changes how something is shown is left out.
pub(super) fn write_term(kind: Kind, piece: &str, term: &mut String) {
    term.clear();
    if piece.is_ascii() {
        term.push_str(piece);
        return;
    }
    let is_seen = |c: &char| match kind {
        Kind::Symbol => !matches!(c, '\u{FE0E}' | '\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}'),
        Kind::Word | Kind::Gram => !matches!(c, '\u{200B}'..='\u{200D}' | '\u{FE00}'..='\u{FE0F}'),
    };
    let usual = match kind {
        Kind::Symbol => Cow::Borrowed(piece),
        Kind::Word | Kind::Gram => ComposingNormalizerBorrowed::new_nfkc().normalize(piece),
    };
    term.extend(usual.chars().filter(is_seen));
}

/// Gives every piece of a text as a token.
#[derive(Clone, Default)]
pub(super) struct PieceTokenizer {
    token: Token,
}

pub(super) struct PieceStream<'a> {
    text: &'a str,
    pieces: Pieces<'a>,
    token: &'a mut Token,
}

impl Tokenizer for PieceTokenizer {
    type TokenStream<'a> = PieceStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> PieceStream<'a> {
        self.token.reset();
        PieceStream { text, pieces: Pieces::of(text, Underscores::Divide), token: &mut self.token }
    }
}

impl TokenStream for PieceStream<'_> {
    fn advance(&mut self) -> bool {
        let Some((kind, range)) = self.pieces.next() else { return false };
        write_term(kind, self.text.get(range.clone()).unwrap_or_default(), &mut self.token.text);
        self.token.offset_from = range.start;
        self.token.offset_to = range.end;
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(text: &str) -> Vec<String> {
        let mut tokenizer = PieceTokenizer::default();
        let mut stream = tokenizer.token_stream(text);
        let mut terms = Vec::new();
        while stream.advance() {
            terms.push(stream.token().text.clone());
        }
        terms
    }

    #[test]
    fn runs_without_spaces_become_pairs_as_in_lucenes_cjk_analyser() {
        for (text, expected) in [
            ("春夏秋冬", &["春夏", "夏秋", "秋冬"][..]),
            ("山 川海 空", &["山", "川海", "空"]),
            ("猫がミルクを飲む。", &["猫が", "がミ", "ミル", "ルク", "クを", "を飲", "飲む"]),
            ("かなabc漢字x山", &["かな", "abc", "漢字", "x", "山"]),
            ("コーヒー", &["コー", "ーヒ", "ヒー"]),
            ("고양이가 물", &["고양", "양이", "이가", "물"]),
            ("二〇二四年8月", &["二〇", "〇二", "二四", "四年", "8", "月"]),
            ("時々", &["時々"]),
            ("𠀋𠮷野", &["𠀋𠮷", "𠮷野"]),
        ] {
            assert_eq!(terms(text), expected, "{text}");
        }
    }

    #[test]
    fn marks_stay_with_their_letters() {
        assert_eq!(terms("น้ำดี").len(), 1);
        let text = "ที่นี่มีน้ำ";
        for (_, range) in Pieces::of(text, Underscores::Divide) {
            assert_eq!(text[range.clone()].graphemes(true).count(), 2, "{}", &text[range]);
        }
        assert_eq!(terms("៖ឃ្លា។"), terms("ឃ្លា"));
        assert_eq!(terms("๒๕๖๗"), ["๒๕๖๗"], "digits make numbers");
        assert_eq!(terms("हिन्दी में"), ["हिन्दी", "में"]);
    }

    #[test]
    fn forms_of_the_same_text_are_the_same_terms() {
        for (one, other) in [
            ("ＡＢＣ１２３", "ABC123"),
            ("ｶﾞｲﾄﾞ", "ガイド"),
            ("\u{30AB}\u{3099}イ", "ガイ"),
            ("\u{1112}\u{1161}\u{11AB}\u{1100}\u{1173}\u{11AF}", "한글"),
            ("cafe\u{301}", "café"),
            ("ﬁle", "file"),
            ("❤\u{FE0F}", "❤"),
            ("👍🏽", "👍"),
        ] {
            assert_eq!(terms(one), terms(other), "{one} {other}");
        }
    }

    #[test]
    fn emoji_are_pieces_and_signs_of_print_are_not() {
        assert_eq!(
            terms("ship 🚀🚀it 👩\u{200D}🚀 🇯🇵🇰🇷"),
            ["ship", "🚀", "🚀", "it", "👩\u{200D}🚀", "🇯🇵", "🇰🇷"]
        );
        assert_eq!(terms("a© b™ c→d"), ["a", "b", "c", "d"]);
    }

    #[test]
    fn other_scripts_are_words() {
        assert_eq!(terms("L'été, größer; don't_stop"), ["L", "été", "größer", "don", "t", "stop"]);
        assert_eq!(terms("Поиск работает"), ["Поиск", "работает"]);
        assert_eq!(terms("می\u{200C}خواهم"), ["می", "خواهم"]);
        assert_eq!(terms(""), [""; 0]);
    }

    proptest! {
        /// Text of letters, digits and signs of ASCII is cut as tantivy's simple tokenizer cuts it.
        #[test]
        fn ascii_is_cut_at_what_is_no_letter_or_digit(text in "[ -~]{0,60}") {
            let simple: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
            prop_assert_eq!(terms(&text), simple);
        }

        /// Whatever the text, pieces are ascending places in it, and none is empty.
        #[test]
        fn pieces_are_places_in_the_text(text in "\\PC{0,40}") {
            let mut start = 0;
            for (_, range) in Pieces::of(&text, Underscores::Join) {
                prop_assert!(range.start >= start && range.end > range.start);
                prop_assert!(text.get(range.clone()).is_some());
                start = range.start;
            }
        }
    }
}
