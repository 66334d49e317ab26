//! Files that were cut, flipped or forged: errors or answers, never a panic.
#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]

#[path = "../../../fuzz/bodies.rs"]
mod bodies;

use std::fs;

use proptest::prelude::*;
use revela_base::file::FileError;
use revela_base::interrupt::Interrupt;
use revela_base::lines::{LinesReader, LinesWriter};
use revela_base::progress::Silent;
use revela_index::testing::HashEmbedder;
use revela_index::{Collection, CollectionBuilder, CollectionWriter, Error, Passage};
use serde_json::Value;

/// Numbers and texts that edits like to put in place.
fn edits() -> impl Strategy<Value = Vec<u8>> {
    let value =
        prop_oneof![any::<u8>(), proptest::sample::select(b"0123456789\"{}[],:.-/eE\x00\xff".to_vec())];
    let edit = (any::<u16>(), value, any::<u8>());
    let bytes = |(place, value, near): (u16, u8, u8)| [place as u8, (place >> 8) as u8, value, near];
    proptest::collection::vec(edit.prop_map(bytes), 0..12).prop_map(|edits| edits.concat())
}

#[test]
fn forged_files_do_no_harm() {
    let whole = bodies::Whole::new();
    proptest!(ProptestConfig::with_cases(256), |(shard in edits(), manifest in edits())| {
        whole.shard(&shard);
        whole.manifest(&manifest);
    });
}

#[test]
fn every_flip_and_every_cut_of_a_manifest_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let never = Interrupt::new();
    let passage = |id: u32| Passage { id: id.to_string(), title: String::new(), text: format!("text {id}") };
    let passages = (0..20).map(|id| Ok::<_, std::io::Error>(passage(id)));
    let builder = CollectionBuilder::new(dir.path()).shard_rows(10);
    drop(builder.build(passages, Some(&HashEmbedder::new(8)), &Silent, &never).unwrap());
    CollectionWriter::open(dir.path()).unwrap().delete(["3"]).unwrap();
    let path = dir.path().join("manifest.jsonl");
    let whole = fs::read(&path).unwrap();
    let check = || -> Result<(), Error> { Collection::open(dir.path())?.verify(&Silent, &never) };
    check().unwrap();
    // The newline after the trailer carries nothing, so the last byte is left out.
    for at in 0..whole.len() - 1 {
        fs::write(&path, &whole[..at]).unwrap();
        assert!(check().is_err() && CollectionWriter::open(dir.path()).is_err(), "cut at {at}");
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        assert!(check().is_err() && CollectionWriter::open(dir.path()).is_err(), "byte {at}");
    }
    fs::write(&path, &whole).unwrap();
    check().unwrap();
}

#[test]
fn a_folder_of_a_newer_version_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let passage = Passage { id: "a".into(), title: String::new(), text: "b".into() };
    let never = Interrupt::new();
    drop(
        CollectionBuilder::new(dir.path())
            .build([Ok::<_, std::io::Error>(passage)], None, &Silent, &never)
            .unwrap(),
    );
    let path = dir.path().join("manifest.jsonl");
    let (records, settings) = LinesReader::<Value>::open::<Value>(&path, "revela.collection", 1..=1).unwrap();
    let records: Vec<Value> = records.map(Result::unwrap).collect();
    let mut writer = LinesWriter::create(&path, "revela.collection", 9, &settings).unwrap();
    records.iter().for_each(|record| writer.push(record).unwrap());
    writer.finish().unwrap();
    let refused = |error: Error| matches!(error, Error::File(FileError::Version { found: 9, .. }));
    assert!(refused(Collection::open(dir.path()).unwrap_err()));
    assert!(refused(CollectionWriter::open(dir.path()).unwrap_err()));
}
