//! PostgreSQL keeps what all stores promise, on one shard and on several, and says what fails.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{Proxy, servers, table};
use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::bm25::Analyser;
use revela_index::{Collection, CollectionBuilder, CollectionWriter, Searcher};
use revela_search::testing::{Fixture, WordEmbedder, check};
use revela_search::{
    Duplicates, Effort, Entry, Failure, Filter, Mode, Passage, Query, Retriever, Store, StoreError,
    VectorField,
};
use revela_store_pgvector::{Address, MissingShards, PgError, PgStore, pull, push};

struct Tables {
    servers: Vec<String>,
}

fn field(embedder: &dyn Embedder) -> VectorField {
    VectorField {
        dimension: embedder.dimension(),
        metric: embedder.metric(),
        encoder: Some(embedder.fingerprint()),
    }
}

fn make(servers: &[String], entries: &[Entry], embedder: Option<&dyn Embedder>) -> (Address, PgStore) {
    let address = Address::parse(&format!("{}#{}", servers.join(","), table())).unwrap();
    let store = PgStore::create(&address, embedder.map(field), Analyser::Prose, None).unwrap();
    store.index_vectors().unwrap();
    let writer = store.writer().unwrap();
    writer.add(entries.to_vec(), embedder, Duplicates::Refuse, &Silent, &Interrupt::new()).unwrap();
    (address, store)
}

impl Fixture for Tables {
    fn build(&mut self, entries: &[Entry], embedder: Option<&dyn Embedder>) -> Arc<dyn Store> {
        Arc::new(make(&self.servers, entries, embedder).1)
    }

    fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store
    }
}

fn passages(count: usize) -> Vec<Entry> {
    let words = ["zebra", "copper", "violin", "meadow", "orbit"];
    let passage = |number: usize| Passage {
        id: format!("p{number}"),
        title: String::new(),
        text: format!("{} {} number{number}", words[number % 5], words[(number / 5) % 5]),
    };
    (0..count).map(|number| Entry::from(passage(number))).collect()
}

#[test]
fn tables_are_stores() {
    let Some(servers) = servers() else { return };
    check(&mut Tables { servers: servers[..1].to_vec() });
    check(&mut Tables { servers });
}

#[test]
fn a_collection_goes_there_and_back() {
    let Some(servers) = servers() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (path, never) = (dir.path().join("c"), Interrupt::new());
    let embedder = Arc::new(WordEmbedder::new(32));
    let entries = passages(300).into_iter().map(Ok::<_, std::io::Error>);
    let collection = CollectionBuilder::new(&path).build(entries, Some(&*embedder), &Silent, &never).unwrap();
    let address = Address::parse(&format!("{}#{}", servers.join(","), table())).unwrap();
    let pushed = push(&collection, &address, &Silent, &never).unwrap();
    assert_eq!((pushed.written, pushed.unchanged), (300, 0));
    let again = push(&collection, &address, &Silent, &never).unwrap();
    assert_eq!((again.written, again.unchanged), (0, 300));
    let folder = Retriever::new(Arc::new(Searcher::new(collection))).with_embedder(embedder.clone()).unwrap();
    let store = Arc::new(PgStore::open(&address, MissingShards::Refuse).unwrap());
    let tables = Retriever::new(store).with_embedder(embedder.clone()).unwrap();
    for mode in [Mode::Dense, Mode::Bm25, Mode::Hybrid] {
        let query = Query::text("zebra number25").mode(mode).k(1);
        let (one, other) = (folder.search(&query).unwrap(), tables.search(&query).unwrap());
        assert_eq!(one[0].id, other[0].id, "{mode}");
        assert!(mode != Mode::Bm25 || other[0].id == "p25", "{other:?}");
        assert!((one[0].score - other[0].score).abs() < 2e-3, "{mode}: {one:?} {other:?}");
    }
    // One passage is another now: it alone is written.
    let mut writer = CollectionWriter::open(&path).unwrap();
    let changed = Passage { id: "p7".into(), title: "new".into(), text: "quartz".into() };
    let changed = [Ok::<_, std::io::Error>(changed)];
    writer.add(changed, Some(&*embedder), Duplicates::LastWins, &Silent, &never).unwrap();
    drop(writer);
    let pushed = push(&Collection::open(&path).unwrap(), &address, &Silent, &never).unwrap();
    assert_eq!((pushed.written, pushed.unchanged), (1, 299));
    let back = dir.path().join("back");
    assert_eq!(pull(&address, &back, &Silent, &never).unwrap(), 300);
    let back = Collection::open(&back).unwrap();
    assert_eq!(back.passage("p7").unwrap().unwrap().title, "new");
    assert_eq!(back.vectors().unwrap().encoder, Some(embedder.fingerprint()));
    let (one, other) = (back.vector("p8").unwrap().unwrap(), Collection::open(&path).unwrap());
    let other = other.vector("p8").unwrap().unwrap();
    assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-3));
}

