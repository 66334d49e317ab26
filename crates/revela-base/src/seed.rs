//! One seed, split by name into independent random streams.
//!
//! Naming the streams keeps them apart: drawing more numbers for the data order does not change the
//! initialisation. ChaCha8 is used because its stream is specified, so a seed means the same in later
//! versions of the crates.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::checksum::Fingerprint;

/// The number a user gives with `--seed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// The random stream of this name.
    pub fn stream(self, name: &str) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.derive(name).0)
    }

    /// A seed of its own for a part, or for one step of a loop (`derive("epoch").derive("3")`).
    #[must_use]
    pub fn derive(self, name: &str) -> Self {
        let text = Fingerprint::new().part("seed", self.0.to_le_bytes()).part("name", name).finish().short();
        Self(u64::from_str_radix(&text, 16).unwrap_or(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn streams_repeat_and_differ_by_name() {
        let draw = |name| Seed(7).stream(name).next_u64();
        assert_eq!(draw("data"), draw("data"));
        assert_ne!(draw("data"), draw("init"));
        assert_ne!(Seed(7).derive("a"), Seed(8).derive("a"));
    }

    #[test]
    fn the_stream_is_the_same_in_every_version() {
        assert_eq!(Seed(42).derive("data"), Seed(15_679_683_495_984_774_241));
    }
}
