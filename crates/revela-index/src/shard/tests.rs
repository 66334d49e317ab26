use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use revela_base::checksum::Checksum;

use super::*;
use crate::metric::Metric;
use crate::vectors::Vectors;

struct Written {
    dir: tempfile::TempDir,
    vectors: Vectors,
    identity: Checksum,
}

impl Written {
    fn path(&self) -> PathBuf {
        self.dir.path().join("x.shard")
    }
}

fn write(ids: &[String], dim: usize) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let data = (0..ids.len() * dim).map(|i| (i as f32).sin()).collect();
    let vectors = Vectors::new("x", dim, data).unwrap();
    let encoder = Some(Checksum::of(b"encoder"));
    let input = ShardInput { metric: Metric::Dot, rows: Some(vectors.view()), ids, seed: 9, encoder };
    let identity = input.write(&dir.path().join("x.shard")).unwrap();
    Written { dir, vectors, identity }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("id-{}", i * 7919 % 1009)).collect()
}

/// Uses everything that a shard offers; only errors may come of it.
fn use_everything(path: &Path) -> Result<(), crate::Error> {
    let shard = Shard::open(path)?;
    for row in 0..shard.len().min(64) {
        let id = shard.id(row)?.to_owned();
        shard.find(&id)?;
    }
    shard.find("absent")?;
    if let Some(rows) = shard.rows() {
        crate::flat::search(rows, rows, 3, &|_| true)?;
    }
    shard.verify()?;
    Ok(())
}

#[test]
fn round_trip() {
    let ids = names(700);
    let written = write(&ids, 5);
    let shard = Shard::open(&written.path()).unwrap();
    assert_eq!((shard.len(), shard.header().dim, shard.header().seed), (700, 5, 9));
    assert_eq!(shard.header().encoder, Some(Checksum::of(b"encoder")));
    assert_eq!(shard.rows().unwrap(), written.vectors.view());
    assert_eq!(shard.identity(), written.identity);
    for (row, id) in ids.iter().enumerate() {
        assert_eq!(shard.id(row as u32).unwrap(), id);
        assert_eq!(shard.find(id).unwrap(), Some(row as u32));
    }
    assert!(shard.id(700).is_err() && shard.id(u32::MAX).is_err());
    assert_eq!(shard.find("id").unwrap(), None);
    assert_eq!(shard.find("").unwrap(), None);
    assert_eq!(shard.find("zz").unwrap(), None);
    shard.verify().unwrap();
}

#[test]
fn rows_without_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let ids = names(3);
    let input = ShardInput { metric: Metric::Cosine, rows: None, ids: &ids, seed: 0, encoder: None };
    input.write(&path).unwrap();
    let shard = Shard::open(&path).unwrap();
    assert!(shard.rows().is_none() && shard.header().encoder.is_none());
    assert_eq!(shard.find(&ids[1]).unwrap(), Some(1));
    shard.verify().unwrap();
}

#[test]
fn the_last_of_equal_ids_is_found() {
    let ids = ["b", "a", "b", "", "b", "c"].map(str::to_owned);
    let shard = write(&ids, 2);
    let shard = Shard::open(&shard.path()).unwrap();
    assert_eq!(shard.find("b").unwrap(), Some(4));
    assert_eq!(shard.find("").unwrap(), Some(3));
}

#[test]
fn impossible_inputs_are_refused() {
    let vectors = Vectors::new("x", 2, vec![1.0; 4]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let mut input =
        ShardInput { metric: Metric::Dot, rows: Some(vectors.view()), ids: &[], seed: 0, encoder: None };
    assert!(input.write(&path).unwrap_err().to_string().contains("0 ids for 2 rows"));
    let none = Vectors::empty(2).unwrap();
    input.rows = Some(none.view());
    assert!(input.write(&path).unwrap_err().to_string().contains("1 to"));
    assert!(!path.exists());
}

/// Every byte flipped in three ways and every cut: never accepted, never a panic.
#[test]
fn every_flip_and_every_cut_is_noticed() {
    let written = write(&names(12), 3);
    let path = written.path();
    let whole = fs::read(&path).unwrap();
    use_everything(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(use_everything(&path).is_err(), "cut at {cut}");
    }
    for at in 0..whole.len() {
        for flip in [1u8, 0x80, 0xff] {
            let mut bad = whole.clone();
            bad[at] ^= flip;
            fs::write(&path, &bad).unwrap();
            assert!(use_everything(&path).is_err(), "byte {at} xor {flip}");
        }
    }
    fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(use_everything(&path).is_err(), "a byte too many");
}

#[test]
fn other_files_and_versions_are_named() {
    let written = write(&names(2), 2);
    let path = written.path();
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    fs::write(&path, &bytes).unwrap();
    let error = Shard::open(&path).unwrap_err().to_string();
    assert!(error.contains("version 9"), "{error}");
    fs::write(&path, b"something else that is long enough to be a shard".repeat(9)).unwrap();
    let error = Shard::open(&path).unwrap_err().to_string();
    assert!(error.contains("is not a revela.shard file"), "{error}");
}

proptest! {
    /// Several bytes replaced at once, and the checksum of the header made right again, as someone who
    /// means harm would do: errors or results, no panic.
    #[test]
    fn forged_headers_do_no_harm(
        edits in proptest::collection::vec((0usize..640, any::<u8>()), 1..6),
        cut in 0usize..64,
    ) {
        let written = write(&names(9), 3);
        let path = written.path();
        let mut bytes = fs::read(&path).unwrap();
        for (at, value) in edits {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        super::format::reseal(&mut bytes);
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        fs::write(&path, &bytes).unwrap();
        let _ = use_everything(&path);
    }
}
