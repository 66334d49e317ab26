use proptest::prelude::*;

use super::*;
use crate::language::Language;

fn config() -> CodeSearchConfig {
    CodeSearchConfig { min_lines: 1, min_words: 1, per_group: 1.0, ..CodeSearchConfig::default() }
}

fn rust(id: &str, text: &str) -> Document {
    let format = Format::Code(Language::Rust);
    Document { id: id.to_owned(), title: String::new(), text: text.to_owned(), format }
}

fn build(config: CodeSearchConfig, seed: u64, documents: &[Document]) -> Result<CodeSearch, TextError> {
    let mut builder = CodeSearchBuilder::new(config, Seed(seed)).unwrap();
    documents.iter().for_each(|document| builder.push(document));
    let mut batch = CodeSearchBuilder::new(config, Seed(seed)).unwrap();
    batch.push_all(documents);
    let search = builder.finish();
    assert_eq!(
        batch.finish().ok(),
        search.as_ref().ok().cloned(),
        "pushing one by one or at once is the same"
    );
    search
}

/// A crate of functions with a doc comment of their own each.
fn sources(group: &str, count: usize) -> Document {
    let function = |n| format!("/// Turns the {group} wheel {n} times.\nfn turn{n}() {{ {group}({n}) }}\n");
    rust(&format!("{group}/src/lib.rs"), &(0..count).map(function).collect::<String>())
}

/// What must hold for any collection.
fn check(search: &CodeSearch, config: &CodeSearchConfig) {
    let ids: HashSet<&str> = search.functions.iter().map(|f| f.id.as_str()).collect();
    assert_eq!(ids.len(), search.functions.len());
    assert!(ids.iter().all(|id| !id.contains(char::is_whitespace) && !id.contains(char::is_control)));
    assert!(search.queries.len() <= config.queries && search.functions.len() <= config.functions);
    let mut groups: HashMap<&str, usize> = HashMap::new();
    for query in &search.queries {
        assert_eq!(query.id, format!("{}?", search.functions[query.function].id));
        assert!(!ids.contains(query.id.as_str()));
        *groups.entry(top_level(&query.id)).or_default() += 1;
    }
    assert!(groups.values().all(|n| *n <= config.group_queries()), "{groups:?}");
    assert!(search.queries.is_sorted_by_key(|q| q.function));
}

#[test]
fn functions_and_their_queries() {
    let text = "\
/// Opens the [`File`] for reading. More.
fn open() {
    do_it(1)
}
/// Opens it.
fn short() { do_it(2) }
/// See the other function there.
fn see() { do_it(3) }
/// Читает весь файл до конца.
fn other() { do_it(4) }
/// Closes the file at once.
fn close() { do_it(5) }
/// closes the FILE at once
fn close2() { do_it(6) }
fn   open()   { do_it( 7 ) }
fn open() { do_it( 7 ) }
#[test]
fn test() { do_it(8) }
";
    let documents = [
        rust("a b/src/x.rs", text),
        rust("a b/tests/y.rs", text),
        rust("a b/src/tests.rs", text),
        Document::prose("p", "", "fn open() {}"),
    ];
    let search = build(config(), 1, &documents).unwrap();
    check(&search, &config());
    let ids: Vec<&str> = search.functions.iter().map(|f| f.id.as_str()).collect();
    let names = ["open", "short", "see", "other", "close", "close2", "open~2"];
    assert_eq!(ids, names.map(|name| format!("a%20b/src/x.rs#{name}")));
    assert_eq!(search.functions[0].code, "fn open() {\n    do_it(1)\n}");
    let query = CodeQuery {
        id: "a%20b/src/x.rs#open?".to_owned(),
        text: "Opens the File for reading".to_owned(),
        function: 0,
    };
    assert_eq!(search.queries, [query]);
    let expected = [
        (LeftOut::TestFile, 2),
        (LeftOut::Test, 1),
        (LeftOut::SameCode, 1),
        (LeftOut::NoSentence, 1),
        (LeftOut::ShortQuery, 1),
        (LeftOut::OtherScript, 1),
        (LeftOut::Boilerplate, 1),
        (LeftOut::Ambiguous, 2),
    ];
    assert_eq!(search.left_out, BTreeMap::from(expected));
    let keep = CodeSearchConfig { tests: TestCode::Keep, ..config() };
    let kept = build(keep, 1, &documents[1..2]).unwrap();
    assert!(kept.functions.iter().any(|f| f.id == "a%20b/tests/y.rs#test"));
}

