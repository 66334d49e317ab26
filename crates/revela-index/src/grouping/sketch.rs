//! Sketches that tell near-duplicates.
//!
//! One-permutation hashing (Li, Owen and Zhang, NIPS 2012): the hashes of a text's runs of three words
//! fall into bins, and each bin keeps its smallest. The share of equal bins, among those that are filled in
//! either text, estimates the Jaccard similarity of the two sets of runs.

const BINS: usize = 64;
const EMPTY: u16 = u16::MAX;

/// What is kept of a text: 128 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sketch([u16; BINS]);

/// The finishing function of SplitMix64: every input bit moves every output bit.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// FNV-1a of a word's letters in lower case.
fn hash_word(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x100_0000_01b3)
    })
}

impl Sketch {
    pub(super) fn of(text: &str) -> Self {
        let mut bins = [EMPTY; BINS];
        let mut before = [0u64; 2];
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let hash = hash_word(word);
            let run = mix(hash ^ before[1].rotate_left(21) ^ before[0].rotate_left(42));
            before = [before[1], hash];
            if let Some(bin) = bins.get_mut((run >> 58) as usize) {
                *bin = (*bin).min(run as u16);
            }
        }
        Self(bins)
    }

    /// Estimate of the Jaccard similarity; texts without words are like nothing.
    pub(super) fn similarity(&self, other: &Self) -> f32 {
        let (mut equal, mut filled) = (0u32, 0u32);
        for (a, b) in self.0.iter().zip(&other.0) {
            let used = *a != EMPTY || *b != EMPTY;
            filled += u32::from(used);
            equal += u32::from(used && a == b);
        }
        equal as f32 / filled.max(1) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: impl Iterator<Item = usize>) -> String {
        words.map(|word| format!("w{word} ")).collect()
    }

    #[test]
    fn estimates_the_share_of_common_runs() {
        let all = Sketch::of(&text(0..300));
        assert_eq!(all.similarity(&Sketch::of(&text(0..300).to_uppercase())), 1.0);
        assert_eq!(all.similarity(&Sketch::of(&text(1000..1300))), 0.0);
        // 150 of 450 runs are common.
        let half = all.similarity(&Sketch::of(&text(150..450)));
        assert!((0.15..0.55).contains(&half), "{half}");
        // One word in 300 differs.
        let edited = text(0..300).replace("w150 ", "changed ");
        assert!(all.similarity(&Sketch::of(&edited)) > 0.85);
    }

    #[test]
    fn short_and_empty_texts() {
        let empty = Sketch::of(" -- ");
        assert_eq!(empty.similarity(&empty), 0.0);
        assert_eq!(Sketch::of("a b").similarity(&Sketch::of("A, b!")), 1.0);
        assert!(Sketch::of("a b").similarity(&Sketch::of("b a")) < 0.5);
    }
}
