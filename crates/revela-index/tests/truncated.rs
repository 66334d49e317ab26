//! Files that are cut while they are open: errors, and a process that lives on.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::testing::HashEmbedder;
use revela_index::{
    Collection, CollectionBuilder, CollectionWriter, Mode, Passage, Query, Searcher, survive_truncated_files,
};

const ROWS: usize = 2000;

fn build(dir: &Path) {
    let words = ["lease", "bread", "socket", "planet"];
    let text = |id: usize| format!("{} {} number {id}", words[id % 4], words[id / 4 % 4]);
    let passage = |id: usize| Passage { id: format!("p{id}"), title: String::new(), text: text(id) };
    let passages = (0..ROWS).map(|id| Ok::<_, std::io::Error>(passage(id)));
    let builder = CollectionBuilder::new(dir).shard_rows(ROWS as u32 / 2);
    drop(builder.build(passages, Some(&HashEmbedder::new(64)), &Silent, &Interrupt::new()).unwrap());
}

fn query(mode: Mode) -> Query {
    let mut vector = vec![0.0; 64];
    vector[7] = 1.0;
    match mode {
        Mode::Dense => Query::vector(vector).mode(mode),
        _ => Query::text("lease").mode(mode),
    }
}

/// The file with this ending, or the largest of the folder with it.
fn victim(dir: &Path, ending: &str) -> PathBuf {
    let path = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let path = path.filter(|path| path.to_string_lossy().ends_with(ending)).min().unwrap();
    if !path.is_dir() {
        return path;
    }
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    files.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

/// Cuts the file as others would, without replacing it; returns what it held.
fn cut(path: &Path) -> Vec<u8> {
    let whole = fs::read(path).unwrap();
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    whole
}

#[test]
fn a_cut_file_costs_its_collection_only() {
    survive_truncated_files().unwrap();
    survive_truncated_files().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (cut_one, other) = (dir.path().join("cut"), dir.path().join("other"));
    build(&cut_one);
    build(&other);
    let other = Searcher::new(Collection::open(&other).unwrap());
    for (ending, mode) in [(".shard", Mode::Dense), (".text", Mode::Bm25)] {
        let searcher = Searcher::new(Collection::open(&cut_one).unwrap());
        let before = searcher.search(&query(mode)).unwrap();
        assert!(!before.is_empty() && searcher.collection().is_current().unwrap());
        let victim = victim(&cut_one, ending);
        let whole = cut(&victim);
        for _ in 0..2 {
            let error = searcher.search(&query(mode)).unwrap_err().to_string();
            assert!(error.contains(&*victim.to_string_lossy()) && error.contains("cut short"), "{error}");
        }
        assert!(!searcher.collection().is_current().unwrap());
        assert_eq!(other.search(&query(mode)).unwrap().len(), before.len());
        fs::write(&victim, whole).unwrap();
        assert!(searcher.search(&query(mode)).is_err(), "what was lost stays lost");
        let again = Searcher::new(Collection::open(&cut_one).unwrap());
        assert_eq!(again.search(&query(mode)).unwrap(), before);
    }
}

#[test]
fn a_cut_that_nobody_has_met_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path());
    let collection = Collection::open(dir.path()).unwrap();
    assert!(collection.is_current().unwrap());
    cut(&victim(dir.path(), ".shard"));
    assert!(!collection.is_current().unwrap());
}

#[test]
fn nothing_is_compacted_from_what_is_not_there() {
    survive_truncated_files().unwrap();
    let dir = tempfile::tempdir().unwrap();
    build(dir.path());
    let mut writer = CollectionWriter::open(dir.path()).unwrap();
    writer.delete(["p1"]).unwrap();
    let manifest = fs::read(dir.path().join("manifest.jsonl")).unwrap();
    cut(&victim(dir.path(), ".text"));
    assert!(writer.compact(&Silent, &Interrupt::new()).is_err());
    assert_eq!(fs::read(dir.path().join("manifest.jsonl")).unwrap(), manifest);
}

#[test]
fn many_mappings_are_watched() {
    survive_truncated_files().unwrap();
    let dir = tempfile::tempdir().unwrap();
    build(dir.path());
    let many: Vec<Collection> = (0..100).map(|_| Collection::open(dir.path()).unwrap()).collect();
    cut(&victim(dir.path(), ".shard"));
    assert!(many.iter().all(|collection| collection.vector("p3").is_err()));
}
