use proptest::prelude::*;

use super::*;
use crate::language::Language;

fn config() -> ReaderConfig {
    ReaderConfig { min_rest_words: 3, ..ReaderConfig::default() }
}

fn found(text: &str, title: &str, format: Format) -> Option<Reader> {
    let found = reader(&ChunkText { text, title, format }, &config());
    if let Some(reader) = &found {
        check(reader, &config());
    }
    found
}

/// What must hold for any reader.
fn check(reader: &Reader, config: &ReaderConfig) {
    let Reader { query, rest, .. } = reader;
    assert!(!query.is_empty() && query == query.trim() && !query.contains(['\n', '\r']), "{reader:?}");
    assert!(Words.size(query) <= config.max_words && Words.size(rest) >= config.min_rest_words);
    assert!(!rest.contains(query.as_str()), "{reader:?}");
    let flat =
        |text: &str| text.to_lowercase().split(|c: char| !c.is_alphanumeric()).collect::<Vec<_>>().join("");
    let (all, asked) = (spaced(rest), spaced(query));
    assert!(!all.windows(asked.len().max(1)).any(|run| run == asked), "{reader:?} {}", flat(query));
}

fn spaced(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
    words.map(str::to_lowercase).collect()
}

fn expect(text: &str, title: &str, format: Format, kind: ReaderKind, query: &str, rest: &str) {
    let expected = Reader { kind, query: query.to_owned(), rest: rest.to_owned() };
    assert_eq!(found(text, title, format), Some(expected), "{text}");
}

#[test]
fn doc_comments_of_every_language() {
    let rows = [
        (
            Language::Rust,
            "    /// Opens the file for *reading*. More.\n    #[inline]\n    fn open(a: u8) {\n        go(a);\n    }\n",
            "#[inline]\nfn open(a: u8) {\n    go(a);\n}",
        ),
        (
            Language::Python,
            "def open(a):\n    \"\"\"Opens the file for reading.\"\"\"\n    go(a)",
            "def open(a):\n    go(a)",
        ),
        (
            Language::Python,
            "    def open(self, a):\n        \"\"\"Opens the file for reading.\"\"\"\n        go(a)",
            "def open(self, a):\n    go(a)",
        ),
        (
            Language::Java,
            "/**\n * Opens the file for reading.\n * @param a what\n */\nvoid open(int a) {\n    go(a);\n}",
            "void open(int a) {\n    go(a);\n}",
        ),
        (
            Language::CSharp,
            "/// <summary>Opens the file for reading.</summary>\npublic int Open(int a) { return go(a); }",
            "public int Open(int a) { return go(a); }",
        ),
        (
            Language::Go,
            "// Open Opens the file for reading.\nfunc Open(a int) {\n\tgo2(a)\n}",
            "func Open(a int) {\n\tgo2(a)\n}",
        ),
        (
            Language::JavaScript,
            "/** Opens the file for reading. */\nopen(a, b) {\n  go(a);\n}",
            "open(a, b) {\n  go(a);\n}",
        ),
        (
            Language::TypeScript,
            "/** Opens the file for reading. */\nexport const open = (a: A) => {\n  go(a);\n};",
            "export const open = (a: A) => {\n  go(a);\n};",
        ),
        (
            Language::C,
            "/** Opens the file for reading. */\nstatic int open(int a) { return go(a); }",
            "static int open(int a) { return go(a); }",
        ),
        (
            Language::Cpp,
            "/// Opens the file for reading.\nint File::open(int a) { return go(a); }",
            "int File::open(int a) { return go(a); }",
        ),
    ];
    for (language, text, rest) in rows {
        let kind = ReaderKind::DocComment;
        expect(text, "", Format::Code(language), kind, "Opens the file for reading", rest);
    }
}

