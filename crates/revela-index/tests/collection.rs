//! Collections as a user meets them: built, opened, searched, damaged, misused.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, TextKind};
use revela_base::file::{DirLock, FileError};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::bm25::Analyser;
use revela_index::fusion::{Fusion, Normalisation};
use revela_index::testing::HashEmbedder;
use revela_index::vectors::{RowReader, Vectors, npy, write_jsonl};
use revela_index::{
    Coding, Collection, CollectionBuilder, Duplicates, Effort, Error, Filter, Metric, Mode, Passage, Query,
    QueryInput, Searcher, Structure, VectorOptions,
};

const DIM: usize = 256;

const WORDS: [&str; 12] = [
    "file", "socket", "matrix", "thread", "parser", "cache", "token", "graph", "vector", "query", "shard",
    "lock",
];

fn passage(number: usize) -> Passage {
    let word = |i: usize| WORDS[i % WORDS.len()];
    Passage {
        id: format!("p{number}"),
        title: if number.is_multiple_of(3) { format!("about {}", word(number)) } else { String::new() },
        text: format!("{} {} {} number{number}", word(number), word(number / 5), word(number * 7)),
    }
}

fn passages(count: usize) -> impl Iterator<Item = Result<Passage, std::io::Error>> {
    (0..count).map(|number| Ok(passage(number)))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("x.collection")
    }

    fn builder(&self) -> CollectionBuilder {
        CollectionBuilder::new(&self.path())
    }
}

fn build(folder: &Folder, builder: &CollectionBuilder, count: usize) -> Searcher {
    let embedder = Arc::new(HashEmbedder::new(DIM));
    builder.build(passages(count), Some(&*embedder), &Silent, &Interrupt::new()).unwrap();
    let collection = Collection::open(&folder.path()).unwrap();
    collection.verify(&Silent, &Interrupt::new()).unwrap();
    Searcher::new(collection).with_embedder(embedder).unwrap()
}

fn ids(searcher: &Searcher, query: &Query) -> Vec<String> {
    searcher.search(query).unwrap().into_iter().map(|hit| hit.id).collect()
}

const MODES: [(Mode, Fusion); 4] = [
    (Mode::Dense, RANKS),
    (Mode::Bm25, RANKS),
    (Mode::Hybrid, RANKS),
    (Mode::Hybrid, Fusion::WeightedSum { normalisation: Normalisation::MinMax }),
];
const RANKS: Fusion = Fusion::ReciprocalRank { k: 60.0 };

#[test]
fn one_shard_and_many_answer_alike() {
    let (one, many) = (Folder::new(), Folder::new());
    let whole = build(&one, &one.builder(), 1300);
    let split = build(&many, &many.builder().shard_rows(170), 1300);
    assert_eq!((whole.collection().shards().len(), split.collection().shards().len()), (1, 8));
    assert_eq!((whole.collection().len(), split.collection().len()), (1300, 1300));
    for (mode, fusion) in MODES {
        for text in ["file about sockets", "number77", "graph graph vector"] {
            let query = Query::text(text).mode(mode).fusion(fusion).k(25);
            let (a, b) = (whole.search(&query).unwrap(), split.search(&query).unwrap());
            assert_eq!(a.len(), if text == "number77" && mode == Mode::Bm25 { 1 } else { 25 });
            for (rank, (a, b)) in a.iter().zip(&b).enumerate() {
                assert_eq!((&a.id, &a.text, a.rank), (&b.id, &b.text, b.rank), "{mode:?} {text} {rank}");
                assert!((a.score - b.score).abs() < 1e-5);
                assert_eq!(a.rank, rank + 1);
            }
        }
    }
}

