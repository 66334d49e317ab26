//! Sources as a user meets them: good corpora, and every kind of bad one.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use revela_text::{
    Bad, BadInput, Counts, Document, Documents, Format, Ignored, Language, Links, SourceConfig, SourceKind,
    TextError,
};

const JSONL: SourceKind = SourceKind::Jsonl(Format::Text);

fn write(root: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn read(config: SourceConfig) -> (Vec<Document>, Option<TextError>, Counts) {
    let mut source = Documents::open(config).unwrap();
    let (mut documents, mut error) = (Vec::new(), None);
    for item in &mut source {
        match item {
            Ok(document) => documents.push(document),
            Err(e) => error = Some(e),
        }
    }
    assert!(source.next().is_none(), "nothing follows the end");
    (documents, error, source.counts().clone())
}

fn read_all(path: &Path, kind: SourceKind) -> Vec<Document> {
    let (documents, error, counts) = read(SourceConfig::new(path, kind));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(counts.documents, documents.len() as u64);
    documents
}

fn ids(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|d| d.id.as_str()).collect()
}

fn skipping(path: &Path, kind: SourceKind) -> SourceConfig {
    SourceConfig { bad_input: BadInput::Skip, ..SourceConfig::new(path, kind) }
}

#[test]
fn notebooks_are_read_without_what_came_out_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let notebook = |source: &str, output: &str| {
        format!(
            "{{\"nbformat\": 4, \"cells\": [{{\"cell_type\": \"markdown\", \"source\": \"{source}\"}}, {{\"cell_type\": \
             \"code\", \"source\": [\"a = 1\"], \"outputs\": [{{\"data\": \"{output}\"}}]}}]}}"
        )
    };
    write(dir.path(), "a.ipynb", notebook("# Title", &"came out ".repeat(30)));
    let config = SourceConfig { max_bytes: Some(100), ..SourceConfig::new(dir.path(), SourceKind::Text) };
    let (documents, error, _) = read(config.clone());
    assert!(error.is_none(), "{error:?}");
    let expected = Document {
        id: "a.ipynb".into(),
        title: "Title".into(),
        text: "# Title\n\n```\na = 1\n```".into(),
        format: Format::Markdown,
    };
    assert_eq!(documents, [expected]);
    write(dir.path(), "b.ipynb", notebook(&"long ".repeat(30), ""));
    write(dir.path(), "c.ipynb", "{}");
    let (documents, error, counts) = read(SourceConfig { bad_input: BadInput::Skip, ..config });
    assert!(error.is_none() && ids(&documents) == ["a.ipynb"]);
    assert_eq!((counts.skipped[&Bad::TooLong].count, counts.skipped[&Bad::Malformed].count), (1, 1));
}

#[test]
fn json_lines_in_beir_layout() {
    let dir = tempfile::tempdir().unwrap();
    let lines = "\u{FEFF}{\"_id\": \"a\", \"title\": \"T\", \"text\": \"one\\ntwo\", \"metadata\": {\"x\": [1]}}\r\n\
                 \n{\"_id\": 7, \"text\": \"é\"}\n{\"_id\": -8, \"title\": null, \"text\": \"\"}";
    write(dir.path(), "c.jsonl", lines);
    let documents = read_all(&dir.path().join("c.jsonl"), JSONL);
    assert_eq!(ids(&documents), ["a", "7", "-8"]);
    assert_eq!(documents[0], Document::prose("a", "T", "one\ntwo"));
    assert_eq!(documents[2], Document::prose("-8", "", ""));
    let code = SourceKind::Jsonl(Format::Code(Language::Python));
    assert_eq!(read_all(&dir.path().join("c.jsonl"), code)[0].format, Format::Code(Language::Python));
}