#[test]
fn the_first_comment_that_asks_for_something() {
    let text =
        "use std::fs;\n/// See the other one below.\nfn a() {}\n/// Closes the file again.\nfn b() { c() }\n";
    let rest = "use std::fs;\n/// See the other one below.\nfn a() {}\nfn b() { c() }";
    expect(text, "", Format::Code(Language::Rust), ReaderKind::DocComment, "Closes the file again", rest);
    let told = "/// Closes the file again.\nfn b() { say(\"closes the FILE again!\") }";
    assert_eq!(found(told, "", Format::Code(Language::Rust)), None, "the rest would say it");
}

#[test]
fn comments_of_other_items() {
    let kind = ReaderKind::ItemComment;
    let rows = [
        (
            Language::Rust,
            "/// Counts what goes by.\n#[derive(Debug)]\npub struct Counter {\n    /// How many of them went.\n    value: u32,\n}",
            "#[derive(Debug)]\npub struct Counter {\n    /// How many of them went.\n    value: u32,\n}",
        ),
        (
            Language::Python,
            "class Counter:\n    \"\"\"Counts what goes by.\"\"\"\n    value = 1",
            "class Counter:\n    value = 1",
        ),
        (
            Language::Java,
            "/** Counts what goes by. */\npublic class Counter {\n    int value = 1;\n}",
            "public class Counter {\n    int value = 1;\n}",
        ),
        (
            Language::TypeScript,
            "/** Counts what goes by. */\nexport interface Counter {\n  value: number;\n}",
            "export interface Counter {\n  value: number;\n}",
        ),
        (
            Language::Cpp,
            "/// Counts what goes by.\nclass Counter {\n  int value = 1;\n};",
            "class Counter {\n  int value = 1;\n};",
        ),
    ];
    for (language, text, rest) in rows {
        expect(text, "", Format::Code(language), kind, "Counts what goes by", rest);
    }
    let both = "/// Counts what goes by.\nstruct Counter;\nimpl Counter {\n    /// Says how many went.\n    fn say(&self) {}\n}";
    let query = found(both, "", Format::Code(Language::Rust)).unwrap();
    assert_eq!((query.kind, query.query.as_str()), (ReaderKind::DocComment, "Says how many went"));
}

#[test]
fn names_ask_where_there_is_no_comment() {
    let text = "/// Some doc\nfn a() {}\nfn parse_header(x: u8) -> u8 {\n    parse_header(x - 1)\n}";
    let rest = "/// Some doc\nfn a() {}\nfn _(x: u8) -> u8 {\n    _(x - 1)\n}";
    expect(text, "", Format::Code(Language::Rust), ReaderKind::Name, "parse header", rest);
    let never = ReaderConfig { names: Names::Never, ..config() };
    let chunk = ChunkText { text, title: "", format: Format::Code(Language::Rust) };
    assert_eq!(reader(&chunk, &never), None);
    for text in
        ["fn new(x: u8) -> u8 { x + 1 }", "/// See it.\nfn parse_header(x: u8) -> u8 { x }", "parse_header"]
    {
        assert_eq!(found(text, "", Format::Code(Language::Rust)), None, "{text}");
    }
}

#[test]
fn headings_titles_and_sentences() {
    let heading = |text, format, rest| {
        expect(text, "A title", format, ReaderKind::Heading, "How to open files", rest);
    };
    heading("## How to *open* files\n\nCall `open` and read.", Format::Markdown, "Call `open` and read.");
    heading("How to open files\n---\nCall it and read.", Format::Markdown, "Call it and read.");
    let code = "```sh\n# Not a heading\n```\nIntro.\n# How to open files\nCall it and read.";
    heading(code, Format::Markdown, "```sh\n# Not a heading\n```\nIntro.\n\nCall it and read.");
    heading("How to open files\n=================\n\nCall it and read.", Format::Text, "Call it and read.");
    heading(
        "=====\nHow to open files\n=================\nCall it and read.",
        Format::Text,
        "Call it and read.",
    );
    let text = "Files are opened here. Then one reads them.";
    expect(text, "How to  open", Format::Text, ReaderKind::Title, "How to open", text);
    let sentence = ReaderKind::FirstSentence;
    expect(text, "", Format::Text, sentence, "Files are opened here", "Then one reads them.");
    expect(text, "One", Format::Markdown, sentence, "Files are opened here", "Then one reads them.");
    let cut = "the end of it. Files are\nopened (e.g. here). Rest.";
    expect(cut, "", Format::Text, sentence, "Files are opened (e.g. here)", "the end of it. Rest.");
    let list = "- one\n- two\n\nFiles are **opened** here.\nGood.";
    expect(list, "", Format::Markdown, sentence, "Files are opened here", "- one\n- two\n\nGood.");
}