#[test]
fn a_batch_is_its_queries_one_by_one() {
    let folder = Folder::new();
    let searcher = build(&folder, &folder.builder().shard_rows(100), 350);
    let mut queries: Vec<Query> = (0..40)
        .map(|i| Query::text(WORDS[i % 12]).mode(MODES[i % 4].0).fusion(MODES[i % 4].1).k(1 + i % 13))
        .collect();
    queries.push(Query::text("file").filter(Filter::ids(["p3", "p4", "p5"])).k(2));
    queries.push(Query::vector(vec![1.0; DIM]).filter(Filter::prefix("p7")));
    let batch = searcher.search_batch(&queries).unwrap();
    for (query, answer) in queries.iter().zip(batch) {
        assert_eq!(searcher.search(query).unwrap(), answer);
    }
    assert!(searcher.search_batch(&[]).unwrap().is_empty());
}

#[test]
fn the_exact_passage_comes_first_and_is_whole() {
    let folder = Folder::new();
    let searcher = build(&folder, &folder.builder(), 200);
    for number in [0, 57, 199] {
        let wanted = passage(number);
        for (mode, fusion) in MODES {
            let hit = searcher
                .search(&Query::text(wanted.full_text()).mode(mode).fusion(fusion))
                .unwrap()
                .remove(0);
            assert_eq!(
                (hit.id, hit.title, hit.text),
                (wanted.id.clone(), wanted.title.clone(), wanted.text.clone())
            );
        }
        assert_eq!(searcher.collection().passage(&wanted.id).unwrap(), Some(wanted));
    }
    assert_eq!(searcher.collection().passage("absent").unwrap(), None);
    let query = Query::text("number57");
    let hit = searcher.search(&query).unwrap().remove(0);
    let snippet = searcher.snippet(&query, &hit, 200);
    assert_eq!(snippet.highlights.iter().map(|r| &snippet.text[r.clone()]).collect::<Vec<_>>(), ["number57"]);
}

#[test]
fn filters_never_cost_results() {
    let folder = Folder::new();
    let searcher = build(&folder, &folder.builder().shard_rows(64), 300);
    let wanted: HashSet<String> = (0..300).step_by(37).map(|i| format!("p{i}")).collect();
    for mode in [Mode::Dense, Mode::Hybrid] {
        let query = Query::text("query").mode(mode).k(300);
        let found = ids(&searcher, &query.clone().filter(Filter::ids(wanted.clone())));
        assert_eq!(found.iter().cloned().collect::<HashSet<_>>(), wanted);
        let under: Vec<String> =
            (0..300).map(|i| format!("p{i}")).filter(|id| id.starts_with("p2")).collect();
        let prefixed = ids(&searcher, &query.clone().filter(Filter::prefix("p2")));
        assert_eq!(prefixed, ids(&searcher, &query.clone().filter(Filter::ids(under.clone()))));
        assert_eq!(prefixed.len(), under.len());
        let order: Vec<String> =
            ids(&searcher, &query).into_iter().filter(|id| wanted.contains(id)).collect();
        if mode == Mode::Dense {
            assert_eq!(order, found);
        }
        assert_eq!(ids(&searcher, &query.filter(Filter::ids(["absent"]))), [""; 0]);
    }
}

#[test]
fn k_and_collection_of_any_size() {
    let folder = Folder::new();
    let searcher = build(&folder, &folder.builder(), 5);
    assert!(matches!(searcher.search(&Query::text("file").k(0)), Err(Error::Option { option: "k", .. })));
    assert_eq!(ids(&searcher, &Query::text("file").mode(Mode::Dense).k(usize::MAX)).len(), 5);
    let empty = Folder::new();
    let searcher = build(&empty, &empty.builder(), 0);
    assert!(searcher.collection().is_empty());
    for (mode, fusion) in MODES {
        assert_eq!(ids(&searcher, &Query::text("file").mode(mode).fusion(fusion)), [""; 0]);
    }
}

