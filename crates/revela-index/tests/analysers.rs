//! A collection keeps the analyser that it was built with, whatever new ones read texts by.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::bm25::Analyser;
use revela_index::{
    Collection, CollectionBuilder, CollectionWriter, Duplicates, Entry, Passage, Query, Searcher,
};

const TEXTS: [(&str, &str); 3] =
    [("a", "the keeper of the lock"), ("b", "全文検索の仕組み"), ("c", "locks are kept")];

fn passages(texts: &[(&str, &str)]) -> Vec<Result<Entry, std::io::Error>> {
    let passage =
        |(id, text): &(&str, &str)| Passage { id: (*id).into(), title: String::new(), text: (*text).into() };
    texts.iter().map(|text| Ok(Entry { passage: passage(text), payload: Default::default() })).collect()
}

fn found(path: &Path, words: &str) -> Vec<String> {
    let searcher = Searcher::new(Collection::open(path).unwrap());
    searcher.search(&Query::text(words)).unwrap().into_iter().map(|hit| hit.id).collect()
}

/// The manifest's first line and the text index's own description are what older programs wrote.
#[test]
fn collections_of_the_first_version_open_and_grow_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old");
    let builder = CollectionBuilder::new(&path).analyser(Analyser::FirstProse);
    builder.build(passages(&TEXTS), None, &Silent, &Interrupt::new()).unwrap();
    let manifest = fs::read_to_string(path.join("manifest.jsonl")).unwrap();
    assert!(manifest.lines().next().unwrap().contains(r#""texts":{"analyser":"prose"}"#), "{manifest}");
    let described = fs::read_to_string(path.join("000000.text/meta.json")).unwrap();
    assert!(described.contains("revela-prose-1"), "{described}");
    assert_eq!(found(&path, "lock"), ["a", "c"]);
    assert_eq!(found(&path, "検索"), [""; 0], "a run was one word");
    assert_eq!(found(&path, "全文検索の仕組み"), ["b"]);

    let mut writer = CollectionWriter::open(&path).unwrap();
    let more = passages(&[("d", "another lock"), ("e", "検索")]);
    writer.add(more, None, Duplicates::Refuse, &Silent, &Interrupt::new()).unwrap();
    assert_eq!(found(&path, "検索"), ["e"]);
    writer.compact(&Silent, &Interrupt::new()).unwrap();
    drop(writer);
    let collection = Collection::open(&path).unwrap();
    assert_eq!(collection.texts().unwrap().analyser, Analyser::FirstProse);
    assert_eq!(found(&path, "lock").len(), 3);
    assert_eq!(found(&path, "全文検索の仕組み"), ["b"]);
}

#[test]
fn new_collections_find_parts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new");
    CollectionBuilder::new(&path).build(passages(&TEXTS), None, &Silent, &Interrupt::new()).unwrap();
    assert_eq!(found(&path, "検索"), ["b"]);
    let manifest = fs::read_to_string(path.join("manifest.jsonl")).unwrap();
    assert!(manifest.contains(r#""texts":{"analyser":"prose-2"}"#), "{manifest}");
}