#[test]
fn functions_of_odd_sizes_are_left_out() {
    let long = format!("fn long() {{\n    x(\"{}\")\n}}\n", "y".repeat(9000));
    let text = format!(
        "/// Does this thing well.\nfn a() {{\n    b(c, d, e, f, g)\n}}\nfn line() {{ a(b, c, d, e, f, g) }}\n{long}"
    );
    let search = build(CodeSearchConfig::default(), 1, &[rust("x.rs", &text)]).unwrap();
    assert_eq!(search.functions.len(), 1);
    assert_eq!((search.left_out[&LeftOut::Short], search.left_out[&LeftOut::Long]), (1, 1));
}

#[test]
fn draws_depend_on_the_seed_and_not_on_the_order() {
    let config = CodeSearchConfig { queries: 10, functions: 15, per_group: 0.3, ..config() };
    let mut documents: Vec<Document> = ["a", "b", "c", "d", "e"].map(|group| sources(group, 30)).into();
    let first = build(config, 1, &documents).unwrap();
    check(&first, &config);
    assert_eq!((first.queries.len(), first.functions.len()), (10, 15));
    assert_eq!(first.left_out[&LeftOut::SurplusFunction], 135);
    assert_eq!(first, build(config, 1, &documents).unwrap());
    assert_ne!(first, build(config, 2, &documents).unwrap());
    let texts = |search: &CodeSearch| search.queries.iter().map(|q| q.text.clone()).collect::<HashSet<_>>();
    documents.reverse();
    assert_eq!(texts(&build(config, 1, &documents).unwrap()), texts(&first));
}

#[test]
fn one_large_folder_gets_its_share_and_no_more() {
    let config = CodeSearchConfig { queries: 20, per_group: 0.25, ..config() };
    let search = build(config, 3, &[sources("large", 500), sources("small", 4)]).unwrap();
    check(&search, &config);
    assert_eq!(search.queries.len(), 5 + 4);
    assert_eq!(search.left_out[&LeftOut::GroupQuery], 495);
    assert_eq!(search.functions.len(), 504, "what is no query's answer stays a candidate");
}

#[test]
fn what_cannot_work_is_refused() {
    let good = CodeSearchConfig::default();
    for wrong in [
        CodeSearchConfig { queries: 0, ..good },
        CodeSearchConfig { functions: 1_999, ..good },
        CodeSearchConfig { per_group: 0.0, ..good },
        CodeSearchConfig { per_group: f64::NAN, ..good },
        CodeSearchConfig { per_group: 1.1, ..good },
        CodeSearchConfig { max_bytes: 0, ..good },
        CodeSearchConfig { min_query_words: 0, ..good },
        CodeSearchConfig { min_query_words: 41, ..good },
    ] {
        assert!(CodeSearchBuilder::new(wrong, Seed(1)).is_err(), "{wrong:?}");
    }
    let none = build(config(), 1, &[rust("a.rs", "fn a() {}")]).unwrap_err();
    assert!(matches!(none, TextError::NoQueries { functions: 1 }), "{none}");
    assert!(serde_json::from_str::<CodeSearchConfig>("{\"querys\": 3}").is_err());
    let text = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<CodeSearchConfig>(&text).unwrap(), good);
}

proptest! {
    #[test]
    fn ids_are_unique_and_without_white_space(
        names in prop::collection::vec(("[ab%\u{a0} \n]{1,2}", "[f~2]{1,3}"), 0..40)
    ) {
        let mut ids = Ids::default();
        let made: Vec<String> = names.iter().map(|(path, name)| ids.name(path, name)).collect();
        prop_assert_eq!(made.iter().collect::<HashSet<_>>().len(), names.len());
        prop_assert!(made.iter().all(|id| !id.contains(char::is_whitespace)));
    }

    #[test]
    fn collections_keep_their_promises(
        counts in prop::collection::vec(1usize..12, 1..6), queries in 1usize..12, more in 0usize..20,
        per_group in 0.05f64..1.0, seed: u64
    ) {
        let config = CodeSearchConfig { queries, functions: queries + more, per_group, ..config() };
        let documents: Vec<Document> =
            counts.iter().enumerate().map(|(n, count)| sources(&format!("g{n}"), *count)).collect();
        let search = build(config, seed, &documents).unwrap();
        check(&search, &config);
        prop_assert_eq!(search.functions.len(), config.functions.min(counts.iter().sum()));
        let expected = counts.iter().map(|count| (*count).min(config.group_queries())).sum::<usize>();
        prop_assert_eq!(search.queries.len(), expected.min(queries));
    }
}