#[test]
fn duplicates_are_refused_or_the_last_wins() {
    let twice = || {
        let again = |text: &str| Passage { id: "p3".into(), title: String::new(), text: text.into() };
        let extra = [again("zebra"), again("zebra crossing")].map(Ok::<_, std::io::Error>);
        passages(10).take(5).chain(extra).chain(passages(10).skip(5))
    };
    for shard_rows in [2, 6, 100] {
        let folder = Folder::new();
        let builder = folder.builder().shard_rows(shard_rows);
        let embedder = HashEmbedder::new(DIM);
        let built = builder.build(twice(), Some(&embedder), &Silent, &Interrupt::new());
        assert!(matches!(built, Err(Error::DuplicateId { id }) if id == "p3"));
        let builder = builder.duplicates(Duplicates::LastWins);
        let collection = builder.build(twice(), Some(&embedder), &Silent, &Interrupt::new()).unwrap();
        collection.verify(&Silent, &Interrupt::new()).unwrap();
        assert_eq!(collection.len(), 10);
        assert_eq!(collection.passage("p3").unwrap().unwrap().text, "zebra crossing");
        let searcher = Searcher::new(collection);
        assert_eq!(ids(&searcher, &Query::text("zebra").k(9)), ["p3"], "{shard_rows}");
        assert!(!ids(&searcher, &Query::text(passage(3).text).k(20)).contains(&"p3".to_owned()));
    }
}

#[test]
fn another_encoder_is_refused() {
    let folder = Folder::new();
    build(&folder, &folder.builder(), 10);
    let open = || Searcher::new(Collection::open(&folder.path()).unwrap());
    let error = open().with_embedder(Arc::new(HashEmbedder::new(DIM + 1))).err().unwrap();
    assert!(matches!(error, Error::WrongEncoder { .. }));
    assert!(error.to_string().contains("build it again"), "{error}");
    let text_only = Folder::new();
    let collection = text_only.builder().build(passages(3), None, &Silent, &Interrupt::new()).unwrap();
    let error = Searcher::new(collection).with_embedder(Arc::new(HashEmbedder::new(DIM))).err().unwrap();
    assert!(matches!(error, Error::Unsupported(_)));
}

#[test]
fn what_cannot_be_asked_is_said() {
    let folder = Folder::new();
    build(&folder, &folder.builder(), 10);
    let searcher = Searcher::new(Collection::open(&folder.path()).unwrap());
    let refused = |query: Query| searcher.search(&query).unwrap_err().to_string();
    assert!(refused(Query::text("a").mode(Mode::Dense)).contains("needs the encoder"));
    assert!(refused(Query::vector(vec![1.0; DIM]).mode(Mode::Bm25)).contains("a query with words"));
    assert!(refused(Query::vector(vec![1.0; DIM - 1])).contains("255 dimensions where 256"));
    assert!(refused(Query::vector(vec![0.0; DIM])).contains("zero"));
    assert!(refused(Query::vector([vec![1.0; DIM - 1], vec![f32::NAN]].concat())).contains("position 255"));
    // Without an encoder, words are still searched for.
    assert!(!ids(&searcher, &Query::text("file")).is_empty());
    let both = QueryInput::Both { text: "file".into(), vector: vec![1.0; DIM] };
    assert_eq!(ids(&searcher, &Query::new(both)).len(), 10);
}

