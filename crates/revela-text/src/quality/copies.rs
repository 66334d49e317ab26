//! Near-copies among any number of chunks.
//!
//! MinHash (Broder 1997) keeps of a set of shingles the least value under each of 64 hash functions, of which
//! the lower 16 bits are enough (Li and König 2010, "b-bit minwise hashing"): the share of equal values estimates
//! the resemblance. Locality-sensitive hashing finds whom to compare with: chunks that agree in all four values
//! of one of 16 bands.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use revela_base::shingles::{Shingles, mix};

const VALUES: usize = 64;
const BAND: usize = 4;

/// What is kept of a chunk: 128 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature([u16; VALUES]);

impl Signature {
    /// The signature, and the bands by which it is found. None for a text without words.
    fn of(shingles: &Shingles) -> Option<(Self, [u32; VALUES / BAND])> {
        let mut least = [u32::MAX; VALUES];
        for &shingle in shingles.hashes() {
            for (slot, (factor, term)) in least.iter_mut().zip(FUNCTIONS) {
                // Multiply-add, and a shift so that all bits of the product have a say.
                let product = shingle.wrapping_mul(factor).wrapping_add(term);
                *slot = (*slot).min(product ^ (product >> 15));
            }
        }
        if shingles.hashes().is_empty() {
            return None;
        }
        let mut bands = [0; VALUES / BAND];
        for (number, (band, values)) in bands.iter_mut().zip(least.chunks(BAND)).enumerate() {
            let joined = values.iter().fold(number as u64 + 1, |all, value| mix(all ^ u64::from(*value)));
            *band = joined as u32;
        }
        Some((Self(least.map(|value| value as u16)), bands))
    }

    /// Estimate of the resemblance, with a standard error of at most 0.0625.
    fn resemblance(&self, other: &Self) -> f32 {
        let equal = self.0.iter().zip(&other.0).filter(|(a, b)| a == b).count();
        equal as f32 / VALUES as f32
    }
}

/// Odd factors and terms of the hash functions.
const FUNCTIONS: [(u32, u32); VALUES] = functions();

const fn functions() -> [(u32, u32); VALUES] {
    let mut all = [(0, 0); VALUES];
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut at = 0;
    while at < VALUES {
        // Xorshift (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all[at] = ((state >> 32) as u32 | 1, state as u32);
        at += 1;
    }
    all
}

/// The chunks that were kept, and where each band was seen first: about 400 bytes per chunk.
#[derive(Debug, Default)]
pub(super) struct Copies {
    signatures: Vec<Signature>,
    bands: HashMap<u32, u32, BuildHasherDefault<Bits>>,
}

impl Copies {
    /// Whether a chunk resembles none that was new before as much as `bound`. It is then one of them itself.
    pub(super) fn is_new(&mut self, shingles: &Shingles, bound: f32) -> bool {
        let Some((signature, bands)) = Signature::of(shingles) else { return true };
        let mut before = bands.iter().filter_map(|band| self.bands.get(band));
        let is_near = |at: &u32| {
            let other = self.signatures.get(*at as usize);
            other.is_some_and(|other| other.resemblance(&signature) >= bound)
        };
        if before.any(is_near) {
            return false;
        }
        let at = u32::try_from(self.signatures.len()).unwrap_or(u32::MAX);
        self.signatures.push(signature);
        for band in bands {
            if let Entry::Vacant(entry) = self.bands.entry(band) {
                entry.insert(at);
            }
        }
        true
    }
}

/// Bands are hashes already.
#[derive(Debug, Default)]
struct Bits(u64);

impl Hasher for Bits {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |all, byte| mix(all ^ u64::from(*byte)));
    }

    fn write_u32(&mut self, value: u32) {
        // The map takes its buckets from the lower bits and its tags from the upper ones.
        self.0 = u64::from(value) | u64::from(value) << 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: impl Iterator<Item = usize>) -> Shingles {
        Shingles::of(&words.map(|word| format!("w{word} ")).collect::<String>())
    }

    #[test]
    fn signatures_estimate_the_resemblance() {
        let mut worst: f32 = 0.0;
        let mut sum = 0.0;
        for n in 0..100 {
            let base = n * 1000;
            let (a, b) = (text(base..base + 60), text(base + 10..base + 70));
            let (x, y) = (Signature::of(&a).unwrap().0, Signature::of(&b).unwrap().0);
            let off = x.resemblance(&y) - a.resemblance(&b);
            worst = worst.max(off.abs());
            sum += off;
        }
        assert!(worst < 0.25 && (sum / 100.0).abs() < 0.02, "{worst} {sum}");
        assert_eq!(Signature::of(&Shingles::of("--")), None);
    }

    #[test]
    fn near_copies_are_found_and_relatives_kept() {
        let mut copies = Copies::default();
        let (mut missed, mut lost) = (0, 0);
        for n in 0..500 {
            let base = n * 1000;
            assert!(copies.is_new(&text(base..base + 100), 0.7), "all of it is new");
            // 92 of 98 runs, of 104 in both; then a third.
            missed += usize::from(copies.is_new(&text(base + 6..base + 106), 0.7));
            lost += usize::from(!copies.is_new(&text(base + 200..base + 250).clone(), 0.7));
            lost += usize::from(!copies.is_new(&text(base + 225..base + 275), 0.7));
        }
        assert!(missed <= 3 && lost == 0, "{missed} missed, {lost} lost");
        let empty = Shingles::of("");
        assert!(copies.is_new(&empty, 0.7) && copies.is_new(&empty, 0.7));
    }
}