#[test]
fn what_has_no_reader() {
    for (text, title, format) in [
        ("", "", Format::Text),
        ("Files are opened here.", "", Format::Text),
        ("# Only a heading", "Only a heading", Format::Markdown),
        ("Only a title is here and more.", "Only a title", Format::Text),
        ("# One\n\nToo short a heading.", "", Format::Markdown),
        ("struct A { parse_it: u8, b: C, d: E }", "", Format::Code(Language::Rust)),
    ] {
        assert_eq!(found(text, title, format), None, "{text:?}");
    }
}

#[test]
fn a_chunk_knows_its_format_and_its_title_is_that_of_its_document() {
    let chunk = |id: &str, format| Chunk {
        id: id.parse().unwrap(),
        range: 0..4,
        title: "A title".into(),
        text: "text".into(),
        format,
    };
    let rows = [
        ("a/b.py#0", "A title", Format::Code(Language::Python)),
        ("a#1", "", Format::Text),
        ("a#1", "", Format::Code(Language::Go)),
    ];
    for (id, title, format) in rows {
        let expected = ChunkText { text: "text", title, format };
        assert_eq!(ChunkText::from(&chunk(id, format)), expected);
        assert_eq!(ChunkText::from(&GroupChunk::from(chunk(id, format))), expected);
    }
}

#[test]
fn impossible_settings_are_refused() {
    let good = ReaderConfig::default();
    good.check().unwrap();
    for wrong in [
        ReaderConfig { min_label_words: 0, ..good },
        ReaderConfig { min_sentence_words: 0, ..good },
        ReaderConfig { max_words: 3, ..good },
        ReaderConfig { min_rest_words: 0, ..good },
    ] {
        assert!(wrong.check().is_err(), "{wrong:?}");
    }
    assert!(serde_json::from_str::<ReaderConfig>("{\"max_word\": 3}").is_err());
}

/// Text with all that readers look at, well formed or not.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,9} ",
        "[A-Z][a-zé ]{5,40}\\. ",
        "[ \t]{0,5}\n{1,3}",
        "[(){}\\[\\];:.,'\"#*/_=<>`-]{1,8}",
        "这是一个测试。",
        Just("/// Opens the file now.\nfn open_it(a: u8) -> u8 {\n    open_it(a) + 1\n}\n".to_owned()),
        Just("def f_g(x):\n    \"\"\"Doc of it here.\"\"\"\n    return f_g(x)\n\n".to_owned()),
        Just("/** Gets it from there. */\nint getIt() { return getIt; }\n".to_owned()),
        Just("# Heading of it\n\nA sentence stands here. Another one.\n".to_owned()),
        Just("Heading of it\n=============\n".to_owned()),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn readers_keep_their_promises(
        text in any_text(), title in "[A-Za-z ]{0,12}", any: String,
        format in prop::sample::select(Format::all().collect::<Vec<_>>())
    ) {
        let config = ReaderConfig { min_sentence_words: 2, min_label_words: 1, min_rest_words: 1, ..config() };
        for text in [&text, &any] {
            let chunk = ChunkText { text, title: &title, format };
            let found = reader(&chunk, &config);
            prop_assert_eq!(&reader(&chunk, &config), &found);
            if let Some(reader) = found {
                check(&reader, &config);
            }
        }
    }
}
