//! Sets of a shard's rows: what is deleted, what a filter lets through.

use std::path::Path;

use revela_base::checksum::Checksum;
use revela_base::file::{FileError, check_version, write_atomic};

/// A set of row numbers below a limit, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowSet {
    limit: u32,
    words: Vec<u64>,
}

const FORMAT: &str = "revela.rows";
const MAGIC: &[u8; 8] = b"RVLROWS\0";
const VERSION: u32 = 1;
const HEAD: usize = 16;
const DIGEST: usize = 64;

impl RowSet {
    /// The empty set of rows below `limit`.
    pub(crate) fn empty(limit: u32) -> Self {
        Self { limit, words: vec![0; limit.div_ceil(64) as usize] }
    }

    /// Adds a row; rows at or above the limit are ignored. Returns whether it was new.
    pub(crate) fn insert(&mut self, row: u32) -> bool {
        if row >= self.limit {
            return false;
        }
        let (word, bit) = (row as usize / 64, 1u64 << (row % 64));
        match self.words.get_mut(word) {
            Some(word) => {
                let new = *word & bit == 0;
                *word |= bit;
                new
            }
            None => false,
        }
    }

    /// Whether a row is in the set.
    #[inline]
    pub(crate) fn contains(&self, row: u32) -> bool {
        self.words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// The rows in the set, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).step_by(64).zip(&self.words).flat_map(|(first, &word)| {
            let bits = std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)));
            bits.take_while(|&word| word != 0).map(move |word| first + word.trailing_zeros())
        })
    }

    /// How many rows are in the set.
    pub(crate) fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Writes the set to a file: magic, version, limit, bits, BLAKE3 of all that.
    pub(crate) fn write(&self, path: &Path) -> Result<(), FileError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.limit.to_le_bytes());
        bytes.extend_from_slice(bytemuck::cast_slice(&self.words));
        let checksum = Checksum::of(&bytes).to_string();
        write_atomic(path, |out| {
            out.write_all(&bytes)?;
            out.write_all(checksum.as_bytes())
        })
    }

    /// Reads and checks a file for rows below `limit`.
    pub(crate) fn read(path: &Path, limit: u32) -> Result<Self, FileError> {
        let bytes = std::fs::read(path).map_err(FileError::io("read", path))?;
        let number =
            |at: usize| bytes.get(at..).and_then(|b| b.first_chunk()).map(|b| u32::from_le_bytes(*b));
        if bytes.get(..8) != Some(MAGIC.as_slice()) {
            let detail = "it does not begin like one".to_owned();
            return Err(FileError::Format { path: path.to_owned(), expected: FORMAT.to_owned(), detail });
        }
        if let Some(found) = number(8) {
            check_version(path, FORMAT, found, VERSION..=VERSION)?;
        }
        let set = Self::empty(limit);
        let end = HEAD + 8 * set.words.len();
        let (Some(limit_in_file), true) = (number(12), bytes.len() == end + DIGEST) else {
            return Err(FileError::corrupt(path, "it has the wrong length"));
        };
        let (content, checksum) = bytes.split_at(end);
        if Checksum::of(content).to_string().as_bytes() != checksum || limit_in_file != limit {
            return Err(FileError::corrupt(path, "its checksum does not match"));
        }
        let (words, _) = content[HEAD..].as_chunks::<8>();
        Ok(Self { limit, words: words.iter().map(|&word| u64::from_le_bytes(word)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_set_below_its_limit() {
        let mut set = RowSet::empty(130);
        for row in [0, 63, 64, 129, 129] {
            set.insert(row);
        }
        assert!(!set.insert(130) && !set.insert(u32::MAX) && !set.insert(0));
        assert_eq!(set.count(), 4);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert!(set.contains(129) && !set.contains(1) && !set.contains(130) && !set.contains(u32::MAX));
        assert_eq!(RowSet::empty(0).count(), 0);
    }

    #[test]
    fn files_round_trip_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut set = RowSet::empty(100);
        set.insert(7);
        set.insert(99);
        set.write(&path).unwrap();
        assert_eq!(RowSet::read(&path, 100).unwrap(), set);
        assert!(RowSet::read(&path, 99).is_err() && RowSet::read(&path, 200).is_err());
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 4;
            std::fs::write(&path, &bad).unwrap();
            assert!(RowSet::read(&path, 100).is_err(), "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(RowSet::read(&path, 100).is_err(), "cut at {at}");
        }
    }
}
