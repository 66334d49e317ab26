//! How much two texts have in common: sets of shingles (Broder 1997, "On the resemblance and containment of
//! documents").
//!
//! A shingle is a run of three words. Two texts resemble each other as far as the sets of their shingles are
//! the same, and one is contained in the other as far as its shingles are among the other's.

/// Words of a shingle.
const WIDTH: usize = 3;

/// The set of a text's shingles, as hashes: at most four bytes per word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shingles {
    /// Ascending, each once.
    hashes: Vec<u32>,
    /// Shingles of the text, repeated ones included.
    total: usize,
}

/// Every input bit moves every output bit (the finishing function of SplitMix64).
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// FNV-1a of a word in lower case.
fn hash_word(word: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let mut bytes = [0; 4];
    let lower = word.chars().flat_map(char::to_lowercase);
    lower.fold(0xcbf2_9ce4_8422_2325, |hash, c| c.encode_utf8(&mut bytes).bytes().fold(hash, step))
}

impl Shingles {
    /// The shingles of a text. Words are runs of letters and digits, and each character of a script without
    /// spaces; capitals do not count. A text of one or two words has one shingle.
    pub fn of(text: &str) -> Self {
        let words: Vec<u64> = words(text).map(hash_word).collect();
        let run = |run: &[u64]| {
            // The hashes of the words in order, so that a run and its reverse differ.
            let joined = run.iter().fold(0, |all: u64, word| all.rotate_left(21) ^ mix(*word));
            (mix(joined) >> 32) as u32
        };
        let mut hashes: Vec<u32> = match words.len() {
            0 => Vec::new(),
            1..WIDTH => vec![run(&words)],
            _ => words.windows(WIDTH).map(run).collect(),
        };
        let total = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        Self { hashes, total }
    }

    /// The hashes, ascending, each once.
    pub fn hashes(&self) -> &[u32] {
        &self.hashes
    }

    /// Share of the text's shingles that are not there already, in `(0, 1]`; 1 for a text without words.
    pub fn distinct(&self) -> f32 {
        if self.total == 0 { 1.0 } else { self.hashes.len() as f32 / self.total as f32 }
    }

    /// Shared shingles over all, in `[0, 1]` (Jaccard similarity); texts without words resemble nothing.
    pub fn resemblance(&self, other: &Self) -> f32 {
        let shared = self.shared(other);
        shared as f32 / (self.hashes.len() + other.hashes.len() - shared).max(1) as f32
    }

    /// Shared shingles over those of the text that has fewer, in `[0, 1]`: how far the one is contained in
    /// the other, whichever is the larger share.
    pub fn containment(&self, other: &Self) -> f32 {
        self.shared(other) as f32 / self.hashes.len().min(other.hashes.len()).max(1) as f32
    }

    fn shared(&self, other: &Self) -> usize {
        let (mut left, mut right) = (self.hashes.iter().peekable(), other.hashes.iter().peekable());
        let mut shared = 0;
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let order = a.cmp(b);
            shared += usize::from(order.is_eq());
            if order.is_le() {
                left.next();
            }
            if order.is_ge() {
                right.next();
            }
        }
        shared
    }
}

/// Runs of letters and digits; ideographs, kana and hangul one by one.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let runs = text.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty());
    runs.flat_map(|run| {
        let by_itself =
            run.chars().next().is_some_and(|c| matches!(u32::from(c), 0x2E80..=0x9FFF | 0xAC00..=0xD7AF));
        let step = if by_itself { 1 } else { run.len() };
        let mut rest = run;
        std::iter::from_fn(move || {
            let end = rest.ceil_char_boundary(step.min(rest.len()));
            let (word, after) = rest.split_at_checked(end)?;
            rest = after;
            (!word.is_empty()).then_some(word)
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(words: impl Iterator<Item = usize>) -> String {
        words.map(|word| format!("w{word} ")).collect()
    }

    #[test]
    fn resemblance_and_containment_are_shares_of_runs() {
        let all = Shingles::of(&text(0..300));
        assert_eq!(all.hashes().len(), 298);
        assert_eq!(all.resemblance(&Shingles::of(&text(0..300).to_uppercase())), 1.0);
        assert_eq!(all.resemblance(&Shingles::of(&text(1000..1300))), 0.0);
        let half = Shingles::of(&text(150..450));
        assert_eq!(all.resemblance(&half), 148.0 / 448.0);
        assert_eq!(all.containment(&half), 148.0 / 298.0);
        let part = Shingles::of(&text(10..30));
        assert_eq!((all.containment(&part), part.containment(&all)), (1.0, 1.0));
        assert!(all.resemblance(&part) < 0.1);
    }

    #[test]
    fn short_texts_and_texts_without_spaces() {
        let empty = Shingles::of(" -- ");
        assert_eq!((empty.resemblance(&empty), empty.containment(&empty), empty.distinct()), (0.0, 0.0, 1.0));
        assert_eq!(Shingles::of("a b").resemblance(&Shingles::of("A, b!")), 1.0);
        assert_eq!(Shingles::of("a b").resemblance(&Shingles::of("b a")), 0.0);
        assert_eq!(Shingles::of("a b c").resemblance(&Shingles::of("c b a")), 0.0);
        assert_eq!(Shingles::of("這是測試文件").hashes().len(), 4);
        assert_eq!(Shingles::of("Größe der Straße").resemblance(&Shingles::of("GRÖSSE der straße")), 0.0);
        assert_eq!(Shingles::of("ÄPFEL und Öl").resemblance(&Shingles::of("äpfel und öl")), 1.0);
    }

    #[test]
    fn repetition_is_seen() {
        assert_eq!(Shingles::of(&"one two three ".repeat(50)).distinct(), 3.0 / 148.0);
        assert_eq!(Shingles::of(&text(0..50)).distinct(), 1.0);
    }

    proptest! {
        #[test]
        fn they_are_symmetric_and_bounded(a in "([a-c]{1,2}[ .日]){0,30}", b in "([a-c]{1,2}[ .日]){0,30}") {
            let (x, y) = (Shingles::of(&a), Shingles::of(&b));
            prop_assert_eq!(x.resemblance(&y), y.resemblance(&x));
            prop_assert_eq!(x.containment(&y), y.containment(&x));
            prop_assert!((0.0..=1.0).contains(&x.resemblance(&y)));
            prop_assert!(x.resemblance(&y) <= x.containment(&y));
            prop_assert!(x.containment(&y) <= 1.0);
            if !x.hashes().is_empty() {
                prop_assert_eq!(x.resemblance(&x), 1.0);
            }
        }
    }
}