#[test]
fn vectors_alone_with_ids_from_anywhere() {
    let data: Vec<f32> = (0..400).map(|i| (i as f32 * 0.7).cos()).collect();
    let vectors = Vectors::new("x", 4, data).unwrap();
    let given: Vec<String> = (0..100).map(|i| format!("v{i}")).collect();
    for metric in [Metric::Cosine, Metric::Dot] {
        let folder = Folder::new();
        let file = folder.0.path().join("x.npy");
        npy::write_f32(&file, vectors.view()).unwrap();
        let build = |ids: Option<&[String]>| {
            let _ = fs::remove_dir_all(folder.path());
            let mut reader = RowReader::open(&file).unwrap();
            let builder = folder.builder().metric(metric).shard_rows(33);
            builder.build_from_vectors(&mut reader, ids, &Silent, &Interrupt::new())
        };
        assert!(build(Some(&given[..99])).unwrap_err().to_string().contains("99 ids"));
        assert!(build(Some(&[given.as_slice(), &given[..1]].concat())).is_err());
        let searcher = Searcher::new(build(Some(&given)).unwrap());
        let query = vectors.view().get(42).unwrap().to_vec();
        let hit = searcher.search(&Query::vector(query.clone()).k(1)).unwrap().remove(0);
        let length = query.iter().map(|x| x * x).sum::<f32>();
        if metric == Metric::Cosine {
            assert_eq!((hit.id.as_str(), (hit.score - 1.0).abs() < 1e-6), ("v42", true));
            let stored = searcher.collection().vector("v42").unwrap().unwrap();
            assert!((stored[0] * length.sqrt() - query[0]).abs() < 1e-6);
        } else {
            assert!(hit.score >= length - 1e-5);
        }
        assert!(searcher.search(&Query::text("x")).unwrap_err().to_string().contains("cannot search"));
        let rows = Searcher::new(build(None).unwrap());
        assert_eq!(rows.search(&Query::vector(query.clone()).k(1)).unwrap()[0].id, hit.id[1..]);
        let named = folder.0.path().join("x.jsonl");
        write_jsonl(&named, given.iter().map(String::as_str), vectors.view()).unwrap();
        let _ = fs::remove_dir_all(folder.path());
        let mut reader = RowReader::open(&named).unwrap();
        folder.builder().build_from_vectors(&mut reader, None, &Silent, &Interrupt::new()).unwrap();
        assert!(Collection::open(&folder.path()).unwrap().contains("v99").unwrap());
    }
}

/// Gives this number all over for one text.
struct Faulty(HashEmbedder, f32);

impl Embedder for Faulty {
    fn dimension(&self) -> usize {
        self.0.dimension()
    }

    fn fingerprint(&self) -> Checksum {
        self.0.fingerprint()
    }

    fn metric(&self) -> Metric {
        self.0.metric()
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        let mut data = self.0.embed(kind, texts)?;
        if let Some(at) = texts.iter().position(|text| text.contains("number700")) {
            data[at * DIM..(at + 1) * DIM].fill(self.1);
        }
        Ok(data)
    }
}

#[test]
fn failed_builds_leave_only_finished_embeddings_and_can_be_repeated() {
    let folder = Folder::new();
    let builder = folder.builder().shard_rows(100);
    let interrupt = Interrupt::new();
    let error =
        builder.build(passages(900), Some(&Faulty(HashEmbedder::new(DIM), f32::NAN)), &Silent, &interrupt);
    let error = error.err().unwrap().to_string();
    assert!(error.contains("row 700"), "{error}");
    let broken = passages(50).chain([Err(std::io::Error::other("line 51 is no JSON"))]);
    let error = builder.build(broken, None, &Silent, &interrupt).err().unwrap().to_string();
    assert!(error.contains("line 51"), "{error}");
    let asked = Interrupt::new();
    asked.request();
    assert!(matches!(builder.build(passages(50), None, &Silent, &asked), Err(Error::Interrupted(_))));
    assert!(Collection::open(&folder.path()).is_err());
    let left = || -> HashSet<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(left(), [".lock", "embeddings.spool"].map(str::to_owned).into());
    // The faulty row was not kept: a sound embedder with the same fingerprint is asked again.
    let collection =
        builder.build(passages(900), Some(&HashEmbedder::new(DIM)), &Silent, &interrupt).unwrap();
    assert_eq!(collection.len(), 900);
    assert!(!left().contains("embeddings.spool"));
    drop(collection);
    fs::remove_dir_all(folder.path()).unwrap();
    build(&folder, &builder, 300);
    assert!(matches!(
        builder.build(passages(5), None, &Silent, &interrupt),
        Err(Error::File(FileError::Exists { .. }))
    ));
    assert_eq!(Collection::open(&folder.path()).unwrap().len(), 300);
}

