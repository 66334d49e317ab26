//! What people type instead of a sentence: some of its words.

use rand::RngExt;
use revela_base::seed::Seed;

/// Fewer words than this ask for nothing.
const LEAST: usize = 2;

/// About half of a sentence's words, in their order, drawn from this seed; all of them where too few would remain.
pub fn keywords(sentence: &str, seed: Seed) -> String {
    let mut stream = seed.stream("keywords");
    let kept: Vec<&str> = sentence.split_whitespace().filter(|_| stream.random_bool(0.5)).collect();
    if kept.len() < LEAST { sentence.to_owned() } else { kept.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_words_remain_in_their_order() {
        let sentence = "reads a whole file into memory and gives back what it holds";
        let mut lengths = Vec::new();
        for seed in 0..200 {
            let kept = keywords(sentence, Seed(seed));
            assert_eq!(kept, keywords(sentence, Seed(seed)));
            let mut words = sentence.split(' ');
            assert!(kept.split(' ').all(|word| words.any(|w| w == word)), "{kept}");
            lengths.push(kept.split(' ').count());
        }
        let mean = lengths.iter().sum::<usize>() as f64 / 200.0;
        assert!((5.0..7.0).contains(&mean), "{mean}");
        assert!(lengths.iter().all(|n| *n >= LEAST));
        assert_eq!(keywords("one", Seed(3)), "one");
        assert_eq!(keywords("", Seed(3)), "");
    }
}