#[test]
fn a_bad_line_is_an_error_with_its_number_or_is_counted() {
    let good = "{\"_id\": \"good\", \"text\": \"x\"}\n";
    let long = format!("{{\"_id\": \"l\", \"text\": \"{}\"}}", "x".repeat(200));
    let cases: [(&[u8], Bad); 11] = [
        (b"{\"_id\": \"a\", \"text\": \"cut", Bad::Malformed),
        (b"{\"_id\": \"a\"}", Bad::Malformed),
        (b"{\"text\": \"a\"}", Bad::Malformed),
        (b"{\"_id\": \"\", \"text\": \"a\"}", Bad::Malformed),
        (b"{\"_id\": 1.5, \"text\": \"a\"}", Bad::Malformed),
        (b"{\"_id\": \"a\", \"text\": null}", Bad::Malformed),
        (b"{\"_id\": \"a\", \"text\": \"\\ud800\"}", Bad::Malformed),
        (b"[1]", Bad::Malformed),
        (b"{\"_id\": \"a\", \"text\": \"\xFF\"}", Bad::NotUtf8),
        (b"\x7FELF\0\0", Bad::Binary),
        (long.as_bytes(), Bad::TooLong),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.jsonl");
    for (line, reason) in cases {
        fs::write(&path, [good.as_bytes(), line, b"\n", good.as_bytes()].concat()).unwrap();
        let config = SourceConfig { max_bytes: Some(100), ..SourceConfig::new(&path, JSONL) };
        let (documents, error, _) = read(config.clone());
        assert_eq!(documents.len(), 1);
        let text = error.unwrap().to_string();
        assert!(text.contains("c.jsonl:2: "), "{text}");
        let (documents, error, counts) = read(SourceConfig { bad_input: BadInput::Skip, ..config });
        assert!(error.is_none());
        assert_eq!((documents.len(), counts.bad()), (2, 1), "{reason:?}");
        assert_eq!(counts.skipped[&reason].first, text);
    }
}

#[test]
fn a_cut_archive_is_an_error_even_when_bad_input_is_skipped() {
    use std::io::Write;
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (0..3000).for_each(|i| writeln!(gz, "{{\"_id\": {i}, \"text\": \"text {}\"}}", i * i).unwrap());
    let whole = gz.finish().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.jsonl.gz");
    fs::write(&path, &whole).unwrap();
    assert_eq!(read_all(&path, JSONL).len(), 3000);
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (_, error, _) = read(skipping(&path, JSONL));
    assert!(error.unwrap().to_string().contains("cannot read"));
}

fn code_folder(root: &Path) {
    write(root, "b/lib.rs", "fn b() {}");
    write(root, "a.py", "\u{FEFF}x = 1");
    write(root, "a/z.go", "package z");
    write(root, "b.h", "class A;");
    write(root, "README.md", "intro\n# The Title #\n");
    write(root, "notes.txt", "Notes.");
    write(root, "image.png", b"\x89PNG\0");
    write(root, "object.c", b"\0\0");
    write(root, "empty.rs", " \n");
    write(root, "Makefile", "all:");
    write(root, "old.md.gz", b"\x1f\x8b");
    write(root, ".gitignore", "target/\n*.gen.rs\n");
    write(root, "target/x.rs", "fn ignored() {}");
    write(root, "b/y.gen.rs", "fn ignored() {}");
    write(root, ".hidden/x.rs", "fn hidden() {}");
}

#[test]
fn folders_give_what_the_kind_asks_for_in_a_fixed_order() {
    let dir = tempfile::tempdir().unwrap();
    code_folder(dir.path());
    let (code, error, counts) = read(SourceConfig::new(dir.path(), SourceKind::Code));
    assert!(error.is_none());
    assert_eq!(ids(&code), ["a/z.go", "a.py", "b/lib.rs", "b.h"]);
    assert_eq!(code[1].text, "x = 1", "without its byte order mark");
    assert_eq!(counts.formats[&Format::Code(Language::Go)], 1);
    let ignored: Vec<_> = counts.ignored.into_iter().collect();
    assert_eq!(
        ignored,
        [(Ignored::BinarySource, 1), (Ignored::Blank, 1), (Ignored::OtherType, 4), (Ignored::Packed, 1)]
    );
    let text = read_all(dir.path(), SourceKind::Text);
    assert_eq!(ids(&text), ["README.md", "notes.txt"]);
    assert_eq!(text[0].title, "The Title");
    assert_eq!(read_all(dir.path(), SourceKind::TextAndCode).len(), 6);
    assert_eq!(ids(&read_all(&dir.path().join("b/lib.rs"), SourceKind::Code)), ["lib.rs"]);
}

#[test]
fn ignore_files_above_the_corpus_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), ".gitignore", "*.rs\n");
    write(dir.path(), "corpus/a.rs", "fn a() {}");
    assert_eq!(read_all(&dir.path().join("corpus"), SourceKind::Code).len(), 1);
}

#[test]
fn bad_files_are_errors_that_name_them_or_are_counted() {
    let cases: [(&str, &[u8], SourceKind, Bad); 5] = [
        ("bad.txt", b"a\0b", SourceKind::Text, Bad::Binary),
        ("bad.md", b"a\xFFb", SourceKind::Text, Bad::NotUtf8),
        ("bad.rs", b"fn caf\xE9() {}", SourceKind::Code, Bad::NotUtf8),
        ("bad.txt", &[b'x'; 101], SourceKind::Text, Bad::TooLong),
        ("bad.rs", &[b'x'; 101], SourceKind::Code, Bad::TooLong),
    ];
    for (name, bytes, kind, reason) in cases {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), name, bytes);
        let config = SourceConfig { max_bytes: Some(100), ..SourceConfig::new(dir.path(), kind) };
        let (_, error, _) = read(config.clone());
        let error = error.unwrap();
        assert!(matches!(&error, TextError::BadFile { reason: r, .. } if *r == reason), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        // Where all is skipped, the corpus is empty, and the error says what was skipped.
        let skip = SourceConfig { bad_input: BadInput::Skip, ..config };
        let (_, error, _) = read(skip.clone());
        let text = error.unwrap().to_string();
        assert!(text.contains("no document") && text.contains("skipped 1"), "{text}");
        write(dir.path(), "good.txt", "x");
        write(dir.path(), "good.rs", "x");
        let (documents, error, counts) = read(skip);
        assert!(error.is_none());
        assert_eq!((documents.len(), counts.skipped[&reason].count), (1, 1));
        assert!(counts.skipped[&reason].first.contains(name));
    }
}