#[test]
fn passages_without_a_token_are_similar_to_nothing() {
    for structure in [Structure::Flat, Structure::Graph] {
        for coding in [Coding::Int8, Coding::None] {
            let folder = Folder::new();
            let embedder = Arc::new(Faulty(HashEmbedder::new(DIM), 0.0));
            let options = VectorOptions { structure, coding, ..VectorOptions::default() };
            let builder = folder.builder().vectors(options);
            let collection =
                builder.build(passages(900), Some(&*embedder), &Silent, &Interrupt::new()).unwrap();
            collection.verify(&Silent, &Interrupt::new()).unwrap();
            assert_eq!(collection.vector("p700").unwrap().unwrap(), vec![0.0; DIM]);
            let searcher = Searcher::new(collection).with_embedder(embedder).unwrap();
            // It is found by its words, and measured with 0 by vectors.
            let words = Query::text("number700").mode(Mode::Bm25);
            assert_eq!(ids(&searcher, &words)[0], "p700");
            let dense = Query::text(passage(5).text).mode(Mode::Dense).k(900).effort(Effort::Exact);
            let hits = searcher.search(&dense).unwrap();
            assert_eq!((hits.len(), hits[0].id.as_str()), (900, "p5"));
            assert_eq!(hits.iter().find(|hit| hit.id == "p700").unwrap().score, 0.0);
            // A query without a token is similar to nothing, too; a vector of zeros is a mistake.
            let nothing = searcher.search(&Query::text("number700").mode(Mode::Dense).k(5)).unwrap();
            assert!(nothing.len() == 5 && nothing.iter().all(|hit| hit.score == 0.0));
            assert!(searcher.search(&Query::vector(vec![0.0; DIM])).is_err());
        }
    }
}

#[test]
fn folders_in_use_and_folders_of_others_are_left_alone() {
    let folder = Folder::new();
    let lock = DirLock::acquire(&folder.path()).unwrap();
    let build = || folder.builder().build(passages(5), None, &Silent, &Interrupt::new());
    assert!(matches!(build(), Err(Error::File(FileError::Locked { .. }))));
    drop(lock);
    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    assert!(matches!(build(), Err(Error::File(FileError::Exists { .. }))));
    assert!(folder.path().join("thesis.txt").exists());
    let absent = Collection::open(&folder.0.path().join("absent")).err().unwrap().to_string();
    assert!(absent.contains("absent"), "{absent}");
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn verify_notices_a_flipped_byte_in_every_file_and_opening_every_cut() {
    let folder = Folder::new();
    let embedder = HashEmbedder::new(DIM);
    let twice = passages(30).chain([Ok(passage(7))]);
    folder
        .builder()
        .duplicates(Duplicates::LastWins)
        .build(twice, Some(&embedder), &Silent, &Interrupt::new())
        .unwrap();
    let check =
        || -> Result<(), Error> { Collection::open(&folder.path())?.verify(&Silent, &Interrupt::new()) };
    check().unwrap();
    let files: Vec<PathBuf> = files(&folder.path()).into_iter().filter(|p| !p.ends_with(".lock")).collect();
    assert!(files.len() > 8, "{files:?}");
    for path in files {
        let whole = fs::read(&path).unwrap();
        for at in [0, whole.len() / 2, whole.len().saturating_sub(2)] {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(check().is_err(), "{} byte {at}", path.display());
            fs::write(&path, &whole[..at]).unwrap();
            assert!(check().is_err(), "{} cut at {at}", path.display());
        }
        fs::remove_file(&path).unwrap();
        assert!(check().is_err(), "{} removed", path.display());
        fs::write(&path, &whole).unwrap();
    }
    check().unwrap();
}

#[test]
fn a_read_only_folder_can_be_searched() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    build(&folder, &folder.builder().analyser(Analyser::Code), 20);
    let set = |mode| {
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    };
    let before = files(&folder.path());
    set(0o555);
    let searcher = Searcher::new(Collection::open(&folder.path()).unwrap());
    let found = ids(&searcher, &Query::text("file"));
    set(0o755);
    assert!(!found.is_empty());
    // Whoever may write all the same, such as root, has not done so either.
    assert_eq!(files(&folder.path()), before);
}
