use std::fs;
use std::path::Path;

use revela_base::artifact::IfExists;
use revela_base::file::FileError;
use revela_base::progress::Silent;

use super::*;
use crate::exclusions::SelfMatches;

const CORPUS: &str = r#"{"_id": "d1", "title": "One", "text": "first", "metadata": {"url": "x"}}
{"_id": 2, "title": null, "text": "second"}
{"_id": "d3", "text": ""}
"#;
const QUERIES: &str =
    "{\"_id\": \"q1\", \"text\": \"a\"}\n{\"_id\": 7, \"text\": \"b\"}\n{\"_id\": \"q3\", \"text\": \"c\"}\n";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("qrels")).unwrap();
    let all =
        [("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES), ("qrels/test.tsv", "q1\td1\t1\n7\t2\t2\n")];
    for (name, text) in all.iter().chain(files) {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn load(dir: &Path, policy: UnknownIdPolicy) -> Result<TestCollection, EvalError> {
    TestCollection::load(&BeirFolder::open(dir)?, "test", policy, &Silent, &Interrupt::new())
}

/// The error that the folder gives with these files in place of the good ones.
fn error(files: &[(&str, &str)]) -> String {
    load(folder(files).path(), UnknownIdPolicy::Report).unwrap_err().to_string()
}

#[test]
fn a_folder_is_read() {
    let dir =
        folder(&[("qrels/dev.tsv", "query-id\tcorpus-id\tscore\nq3\td3\t1\n"), ("qrels/notes.txt", "")]);
    let beir = BeirFolder::open(dir.path()).unwrap();
    assert_eq!(beir.splits().unwrap(), ["dev", "test"]);
    let documents: Vec<Document> = beir.corpus().unwrap().map(Result::unwrap).collect();
    let document = |id: &str, title: &str, text: &str| Document {
        id: id.into(),
        title: title.into(),
        text: text.into(),
    };
    assert_eq!(
        documents,
        [document("d1", "One", "first"), document("2", "", "second"), document("d3", "", "")]
    );
    let test = load(dir.path(), UnknownIdPolicy::Refuse).unwrap();
    assert_eq!((test.documents, test.qrels.judgements()), (3, 2));
    assert_eq!(test.queries.iter().map(|q| q.id.as_str()).collect::<Vec<_>>(), ["q1", "7"]);
    assert!(test.unknown.is_empty() && test.exclusions.is_empty() && beir.info().is_none());
    let strict = beir.with_self_matches(SelfMatches::Drop);
    assert!(strict.exclusions("test").unwrap().excludes("x", "x"));
}

#[test]
fn a_split_that_does_not_exist_names_those_that_do() {
    let dir = folder(&[("qrels/dev.tsv", "q3\td3\t1\n")]);
    let beir = BeirFolder::open(dir.path()).unwrap();
    let error = beir.qrels("validation").unwrap_err().to_string();
    assert!(error.contains("no split \"validation\"; it has dev, test"), "{error}");
    assert!(beir.qrels("../qrels/dev").is_err());
}

#[test]
fn what_is_missing_is_named() {
    let dir = folder(&[]);
    fs::remove_file(dir.path().join("queries.jsonl")).unwrap();
    let error = BeirFolder::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("queries.jsonl is missing"), "{error}");
    assert!(BeirFolder::open(&dir.path().join("absent")).is_err());
}

#[test]
fn malformed_lines_name_file_and_line() {
    for (name, text, part) in [
        (
            "corpus.jsonl",
            "{\"_id\": \"a\", \"text\": \"\"}\n{\"_id\": \"b\"}\n",
            "corpus.jsonl:2: `text` is missing or null",
        ),
        (
            "corpus.jsonl",
            "{\"_id\": \"a\", \"text\": \"\"}\n{\"_id\": \"a\", \"text\": \"\"}\n",
            "corpus.jsonl:2: the document id \"a\" occurs twice",
        ),
        ("corpus.jsonl", "{\"_id\": \"\", \"text\": \"\"}\n", "corpus.jsonl:1: `_id`: the id is empty"),
        ("corpus.jsonl", "{\"_id\": 1.5, \"text\": \"\"}\n", "whole number"),
        ("corpus.jsonl", "not json\n", "corpus.jsonl:1:"),
        ("corpus.jsonl", "{\"_id\": \"a\", \"text\": null}\n", "corpus.jsonl:1: `text` is missing or null"),
        (
            "corpus.jsonl",
            "{\"_id\": \"a\", \"text\": \"\\ud800\"}\n",
            "corpus.jsonl:1: `text`: half of a surrogate",
        ),
        ("queries.jsonl", "{\"_id\": NaN, \"text\": \"\"}\n", "queries.jsonl:1: `_id`: JSON has no NaN"),
        (
            "queries.jsonl",
            "{\"_id\": \"q1\", \"text\": \"\"}\n\n{\"_id\": \"q1\", \"text\": \"\"}\n",
            "queries.jsonl:3: the query id \"q1\" occurs twice",
        ),
        ("queries.jsonl", "{\"_id\": \"q1\", \"text\": 5}\n", "queries.jsonl:1: `text`: invalid type"),
        ("qrels/test.tsv", "q1\td1\tx\n", "test.tsv:1: the grade \"x\""),
        ("corpus.jsonl", "\n", "holds no documents"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", "holds no judgements"),
    ] {
        let error = error(&[(name, text)]);
        assert!(error.contains(part), "{name}: {error}");
    }
}

#[test]
fn the_stream_ends_after_an_error() {
    let dir = folder(&[("corpus.jsonl", "broken\n{\"_id\": \"a\", \"text\": \"\"}\n")]);
    let mut corpus = BeirFolder::open(dir.path()).unwrap().corpus().unwrap();
    assert!(corpus.next().unwrap().is_err());
    assert!(corpus.next().is_none());
}

#[test]
fn unknown_ids_are_reported_or_refused() {
    let dir = folder(&[("qrels/test.tsv", "q1\td1\t1\nq1\tgone\t1\nghost\td1\t1\nghoul\td1\t1\n")]);
    let test = load(dir.path(), UnknownIdPolicy::Report).unwrap();
    assert_eq!(
        test.unknown,
        UnknownIds { queries: vec!["ghost".into(), "ghoul".into()], documents: vec!["gone".into()] }
    );
    assert_eq!(
        (test.qrels.len(), test.qrels.judgements()),
        (1, 2),
        "the unknown document stays, the queries go"
    );
    let error = load(dir.path(), UnknownIdPolicy::Refuse).unwrap_err().to_string();
    assert!(error.contains("2 unknown queries (ghost, ghoul) and 1 unknown documents (gone)"), "{error}");
    let dir = folder(&[("qrels/test.tsv", "ghost\td1\t1\n")]);
    assert!(matches!(load(dir.path(), UnknownIdPolicy::Report), Err(EvalError::NoJudgements { .. })));
}

#[test]
fn checking_the_corpus_can_be_interrupted() {
    let dir = folder(&[]);
    let interrupt = Interrupt::new();
    interrupt.request();
    let beir = BeirFolder::open(dir.path()).unwrap();
    let loaded = TestCollection::load(&beir, "test", UnknownIdPolicy::Report, &Silent, &interrupt);
    assert!(matches!(loaded, Err(EvalError::Interrupted(_))));
}

fn document(id: &str, text: &str) -> Document {
    Document { id: id.into(), title: "T\t\"1\"".into(), text: text.into() }
}

fn query(id: &str) -> Query {
    Query { id: id.into(), text: "what?\n".into() }
}

fn judged(pairs: &[(&str, &str)]) -> Qrels {
    let mut qrels = Qrels::new();
    for (query, document) in pairs {
        qrels.insert(query, document, 1).unwrap();
    }
    qrels
}

fn writer(dir: &Path) -> BeirWriter {
    let info = CollectionInfo { name: "tiny".into(), ..Default::default() };
    BeirWriter::create(dir, IfExists::Refuse, info).unwrap()
}

#[test]
fn a_written_folder_reads_back_and_damage_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("tiny");
    let mut out = writer(&dir);
    let documents = [document("d 1", "line\nline \u{2028} \u{0}"), document("2", "ünï")];
    out.corpus(documents.clone().map(Ok)).unwrap();
    out.queries([query("q1"), query("q2")]).unwrap();
    out.qrels("test", &judged(&[("q1", "d 1")])).unwrap();
    out.qrels("dev", &judged(&[("q2", "2"), ("q2", "d 1")])).unwrap();
    assert!(!dir.exists(), "nothing stands under the name before it is whole");
    out.finish().unwrap();
    let beir = BeirFolder::open(&dir).unwrap();
    let info = beir.info().unwrap();
    assert_eq!((info.documents, info.queries, info.judgements["dev"]), (2, 2, 2));
    assert_eq!(beir.corpus().unwrap().map(Result::unwrap).collect::<Vec<_>>(), documents);
    assert_eq!(beir.queries().unwrap(), [query("q1"), query("q2")]);
    assert_eq!(beir.qrels("test").unwrap(), judged(&[("q1", "d 1")]));
    let text = fs::read_to_string(dir.join("qrels/test.tsv")).unwrap();
    fs::write(dir.join("qrels/test.tsv"), text.replace("\t1\n", "\t2\n")).unwrap();
    assert!(matches!(BeirFolder::open(&dir), Err(EvalError::File(FileError::Corrupt { .. }))));
}

#[test]
fn what_would_not_be_sound_is_not_written() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("tiny");
    let corpus = |documents: Vec<Document>| writer(&dir).corpus(documents.into_iter().map(Ok));
    let twice = corpus(vec![document("a", ""), document("a", "")]);
    assert!(matches!(twice, Err(EvalError::DuplicateId { kind: "document", .. })));
    for id in ["", "a\tb", "a\n", " a"] {
        assert!(matches!(corpus(vec![document(id, "")]), Err(EvalError::UnwritableId { .. })), "{id:?}");
    }
    let failing = writer(&dir).corpus([Err(EvalError::NoJudgements { origin: "upstream".into() })]);
    assert!(matches!(failing, Err(EvalError::NoJudgements { .. })), "errors of the stream come through");

    let mut out = writer(&dir);
    out.corpus([Ok(document("a", ""))]).unwrap();
    out.queries([query("q")]).unwrap();
    assert!(matches!(out.qrels("test", &judged(&[("q", "b")])), Err(EvalError::UnknownIds(_))));
    assert!(matches!(out.qrels("test", &judged(&[("r", "a")])), Err(EvalError::UnknownIds(_))));
    assert!(matches!(out.qrels("test", &Qrels::new()), Err(EvalError::NoJudgements { .. })));
    for split in ["", "../x", "a/b", ".hidden"] {
        assert!(
            matches!(out.qrels(split, &judged(&[("q", "a")])), Err(EvalError::BadSetting { .. })),
            "{split:?}"
        );
    }
    assert!(matches!(out.finish(), Err(EvalError::BadSetting { name: "qrels", .. })));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "nothing is left behind");
}
