//! Collections that change: rows added, replaced, deleted, compacted, and readers meanwhile.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use revela_base::file::FileError;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::testing::HashEmbedder;
use revela_index::topk::Scored;
use revela_index::vectors::{RowReader, Vectors, npy};
use revela_index::{
    Coding, Collection, CollectionBuilder, CollectionWriter, Duplicates, Effort, Error, GraphOptions,
    InsertOrder, Mode, Passage, Query, RowSearcher, Searcher, Structure, VectorOptions, export, search_rows,
};

const DIM: usize = 32;

fn passage(id: u32, version: u32) -> Passage {
    let text = format!("word{} common version{version}", id % 7);
    Passage { id: format!("p{id}"), title: String::new(), text }
}

fn given(ids: &[u32], version: u32) -> Vec<Result<Passage, std::io::Error>> {
    ids.iter().map(|&id| Ok(passage(id, version))).collect()
}

fn small_graphs() -> VectorOptions {
    let graph =
        GraphOptions { m: 8, ef_construction: 40, order: InsertOrder::Serial, ..GraphOptions::default() };
    VectorOptions { structure: Structure::Graph, graph, ..VectorOptions::default() }
}

fn never() -> Interrupt {
    Interrupt::new()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn built(ids: &[u32], shard_rows: u32) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let builder = CollectionBuilder::new(&folder.path()).shard_rows(shard_rows).vectors(small_graphs());
        builder.build(given(ids, 0), Some(&HashEmbedder::new(DIM)), &Silent, &never()).unwrap();
        folder
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("x.collection")
    }

    fn writer(&self) -> CollectionWriter {
        CollectionWriter::open(&self.path()).unwrap()
    }

    fn open(&self) -> Collection {
        let collection = Collection::open(&self.path()).unwrap();
        collection.verify(&Silent, &never()).unwrap();
        collection
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn add(writer: &mut CollectionWriter, ids: &[u32], version: u32) -> Result<(), Error> {
    let embedder = HashEmbedder::new(DIM);
    writer.add(given(ids, version), Some(&embedder), Duplicates::LastWins, &Silent, &never())
}

/// What can be found, by id, in every way there is.
fn contents(collection: Collection) -> BTreeMap<String, String> {
    let count = collection.len() as usize;
    let searcher = Searcher::new(collection).with_embedder(Arc::new(HashEmbedder::new(DIM))).unwrap();
    let all = |mode, effort| -> BTreeMap<String, String> {
        let query = Query::text("common").mode(mode).k(count + 5).effort(effort);
        let hits = searcher.search(&query).unwrap();
        let found: BTreeMap<_, _> = hits.iter().map(|hit| (hit.id.clone(), hit.text.clone())).collect();
        assert_eq!((hits.len(), found.len()), (count, count), "{mode:?}");
        found
    };
    let dense = all(Mode::Dense, Effort::Exact);
    assert_eq!(all(Mode::Dense, Effort::Ef(8)), dense);
    assert_eq!(all(Mode::Bm25, Effort::Exact), dense);
    dense
}

#[derive(Debug, Clone)]
enum Change {
    Add(Vec<u32>),
    Delete(Vec<u32>),
    /// Some are added or replaced and others, which may be the same, are taken out, in one go.
    Both(Vec<u32>, Vec<u32>),
    Compact,
    CompactLast(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let ids = || proptest::collection::vec(0u32..40, 0..20);
    prop_oneof![3 => ids().prop_map(Change::Add), 2 => ids().prop_map(Change::Delete), 1 => Just(Change::Compact),
        3 => (ids(), ids()).prop_map(|(add, delete)| Change::Both(add, delete)), 1 => (0usize..4).prop_map(Change::CompactLast)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// After any changes the collection holds what a map holds.
    #[test]
    fn behaves_like_a_map(changes in proptest::collection::vec(change(), 1..7), shard_rows in 3u32..30) {
        let folder = Folder::built(&[1, 2, 3, 4, 5], shard_rows);
        let mut model: BTreeMap<String, String> =
            (1..6).map(|id| (format!("p{id}"), passage(id, 0).text)).collect();
        for (version, change) in (1..).zip(changes) {
            let before = folder.open().generation();
            let mut writer = folder.writer();
            match &change {
                Change::Add(ids) => {
                    add(&mut writer, ids, version).unwrap();
                    model.extend(ids.iter().map(|&id| (format!("p{id}"), passage(id, version).text)));
                }
                Change::Delete(ids) => {
                    let names: HashSet<String> = ids.iter().map(|id| format!("p{id}")).collect();
                    let gone = names.iter().filter(|&id| model.remove(id).is_some()).count();
                    prop_assert_eq!(writer.delete(&names).unwrap(), gone as u64);
                }
                Change::Both(ids, gone) => {
                    let gone: Vec<String> = gone.iter().map(|id| format!("p{id}")).collect();
                    let embedder = HashEmbedder::new(DIM);
                    let removed = || gone.clone();
                    writer.change(given(ids, version), removed, Some(&embedder), &Silent, &never()).unwrap();
                    prop_assert_eq!(writer.generation(), before + 1, "one change");
                    model.extend(ids.iter().map(|&id| (format!("p{id}"), passage(id, version).text)));
                    gone.iter().for_each(|id| drop(model.remove(id)));
                    let shards = folder.open().shards();
                    prop_assert!(shards.iter().all(|shard| shard.deleted < shard.rows), "none is empty");
                }
                Change::CompactLast(count) => {
                    let shards = folder.open().shards();
                    writer.compact_last(*count, &Silent, &never()).unwrap();
                    let kept = shards.len().saturating_sub(*count);
                    let after = folder.open().shards();
                    prop_assert_eq!(&after[..kept], &shards[..kept]);
                    prop_assert!(after[kept..].iter().all(|shard| shard.deleted == 0));
                    let mut ids = Vec::new();
                    folder.open().each_id(|id| ids.push(id.to_owned())).unwrap();
                    ids.sort();
                    prop_assert_eq!(ids, model.keys().cloned().collect::<Vec<_>>());
                }
                Change::Compact => {
                    writer.compact(&Silent, &never()).unwrap();
                    let shards = folder.open().shards();
                    prop_assert!(shards.iter().all(|shard| shard.deleted == 0));
                    prop_assert_eq!(shards.len(), model.len().div_ceil(shard_rows as usize));
                    prop_assert!(!writer.compact(&Silent, &never()).unwrap(), "nothing is left to do");
                }
            }
            drop(writer);
            prop_assert!(folder.open().generation() >= before);
            prop_assert_eq!(&contents(folder.open()), &model, "{:?}", change);
        }
        // Nothing but what the manifest names is left.
        let shards = folder.open().shards().len();
        let files = folder.names().iter().filter(|name| name.ends_with(".shard")).count();
        prop_assert_eq!(files, shards);
    }
}

#[test]
fn an_open_collection_does_not_change() {
    let folder = Folder::built(&(0..50).collect::<Vec<_>>(), 20);
    let before = folder.open();
    let mut writer = folder.writer();
    writer.delete(["p1", "p2"]).unwrap();
    add(&mut writer, &[3, 100], 1).unwrap();
    assert!(writer.compact(&Silent, &never()).unwrap());
    // Texts are opened late, and must still be there.
    assert_eq!(contents(before).len(), 50);
    let after = contents(folder.open());
    assert_eq!(after.len(), 49);
    assert_eq!(after["p3"], passage(3, 1).text);
    drop(writer);
    // With the reader gone, the next writer clears up.
    drop(folder.writer());
    let files = folder.names().into_iter().filter(|name| name.ends_with(".shard")).count();
    assert_eq!(files, folder.open().shards().len());
}

#[test]
fn misuse_is_refused_and_changes_nothing() {
    let folder = Folder::built(&[1, 2, 3], 10);
    let mut writer = folder.writer();
    let second = CollectionWriter::open(&folder.path()).unwrap_err();
    assert!(matches!(second, Error::File(FileError::Locked { .. })));
    let add_with = |writer: &mut CollectionWriter, embedder: Option<&dyn Embedder>, duplicates| {
        writer.add(given(&[7, 3], 1), embedder, duplicates, &Silent, &never())
    };
    let other = HashEmbedder::new(DIM + 1);
    let wrong = add_with(&mut writer, Some(&other), Duplicates::LastWins);
    assert!(matches!(wrong, Err(Error::WrongEncoder { .. })));
    assert!(matches!(add_with(&mut writer, None, Duplicates::LastWins), Err(Error::Unsupported(_))));
    let right = HashEmbedder::new(DIM);
    let twice = add_with(&mut writer, Some(&right), Duplicates::Refuse);
    assert!(matches!(twice, Err(Error::DuplicateId { id }) if id == "p3"));
    let failing = given(&[8], 1).into_iter().chain([Err(std::io::Error::other("no more"))]);
    let failed = writer.add(failing, Some(&right), Duplicates::Refuse, &Silent, &never());
    assert!(failed.unwrap_err().to_string().contains("no more"));
    let stopped = Interrupt::new();
    stopped.request();
    let stopped = writer.add(given(&[9], 1), Some(&right), Duplicates::Refuse, &Silent, &stopped);
    assert!(matches!(stopped, Err(Error::Interrupted(_))));
    assert_eq!(writer.delete(["absent"]).unwrap(), 0);
    assert_eq!(folder.open().generation(), 1);
    assert_eq!(contents(folder.open()).len(), 3);
    let nowhere = folder.0.path().join("nowhere");
    assert!(CollectionWriter::open(&nowhere).is_err() && !nowhere.exists());
}

/// Counts texts, and fails after some.
struct Failing {
    inner: HashEmbedder,
    embedded: AtomicUsize,
    limit: usize,
}

impl Embedder for Failing {
    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    fn fingerprint(&self) -> Checksum {
        self.inner.fingerprint()
    }

    fn metric(&self) -> Metric {
        self.inner.metric()
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        if self.embedded.fetch_add(texts.len(), Ordering::Relaxed) >= self.limit {
            return Err(EmbedError("the device is lost".into()));
        }
        self.inner.embed(kind, texts)
    }
}

#[test]
fn what_was_embedded_is_not_embedded_again() {
    let ids: Vec<u32> = (0..2000).collect();
    let failing = |limit| Failing { inner: HashEmbedder::new(DIM), embedded: AtomicUsize::new(0), limit };
    let folder = Folder(tempfile::tempdir().unwrap());
    let builder = CollectionBuilder::new(&folder.path());
    let first = failing(1200);
    let error = builder.build(given(&ids, 0), Some(&first), &Silent, &never()).unwrap_err();
    assert!(error.to_string().contains("the device is lost"));
    let second = failing(usize::MAX);
    let collection = builder.build(given(&ids, 0), Some(&second), &Silent, &never()).unwrap();
    // Blocks of 512: three were finished.
    assert_eq!(second.embedded.into_inner(), 2000 - 3 * 512);
    let whole = Folder::built(&ids, 1_000_000);
    let vector = |collection: &Collection, id| collection.vector(id).unwrap().unwrap();
    assert_eq!(vector(&collection, "p7"), vector(&whole.open(), "p7"));
    assert!(!folder.names().contains(&"embeddings.spool".to_owned()));
    let third = failing(0);
    let mut writer = folder.writer();
    assert!(writer.add(given(&[1], 5), Some(&third), Duplicates::LastWins, &Silent, &never()).is_err());
    drop(writer);
    assert_eq!(folder.open().generation(), 1);
}

fn vectors(count: usize, seed: u32) -> Vectors {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut number = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 - 0.5
    };
    Vectors::new("random", 16, (0..count * 16).map(|_| number()).collect()).unwrap()
}

fn from_vectors(dir: &Path, name: &str, rows: &Vectors, options: VectorOptions) -> Collection {
    let file = dir.join("rows.npy");
    npy::write_f32(&file, rows.view()).unwrap();
    let builder = CollectionBuilder::new(&dir.join(name)).vectors(options).shard_rows(900);
    let mut reader = RowReader::open(&file).unwrap();
    builder.build_from_vectors(&mut reader, None, &Silent, &never()).unwrap()
}

/// Searches that take turns find, to the last bit, what each finds alone.
fn together_as_alone(collection: &Collection, queries: &Vectors) {
    let (mut searcher, mut together) = (RowSearcher::new(collection), vec![Vec::new(); queries.len()]);
    let keep = |query: usize, hits: &[Scored<u64>]| together[query] = hits.to_vec();
    searcher.search_many(queries.view(), 10, Effort::Ef(40), keep).unwrap();
    for (query, together) in queries.view().iter().zip(together) {
        let alone = searcher.search(query, 10, Effort::Ef(40)).unwrap();
        assert!(
            alone.iter().map(|hit| (hit.id, hit.score)).eq(together.iter().map(|hit| (hit.id, hit.score)))
        );
        assert_eq!(alone.len(), 10);
    }
}

#[test]
fn errors_name_the_query_among_many() {
    let dir = tempfile::tempdir().unwrap();
    let collection = from_vectors(dir.path(), "x", &vectors(1000, 1), small_graphs());
    let queries = vectors(700, 2);
    let (dim, mut data) = (queries.dim(), queries.into_data());
    data[600 * dim..601 * dim].fill(0.0);
    let queries = Vectors::new("queries", dim, data).unwrap();
    let error = search_rows(&collection, &queries, 3, Effort::Ef(10)).unwrap_err();
    assert!(matches!(error, Error::Row { row: 600, .. }), "{error}");
    let mut searcher = RowSearcher::new(&collection);
    let error = searcher.search_many(queries.view(), 3, Effort::Ef(10), |_, _| ()).unwrap_err();
    assert!(matches!(error, Error::Row { row: 600, .. }), "{error}");
    assert!(matches!(searcher.search(&[], 3, Effort::Exact), Err(Error::Dimension { found: 0, .. })));
}

#[test]
fn every_way_of_keeping_vectors_finds_the_same_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let (rows, queries) = (vectors(2000, 1), vectors(60, 2));
    let plain = VectorOptions { coding: Coding::None, structure: Structure::Flat, ..small_graphs() };
    let truth = search_rows(&from_vectors(dir.path(), "plain", &rows, plain), &queries, 10, Effort::Exact);
    let truth: Vec<i32> = truth.unwrap().iter().flatten().copied().collect();
    let recall = |found: &npy::Integers| {
        let pairs = found.iter().zip(truth.chunks(10));
        pairs.map(|(f, t)| f.iter().filter(|row| t.contains(row)).count()).sum::<usize>() as f64 / 600.0
    };
    let mut by_graph = Vec::new();
    for (number, coding) in [Coding::None, Coding::Int8].into_iter().enumerate() {
        for structure in [Structure::Flat, Structure::Graph] {
            let options = VectorOptions { coding, structure, ..plain };
            let collection = from_vectors(dir.path(), &format!("{number}{structure:?}"), &rows, options);
            assert_eq!(collection.shards().len(), 3);
            let exact = search_rows(&collection, &queries, 10, Effort::Exact).unwrap();
            assert!(exact.iter().flatten().eq(truth.iter()), "{coding:?} {structure:?}");
            let found = search_rows(&collection, &queries, 10, Effort::Ef(40)).unwrap();
            assert!(recall(&found) > 0.97, "{coding:?} {structure:?} {}", recall(&found));
            if structure == Structure::Graph {
                by_graph.push(recall(&found));
            }
            together_as_alone(&collection, &queries);
            // Now one shard is walked among those that are left, the others as before.
            let path = collection.path().to_owned();
            drop(collection);
            CollectionWriter::open(&path).unwrap().delete(["0", "7", "899"]).unwrap();
            together_as_alone(&Collection::open(&path).unwrap(), &queries);
        }
    }
    // The graphs are the same; only what compares differs.
    assert!(by_graph[1] >= by_graph[0] - 0.005, "{by_graph:?}");
}

#[test]
fn rows_can_be_added_exported_and_built_again() {
    let dir = tempfile::tempdir().unwrap();
    let collection = from_vectors(dir.path(), "x", &vectors(1000, 3), small_graphs());
    let path = collection.path().to_owned();
    drop(collection);
    let more = dir.path().join("more.npy");
    npy::write_f32(&more, vectors(500, 4).view()).unwrap();
    let mut writer = CollectionWriter::open(&path).unwrap();
    let mut reader = RowReader::open(&more).unwrap();
    writer.add_vectors(&mut reader, None, Duplicates::Refuse, &Silent, &never()).unwrap();
    assert_eq!(writer.delete(["0", "1499"]).unwrap(), 2);
    let wrong = dir.path().join("wrong.npy");
    npy::write_f32(&wrong, Vectors::new("x", 3, vec![1.0; 9]).unwrap().view()).unwrap();
    let mut reader = RowReader::open(&wrong).unwrap();
    let refused = writer.add_vectors(&mut reader, None, Duplicates::Refuse, &Silent, &never());
    assert!(matches!(refused, Err(Error::Dimension { expected: 16, found: 3, .. })));
    let collection = Collection::open(&path).unwrap();
    assert_eq!(collection.info().passages, 1498);
    let out = |name: &str| dir.path().join(name);
    assert_eq!(export::vectors(&collection, &out("out.jsonl"), &Silent, &never()).unwrap(), 1498);
    assert_eq!(export::ids(&collection, &out("ids.txt"), &Silent, &never()).unwrap(), 1498);
    assert!(export::passages(&collection, &out("p.jsonl"), &Silent, &never()).is_err());
    let builder = CollectionBuilder::new(&out("again"));
    let mut reader = RowReader::open(&out("out.jsonl")).unwrap();
    let again = builder.build_from_vectors(&mut reader, None, &Silent, &never()).unwrap();
    assert_eq!(again.len(), 1498);
    assert_eq!(again.vector("1").unwrap(), collection.vector("1").unwrap());
    assert_eq!(std::fs::read_to_string(out("ids.txt")).unwrap().lines().last(), Some("1498"));
}

#[test]
fn passages_are_exported_as_they_were_given() {
    let folder = Folder::built(&[5, 6], 10);
    let path = folder.0.path().join("out.jsonl");
    assert_eq!(export::passages(&folder.open(), &path, &Silent, &never()).unwrap(), 2);
    let text = std::fs::read_to_string(&path).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first, serde_json::json!({"_id": "p5", "title": "", "text": passage(5, 0).text}));
    assert!(export::vectors(&folder.open(), &path.with_extension("xyz"), &Silent, &never()).is_err());
}