/// Frequencies and lengths after changes are those of a store that was made of what is left.
#[test]
fn statistics_follow_changes() {
    let Some(servers) = servers() else { return };
    let (_, changed) = make(&servers, &passages(60), None);
    let writer = changed.writer().unwrap();
    let gone: Vec<String> = (0..60).filter(|n| n % 5 == 0 || *n > 40).map(|n| format!("p{n}")).collect();
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    assert_eq!(writer.delete(&gone).unwrap(), gone.len() as u64);
    let left: Vec<Entry> =
        passages(60).into_iter().filter(|e| !gone.contains(&e.passage.id.as_str())).collect();
    let again = left[..4].to_vec();
    writer.add(again, None, Duplicates::LastWins, &Silent, &Interrupt::new()).unwrap();
    let (_, fresh) = make(&servers, &left, None);
    let (changed, fresh) = (Retriever::new(Arc::new(changed)), Retriever::new(Arc::new(fresh)));
    for text in ["zebra", "copper violin", "number21 orbit"] {
        let query = Query::text(text).k(60);
        let (one, other) = (changed.search(&query).unwrap(), fresh.search(&query).unwrap());
        assert_eq!(one.len(), other.len());
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one.id, other.id, "{text}");
            assert!((one.score - other.score).abs() < 1e-5, "{text}: {one:?} {other:?}");
        }
    }
}

#[test]
fn a_dead_shard_is_named_or_left_out() {
    let Some(servers) = servers() else { return };
    let [first, second, ..] = servers.as_slice() else { return };
    let proxy = Proxy::before(second);
    let embedder = Arc::new(WordEmbedder::new(16));
    let (address, strict) = make(&[first.clone(), proxy.address()], &passages(80), Some(&*embedder));
    let partial = PgStore::open(&address, MissingShards::LeaveOut).unwrap();
    let strict = Retriever::new(Arc::new(strict)).with_embedder(embedder.clone()).unwrap();
    let partial = Retriever::new(Arc::new(partial)).with_embedder(embedder.clone()).unwrap();
    let query = Query::text("zebra").k(80).mode(Mode::Dense);
    assert_eq!(strict.search(&query).unwrap().len(), 80);
    proxy.cut();
    let dead = proxy.address().replace("postgres@", "");
    let refused = strict.search(&query).unwrap_err();
    assert_eq!(refused.kind(), Failure::Unreachable);
    assert!(refused.to_string().contains(&dead), "{refused}");
    let answers = partial.search_batch(std::slice::from_ref(&query)).unwrap();
    assert_eq!(answers.missing, std::slice::from_ref(&dead));
    assert!((1..80).contains(&answers.hits[0].len()));
    let writer = partial.store().writer().unwrap();
    let lost = writer.add(passages(90), Some(&*embedder), Duplicates::LastWins, &Silent, &Interrupt::new());
    assert_eq!(lost.unwrap_err().kind(), Failure::Unreachable);
    assert!(matches!(PgStore::open(&address, MissingShards::Refuse), Err(PgError::Unreachable { .. })));
    proxy.mend();
    assert_eq!(strict.search(&query).unwrap().len(), 80);
    let writer = partial.store().writer().unwrap();
    writer.add(passages(90), Some(&*embedder), Duplicates::LastWins, &Silent, &Interrupt::new()).unwrap();
    assert_eq!(partial.store().count().unwrap().passages, 90);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let Some(servers) = servers() else { return };
    let embedder = Arc::new(WordEmbedder::new(16));
    let (address, store) = make(&servers, &passages(20), Some(&*embedder));
    let other = WordEmbedder::new(17);
    let refused = PgStore::create(&address, Some(field(&other)), Analyser::Prose, None).err().unwrap();
    assert!(refused.to_string().contains("another encoder"), "{refused}");
    let mut turned = servers.clone();
    turned.reverse();
    let table = address.location().rsplit_once('#').unwrap().1.to_owned();
    let turned = Address::parse(&format!("{}#{table}", turned.join(","))).unwrap();
    let refused = PgStore::open(&turned, MissingShards::Refuse).err().unwrap().to_string();
    assert!(refused.contains("in their order"), "{refused}");
    let absent = Address::parse(&format!("{}#absent", servers[0])).unwrap();
    let refused = PgStore::open(&absent, MissingShards::Refuse).err().unwrap().to_string();
    assert!(refused.contains("push a collection"), "{refused}");
    let nobody = servers[0].replace("postgres@", "nobody:secret@");
    let nobody = Address::parse(&format!("{nobody}#{table}")).unwrap();
    let refused = PgStore::open(&nobody, MissingShards::Refuse).err().unwrap().to_string();
    assert!(refused.contains("nobody") && !refused.contains("secret"), "{refused}");
    let retriever = Retriever::new(Arc::new(store)).with_embedder(embedder).unwrap();
    let recall = Query::text("zebra").mode(Mode::Dense).effort(Effort::Recall("0.9".parse().unwrap()));
    let refused = retriever.search(&recall).unwrap_err();
    assert_eq!(refused.kind(), Failure::Unsupported);
    assert!(matches!(refused, StoreError::Failed { .. }) && refused.to_string().contains("--exact"));
    let exact = Query::text("zebra").mode(Mode::Dense).effort(Effort::Exact).filter(Filter::prefix("p1"));
    assert_eq!(retriever.search(&exact.k(30)).unwrap().len(), 11);
}