#[test]
fn missing_and_empty_corpora_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    for kind in [JSONL, SourceKind::Code, SourceKind::Text] {
        let error = Documents::open(SourceConfig::new(dir.path().join("none"), kind)).unwrap_err();
        assert!(error.to_string().contains("cannot open"), "{error}");
    }
    for kind in [SourceKind::Code, SourceKind::Text, SourceKind::TextAndCode] {
        let (_, error, _) = read(SourceConfig::new(dir.path(), kind));
        assert!(matches!(error, Some(TextError::NoDocuments { .. })));
    }
    let error = Documents::open(SourceConfig::new(dir.path(), JSONL)).unwrap_err();
    assert!(error.to_string().contains("cannot read"), "a folder is no file of lines: {error}");
    write(dir.path(), "empty.jsonl", "\n");
    let (_, error, _) = read(SourceConfig::new(dir.path().join("empty.jsonl"), JSONL));
    assert!(error.unwrap().to_string().contains("ignored 1 blank"));
}

#[cfg(unix)]
#[test]
fn links_are_ignored_or_followed_and_loops_are_found() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "root/a.rs", "fn a() {}");
    write(dir.path(), "other/b.rs", "fn b() {}");
    let root = dir.path().join("root");
    symlink(dir.path().join("other"), root.join("linked")).unwrap();
    symlink(&root, root.join("loop")).unwrap();
    let (documents, error, counts) = read(SourceConfig::new(&root, SourceKind::Code));
    assert!(error.is_none());
    assert_eq!((ids(&documents), counts.ignored[&Ignored::Link]), (vec!["a.rs"], 2));
    let follow = SourceConfig { links: Links::Follow, ..SourceConfig::new(&root, SourceKind::Code) };
    let (_, error, _) = read(follow.clone());
    assert!(matches!(error, Some(TextError::BadFile { reason: Bad::LinkLoop, .. })), "{error:?}");
    let (documents, error, counts) = read(SourceConfig { bad_input: BadInput::Skip, ..follow });
    assert!(error.is_none());
    assert_eq!(ids(&documents), ["a.rs", "linked/b.rs"]);
    assert_eq!(counts.skipped[&Bad::LinkLoop].count, 1);
    // The corpus itself may be a link.
    symlink(&root, dir.path().join("corpus")).unwrap();
    assert_eq!(ids(&read_all(&dir.path().join("corpus"), SourceKind::Code)), ["a.rs"]);
    symlink(root.join("a.rs"), dir.path().join("one.rs")).unwrap();
    assert_eq!(ids(&read_all(&dir.path().join("one.rs"), SourceKind::Code)), ["one.rs"]);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_and_dangling_links_are_bad_input() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.rs", "fn a() {}");
    fs::write(dir.path().join(OsStr::from_bytes(b"b\xFF.rs")), "x").unwrap();
    let (documents, _, counts) = read(skipping(dir.path(), SourceKind::Code));
    assert_eq!((documents.len(), counts.skipped[&Bad::Name].count), (1, 1));
    std::os::unix::fs::symlink("nowhere.rs", dir.path().join("c.rs")).unwrap();
    let follow = SourceConfig { links: Links::Follow, ..skipping(dir.path(), SourceKind::Code) };
    assert_eq!(read(follow).2.skipped[&Bad::Unreadable].count, 1);
}

#[test]
fn the_kind_is_guessed_from_the_path() {
    for name in ["a.jsonl", "a.JSONL.gz", "a.ndjson", "b/c.json.zst", "a.jsonl.xz"] {
        assert_eq!(SourceKind::of_path(Path::new(name)), JSONL, "{name}");
    }
    for name in ["a", "a.txt", "src", "a.gz"] {
        assert_eq!(SourceKind::of_path(Path::new(name)), SourceKind::TextAndCode, "{name}");
    }
}

#[test]
fn the_shared_collections_are_read_whole() {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    if !data.is_dir() {
        println!("skipped: {} is not there", data.display());
        return;
    }
    for (name, documents) in
        [("scifact", 5_183), ("cranfield", 1_400), ("cosqa", 6_267), ("java-csharp", 11_283)]
    {
        let path = data.join(name).join("corpus.jsonl");
        assert_eq!(read_all(&path, JSONL).len(), documents, "{name}");
    }
}
