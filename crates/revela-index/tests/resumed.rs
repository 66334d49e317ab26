//! A build that goes on after an error does not make again what it has made.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::testing::HashEmbedder;
use revela_index::{
    Collection, CollectionBuilder, CollectionWriter, Duplicates, Error, GraphOptions, InsertOrder, Passage,
    Structure, VectorOptions,
};

const DIM: usize = 16;

type Given = Result<Passage, std::io::Error>;

fn passage(id: u32) -> Given {
    Ok(Passage { id: format!("p{id}"), title: format!("t{id}"), text: format!("text {id}") })
}

fn failing(passages: impl Iterator<Item = Given>) -> impl Iterator<Item = Given> {
    passages.chain([Err(std::io::Error::other("cut off"))])
}

fn builder(path: &Path) -> CollectionBuilder {
    let graph =
        GraphOptions { m: 4, ef_construction: 10, order: InsertOrder::Parallel, ..GraphOptions::default() };
    let options = VectorOptions { structure: Structure::Graph, graph, ..VectorOptions::default() };
    CollectionBuilder::new(path).shard_rows(100).vectors(options)
}

fn build(path: &Path, passages: impl Iterator<Item = Given>) -> Result<Collection, Error> {
    builder(path).build(passages, Some(&HashEmbedder::new(DIM)), &Silent, &Interrupt::new())
}

/// The files of shards by name, each with a number that a file written anew does not have.
fn shards(path: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
    let named =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().ino()));
    named.filter(|(name, _)| name.ends_with(".shard")).collect()
}

fn check(collection: &Collection, ids: impl Iterator<Item = u32>) {
    collection.verify(&Silent, &Interrupt::new()).unwrap();
    let mut count = 0;
    for id in ids {
        let given = passage(id).unwrap();
        assert_eq!(collection.passage(&given.id).unwrap(), Some(given));
        count += 1;
    }
    assert_eq!(collection.len(), count);
    assert!(!collection.path().join("unfinished.jsonl").exists());
}

#[test]
fn finished_shards_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    // Blocks of 512 rows are pushed together, so the error comes after five shards.
    assert!(build(&path, failing((0..600).map(passage))).is_err());
    let before = shards(&path);
    assert_eq!(before.len(), 5);
    let collection = build(&path, (0..730).map(passage)).unwrap();
    check(&collection, 0..730);
    let after = shards(&path);
    assert_eq!(after.len(), 8);
    assert!(before.iter().all(|(name, number)| after.get(name) == Some(number)));
    drop(collection);
    // The same for what is added.
    let add = |passages: &mut dyn Iterator<Item = Given>| {
        let mut writer = CollectionWriter::open(&path).unwrap();
        let embedder = HashEmbedder::new(DIM);
        writer.add(passages, Some(&embedder), Duplicates::Refuse, &Silent, &Interrupt::new())
    };
    assert!(add(&mut failing((730..1300).map(passage))).is_err());
    let before = shards(&path);
    assert_eq!(before.len(), 13);
    add(&mut (730..1300).map(passage)).unwrap();
    check(&Collection::open(&path).unwrap(), 0..1300);
    let after = shards(&path);
    assert!(before.iter().all(|(name, number)| after.get(name) == Some(number)));
}

#[test]
fn other_passages_are_not_taken_for_those_that_were_there() {
    let changed = |from: u32, to: u32| (from..to).chain(5000..5700);
    // Another row within a shard, at the beginning of one, at the very beginning, and fewer rows.
    for (from, to, kept) in [(0, 250, 2), (0, 300, 3), (0, 0, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(build(&path, failing((0..600).map(passage))).is_err());
        let before = shards(&path);
        let collection = build(&path, changed(from, to).map(passage)).unwrap();
        check(&collection, changed(from, to));
        let after = shards(&path);
        assert_eq!(before.iter().filter(|(name, number)| after.get(*name) == Some(number)).count(), kept);
        assert_eq!(after.len(), collection.shards().len(), "nothing else is left");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    assert!(build(&path, failing((0..600).map(passage))).is_err());
    check(&build(&path, (0..130).map(passage)).unwrap(), 0..130);
    assert_eq!(shards(&path).len(), 2);
}

#[test]
fn a_row_that_comes_twice_is_still_refused() {
    for again in [7, 150, 210] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(build(&path, failing((0..600).map(passage))).is_err());
        let twice = (0..260).chain([again]).chain(260..600).map(passage);
        assert!(matches!(build(&path, twice), Err(Error::DuplicateId { id }) if id == format!("p{again}")));
        // Other options: nothing of the old is used.
        let other = builder(&path).shard_rows(90);
        let built =
            other.build((0..200).map(passage), Some(&HashEmbedder::new(DIM)), &Silent, &Interrupt::new());
        check(&built.unwrap(), 0..200);
        assert_eq!(shards(&path).len(), 3);
    }
}
