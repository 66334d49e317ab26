//! JSON files that say what they are and prove that they are whole.
//!
//! The document's own fields stand beside `format`, `version` and `blake3`. The checksum covers the
//! value, not the bytes: indenting a file anew, or sorting its keys, does no harm.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checksum::{Checksum, Fingerprint};
use crate::file::{FileError, check_version, write_atomic};

/// Name and version of a format; older versions than the current one are not read yet.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// What the file says it is.
    pub name: &'static str,
    /// The version that is written, and the only one that is read.
    pub version: u32,
}

#[derive(Serialize, Deserialize)]
struct Seal {
    format: String,
    version: u32,
    blake3: Checksum,
}

#[derive(Serialize)]
struct Sealed<'a, T> {
    #[serde(flatten)]
    seal: Seal,
    #[serde(flatten)]
    body: &'a T,
}

fn checksum(format: &str, version: u32, mut body: Value) -> Checksum {
    body.sort_all_objects();
    Fingerprint::new()
        .part("format", format)
        .part("version", version.to_le_bytes())
        .part("body", body.to_string())
        .finish()
}

/// Writes a document; it appears under its name when it is whole.
///
/// # Errors
/// A file system error, or a document that JSON cannot hold, such as one with NaN.
pub fn write<T: Serialize + DeserializeOwned>(
    path: &Path,
    format: Format,
    body: &T,
) -> Result<(), FileError> {
    let encode = |e: serde_json::Error| FileError::io("encode", path)(e.into());
    let value = serde_json::to_value(body).map_err(encode)?;
    // JSON turns NaN into null, which would only be noticed when the file is read.
    serde_json::from_value::<T>(value.clone()).map_err(encode)?;
    let blake3 = checksum(format.name, format.version, value);
    let seal = Seal { format: format.name.to_owned(), version: format.version, blake3 };
    let mut text = serde_json::to_vec_pretty(&Sealed { seal, body }).map_err(encode)?;
    text.push(b'\n');
    write_atomic(path, |out| out.write_all(&text))
}

/// Reads a document after checking format, version and checksum.
///
/// # Errors
/// [`FileError`] for a file that cannot be read, is of another format or version, or is damaged.
pub fn read<T: DeserializeOwned>(path: &Path, format: Format) -> Result<T, FileError> {
    let bytes = fs::read(path).map_err(FileError::io("read", path))?;
    let not_ours = |detail: String| FileError::Format {
        path: path.to_owned(),
        expected: format.name.to_owned(),
        detail,
    };
    let mut value: Value = serde_json::from_slice(&bytes).map_err(|e| not_ours(e.to_string()))?;
    let found = value.get("format").and_then(Value::as_str).unwrap_or("nothing by name");
    if found != format.name {
        return Err(not_ours(format!("it says that it is {found}")));
    }
    let version = value.get("version").and_then(Value::as_u64).unwrap_or(0);
    let version = u32::try_from(version).unwrap_or(u32::MAX);
    check_version(path, format.name, version, format.version..=format.version)?;
    let seal: Seal = serde_json::from_slice(&bytes).map_err(|e| FileError::corrupt(path, e.to_string()))?;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !["format", "version", "blake3"].contains(&name.as_str()));
    }
    if checksum(&seal.format, seal.version, value) != seal.blake3 {
        return Err(FileError::corrupt(path, "its checksum does not match"));
    }
    // From the bytes, not from the value: maps that keep their order then do.
    serde_json::from_slice(&bytes).map_err(|e| FileError::corrupt(path, e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexmap::IndexMap;
    use proptest::prelude::*;

    const FORMAT: Format = Format { name: "revela.test", version: 3 };

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Body {
        numbers: IndexMap<String, f64>,
    }

    fn body(pairs: &[(&str, f64)]) -> Body {
        Body { numbers: pairs.iter().map(|&(name, number)| (name.to_owned(), number)).collect() }
    }

    #[test]
    fn order_survives_and_reformatting_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let written = body(&[("z", 0.1), ("a", 1e-300), ("m", 2.0 / 3.0)]);
        write(&path, FORMAT, &written).unwrap();
        let read_back: Body = read(&path, FORMAT).unwrap();
        assert!(read_back.numbers.keys().eq(written.numbers.keys()));
        assert_eq!(read_back, written);
        let value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        fs::write(&path, value.to_string()).unwrap();
        assert_eq!(read::<Body>(&path, FORMAT).unwrap(), written);
    }

    #[test]
    fn damage_other_formats_and_other_versions_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write(&path, FORMAT, &body(&[("a", 0.25)])).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let with = |from: &str, to: &str| {
            assert!(text.contains(from));
            fs::write(&path, text.replace(from, to)).unwrap();
            read::<Body>(&path, FORMAT).unwrap_err()
        };
        assert!(matches!(with("0.25", "0.26"), FileError::Corrupt { .. }));
        assert!(matches!(with("\"a\"", "\"b\""), FileError::Corrupt { .. }));
        assert!(matches!(with("revela.test", "revela.other"), FileError::Format { .. }));
        assert!(matches!(with("\"version\": 3", "\"version\": 4"), FileError::Version { found: 4, .. }));
        assert!(matches!(with("{", "["), FileError::Format { .. }));
        assert!(matches!(with("\"blake3\"", "\"blake4\""), FileError::Corrupt { .. }));
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_refused_when_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert!(write(&path, FORMAT, &body(&[("a", f64::NAN)])).is_err());
        assert!(!path.exists());
    }

    proptest! {
        #[test]
        fn every_number_survives(numbers in proptest::collection::vec(proptest::num::f64::NORMAL, 0..20)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.json");
            let numbers = numbers.into_iter().enumerate().map(|(i, n)| (i.to_string(), n)).collect();
            let written = Body { numbers };
            write(&path, FORMAT, &written).unwrap();
            prop_assert_eq!(read::<Body>(&path, FORMAT).unwrap(), written);
        }
    }
}
