//! The hub's layouts, over the files that tools/hub_fixtures.py wrote.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use revela_base::file::FileError;
use revela_base::progress::Silent;

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn select(split: &str, subset: Option<&str>) -> Selection {
    Selection { split: split.into(), subset: subset.map(str::to_owned), ..Selection::default() }
}

fn load(dir: &Path, selection: &Selection) -> Result<(Box<dyn Layout>, TestCollection), EvalError> {
    let layout = open(dir, selection)?;
    let policy = UnknownIdPolicy::Refuse;
    let test = TestCollection::load(&*layout, &selection.split, policy, &Silent, &Interrupt::new())?;
    Ok((layout, test))
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn parts_row_groups_and_compressions_are_read_in_order() {
    let (layout, test) = load(&fixture("coir"), &select("test", None)).unwrap();
    assert_eq!(layout.splits().unwrap(), ["test", "train"]);
    let corpus: Vec<Document> = layout.corpus().unwrap().map(Result::unwrap).collect();
    assert_eq!(
        corpus.iter().map(|d| d.id.as_str()).collect::<Vec<_>>().join(" "),
        "d0 d1 d2 d3 d4 d5 d6 d7 d8 d9"
    );
    assert_eq!(corpus[8].title, "title 8");
    assert_eq!(corpus[9].text, "def function_9(): return 9  # ünï");
    assert_eq!((test.documents, test.queries.len(), test.qrels.judgements()), (10, 2, 3));
    assert_eq!(test.qrels.get("q2").unwrap()["d9"], 2);
    assert_eq!(test.queries[1], Query { id: "q2".into(), text: "two".into() });
    let error = load(&fixture("coir"), &select("dev", None)).unwrap_err().to_string();
    assert!(error.contains("no split \"dev\"; it has test, train"), "{error}");
}

#[test]
fn numbers_as_ids_files_by_split_and_subsets() {
    let (layout, test) = load(&fixture("numbered"), &select("dev", Some("go"))).unwrap();
    let corpus: Vec<Document> = layout.corpus().unwrap().map(Result::unwrap).collect();
    assert_eq!((corpus.len(), corpus[0].id.as_str(), corpus[0].text.as_str()), (5, "100", "text 100"));
    assert_eq!(test.queries, [Query { id: "7".into(), text: "dev?".into() }]);
    assert_eq!(test.qrels.get("7").unwrap()["101"], 2);
    assert!(matches!(
        open(&fixture("numbered"), &select("dev", None)),
        Err(EvalError::NotACollection { .. })
    ));
    assert!(open(&fixture("numbered"), &select("dev", Some("rust"))).is_err());
}

#[test]
fn bright_excludes_documents_and_has_a_long_setting() {
    let dir = fixture("bright");
    let (layout, test) = load(&dir, &select("biology", None)).unwrap();
    assert_eq!(layout.splits().unwrap(), ["biology", "biology-long"]);
    assert_eq!((test.documents, test.qrels.judgements()), (3, 3));
    assert!(test.exclusions.excludes("1", "b/1.txt") && !test.exclusions.excludes("0", "b/1.txt"));
    assert!(!test.exclusions.excludes("0", "N/A"));
    let (_, long) = load(&dir, &select("biology-long", None)).unwrap();
    assert_eq!((long.documents, long.qrels.get("1").unwrap()["a"]), (2, 1));
    let error = load(&dir, &select("test", None)).unwrap_err().to_string();
    assert!(error.contains("it has biology, biology-long"), "{error}");
}

#[test]
fn a_document_that_is_an_answer_and_excluded_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["documents", "examples"] {
        fs::create_dir(root.path().join(folder)).unwrap();
    }
    fs::write(root.path().join("documents/x.jsonl"), "{\"id\": \"d\", \"content\": \"t\"}\n").unwrap();
    let examples = "{\"id\": \"q\", \"query\": \"?\", \"gold_ids\": [\"d\"], \"excluded_ids\": [\"d\"]}\n";
    fs::write(root.path().join("examples/x.jsonl"), examples).unwrap();
    let error = open(root.path(), &select("x", None)).err().unwrap().to_string();
    assert!(error.contains("x.jsonl:1") && error.contains("excluded_ids"), "{error}");
}

#[test]
fn the_hubs_cache_is_followed_to_its_snapshot() {
    let root = tempfile::tempdir().unwrap();
    let repo = in_hub_cache(root.path(), "CoIR-Retrieval/tiny");
    assert!(repo.ends_with("datasets--CoIR-Retrieval--tiny"));
    copy_tree(&fixture("coir"), &repo.join("snapshots/0a1b"));
    assert_eq!(load(&repo, &select("test", None)).unwrap().1.documents, 10, "the only snapshot");
    fs::create_dir_all(repo.join("snapshots/ffff")).unwrap();
    let error = load(&repo, &select("test", None)).unwrap_err().to_string();
    assert!(error.contains("2 snapshots"), "{error}");
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), "0a1b\n").unwrap();
    assert_eq!(load(&repo, &select("test", None)).unwrap().1.documents, 10, "the one that main names");
}

#[test]
fn judgements_may_lie_beside_and_texts_may_be_gzipped() {
    let root = tempfile::tempdir().unwrap();
    let gzipped = |name: &str, lines: &str| {
        let file = fs::File::create(root.path().join("set").join(name)).unwrap();
        let mut out = GzEncoder::new(file, Compression::fast());
        out.write_all(lines.as_bytes()).unwrap();
        out.finish().unwrap();
    };
    fs::create_dir_all(root.path().join("set")).unwrap();
    fs::create_dir_all(root.path().join("set-qrels")).unwrap();
    gzipped("corpus.jsonl.gz", "{\"_id\": \"d\", \"text\": \"t\"}\n");
    gzipped("queries.jsonl.gz", "{\"_id\": \"q\", \"text\": \"?\"}\n");
    assert!(matches!(
        open(&root.path().join("set"), &select("test", None)),
        Err(EvalError::NotACollection { missing: "qrels", .. })
    ));
    let table = "query-id\tcorpus-id\tscore\nq\td\t1\n";
    fs::write(root.path().join("set-qrels/test.tsv"), table).unwrap();
    assert_eq!(load(&root.path().join("set"), &select("test", None)).unwrap().1.qrels.judgements(), 1);
    fs::create_dir_all(root.path().join("set/qrels")).unwrap();
    gzipped("qrels/dev.tsv.gz", table);
    assert_eq!(load(&root.path().join("set"), &select("dev", None)).unwrap().1.qrels.judgements(), 1);
}

#[test]
fn damaged_and_foreign_files_are_named() {
    let root = tempfile::tempdir().unwrap();
    copy_tree(&fixture("coir"), root.path());
    let path = root.path().join("corpus/corpus-00000-of-00002.parquet");
    let whole = fs::read(&path).unwrap();
    let selection = select("test", None);
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(load(root.path(), &selection), Err(EvalError::File(FileError::Corrupt { .. }))));
    fs::copy(root.path().join("data/test-00000-of-00001.parquet"), &path).unwrap();
    let error = load(root.path(), &selection).unwrap_err().to_string();
    assert!(error.contains("none of the columns"), "{error}");
    fs::copy(root.path().join("corpus/corpus-00001-of-00002.parquet"), &path).unwrap();
    let error = load(root.path(), &selection).unwrap_err().to_string();
    assert!(error.contains("\"d7\" occurs twice"), "{error}");
}