/// Gives every text a direction of its own.
struct Scattered;

impl Embedder for Scattered {
    fn dimension(&self) -> usize {
        24
    }

    fn fingerprint(&self) -> Checksum {
        Checksum::of(b"scattered")
    }

    fn metric(&self) -> Metric {
        Metric::Cosine
    }

    fn embed(&self, _kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        let digits = |text: &&str| Checksum::of(text.as_bytes()).to_string().into_bytes();
        let pair = |pair: &[u8]| f32::from(pair[0]) * 16.0 + f32::from(pair[1]) - 1200.0;
        Ok(texts.iter().flat_map(|text| digits(text)[..48].chunks(2).map(pair).collect::<Vec<_>>()).collect())
    }
}

/// Small tables are scanned whole; this one is walked by its graph.
#[test]
fn large_tables_are_walked_and_filters_cost_no_results() {
    let Some(servers) = servers() else { return };
    let embedder = Arc::new(Scattered);
    let address = Address::parse(&format!("{}#{}", servers.join(","), table())).unwrap();
    let store = PgStore::create(&address, Some(field(&*embedder)), Analyser::Prose, None).unwrap();
    let (writer, never) = (store.writer().unwrap(), Interrupt::new());
    for block in passages(20_000).chunks(5000) {
        writer.add(block.to_vec(), Some(&*embedder), Duplicates::Refuse, &Silent, &never).unwrap();
    }
    store.index_vectors().unwrap();
    let retriever = Retriever::new(Arc::new(store)).with_embedder(embedder).unwrap();
    let (mut found, mut wanted) = (0, 0);
    for number in (0..20_000).step_by(997) {
        for filter in [Filter::All, Filter::prefix("p77")] {
            let query = Query::text(format!("copper number{number}")).mode(Mode::Dense).filter(filter);
            let exact = retriever.search(&query.clone().effort(Effort::Exact)).unwrap();
            let walked = retriever.search(&query).unwrap();
            assert_eq!((exact.len(), walked.len()), (10, 10));
            // 16 bits make some equally near; any of those will do.
            let last = exact[9].score - 1e-3;
            found += walked.iter().filter(|hit| hit.score >= last).count();
            wanted += 10;
        }
    }
    assert!(found * 100 >= wanted * 95, "{found} of {wanted}");
}
