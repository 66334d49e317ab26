//! BLAKE3 checksums of bytes and files, and fingerprints of settings.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::file::FileError;

/// A BLAKE3 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(blake3::Hash);

impl Checksum {
    /// The checksum of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes))
    }

    /// The checksum of a whole file, read in blocks.
    pub fn of_file(path: &Path) -> Result<Self, FileError> {
        let mut file = File::open(path).map_err(FileError::io("open", path))?;
        let mut hasher = blake3::Hasher::new();
        let mut block = vec![0u8; 1 << 16];
        loop {
            let n = file.read(&mut block).map_err(FileError::io("read", path))?;
            if n == 0 {
                return Ok(Self(hasher.finalize()));
            }
            hasher.update(&block[..n]);
        }
    }

    /// The first 16 hexadecimal digits: enough to tell artifacts apart in names and messages.
    pub fn short(&self) -> String {
        self.0.to_hex()[..16].to_owned()
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({self})")
    }
}

impl FromStr for Checksum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Only the spelling that is written counts, so that no byte of a file can change unnoticed.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err("not a BLAKE3 checksum: its digits are not lowercase".to_owned());
        }
        blake3::Hash::from_hex(text).map(Self).map_err(|e| format!("not a BLAKE3 checksum: {e}"))
    }
}

impl TryFrom<String> for Checksum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.to_string()
    }
}

/// A writer that hashes and counts what passes through it.
pub struct HashingWriter<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Wraps a writer.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    /// The checksum of everything written so far.
    pub fn checksum(&self) -> Checksum {
        Checksum(self.hasher.finalize())
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The wrapped writer, for what must not be hashed.
    pub fn inner_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Gives the wrapped writer back.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Builds a fingerprint from named parts; the order of the calls is part of the result.
///
/// Each part is preceded by its length, so that no two different lists of parts collide.
#[derive(Default)]
pub struct Fingerprint(blake3::Hasher);

impl Fingerprint {
    /// An empty fingerprint.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one named part.
    #[must_use]
    pub fn part(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        for piece in [name.as_bytes(), bytes.as_ref()] {
            self.0.update(&(piece.len() as u64).to_le_bytes());
            self.0.update(piece);
        }
        self
    }

    /// The finished fingerprint.
    pub fn finish(self) -> Checksum {
        Checksum(self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_bytes_and_writer_agree() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let bytes = vec![7u8; 200_000];
        std::fs::write(&path, &bytes).unwrap();
        let mut writer = HashingWriter::new(Vec::new());
        writer.write_all(&bytes).unwrap();
        assert_eq!(Checksum::of_file(&path).unwrap(), Checksum::of(&bytes));
        assert_eq!(writer.checksum(), Checksum::of(&bytes));
        assert_eq!(writer.bytes(), 200_000);
    }

    #[test]
    fn text_form_round_trips_and_rejects_rubbish() {
        let checksum = Checksum::of(b"abc");
        let json = serde_json::to_string(&checksum).unwrap();
        assert_eq!(serde_json::from_str::<Checksum>(&json).unwrap(), checksum);
        assert!(serde_json::from_str::<Checksum>("\"abc\"").is_err());
    }

    #[test]
    fn fingerprint_parts_do_not_run_together() {
        let ab_c = Fingerprint::new().part("n", "ab").part("n", "c").finish();
        let a_bc = Fingerprint::new().part("n", "a").part("n", "bc").finish();
        assert_ne!(ab_c, a_bc);
    }
}
