use proptest::prelude::*;

use super::*;
use crate::language::Language;

fn config(size: usize) -> ChunkerConfig {
    ChunkerConfig { size, min_size: 0, ..ChunkerConfig::default() }
}

fn chunker(config: ChunkerConfig) -> Chunker<'static> {
    Chunker::new(config, None).unwrap()
}

fn texts(config: ChunkerConfig, format: Format, text: &str) -> Vec<String> {
    chunker(config).ranges(text, format).into_iter().map(|r| text[r].to_owned()).collect()
}

/// What must hold for any text, format and setting.
fn check(config: ChunkerConfig, format: Format, text: &str) {
    let document = Document { id: "d#1".into(), title: "t".into(), text: text.into(), format };
    let chunks = chunker(config).chunk(&document);
    let mut covered = 0;
    for (n, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.text, text[chunk.range.clone()]);
        assert_eq!(chunk.id.to_string(), format!("d#1#{n}"));
        assert!(!chunk.text.trim().is_empty(), "{text:?}");
        assert!(Words.size(&chunk.text) <= config.size, "{chunk:?} of {text:?}");
        if config.small == Small::Drop {
            assert!(Words.size(&chunk.text) + 1 >= config.min_size, "{chunk:?}");
        }
        if config.small == Small::Merge || config.min_size == 0 {
            let skipped = text.get(covered..chunk.range.start).unwrap_or_default();
            assert!(skipped.trim().is_empty(), "{skipped:?} of {text:?} is lost");
        }
        covered = covered.max(chunk.range.end);
    }
    if config.small == Small::Merge || config.min_size == 0 {
        assert!(text[covered..].trim().is_empty(), "the end {:?} is lost", &text[covered..]);
    }
    for pair in chunks.windows(2) {
        let (a, b) = (&pair[0].range, &pair[1].range);
        assert!(a.start < b.start && a.end < b.end, "{a:?} {b:?} of {text:?}");
        let shared = text.get(b.start..a.end).unwrap_or_default();
        assert!(Words.size(shared) <= config.overlap, "{shared:?} is shared");
    }
}

fn any_config() -> impl Strategy<Value = ChunkerConfig> {
    (2usize..30, 0usize..8, 0usize..8, prop::bool::ANY).prop_map(|(room, overlap, min_size, drop)| {
        let small = if drop { Small::Drop } else { Small::Merge };
        ChunkerConfig { unit: Unit::Words, size: room + overlap + min_size, overlap, min_size, small }
    })
}

fn any_format() -> impl Strategy<Value = Format> {
    prop::sample::select(Format::all().collect::<Vec<_>>())
}

/// Text with the marks that splitters look at, well formed or not.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,9} ",
        "[A-Z][a-z ]{5,40}\\. ",
        "[a-zé日ßα]{1,60}",
        "[ \t]{0,5}\n{1,3}",
        "[(){}\\[\\];:.,'\"#*/_=<>`-]{1,12}",
        Just("fn f(a: u8) -> u8 {\n    a + 1\n}\n".to_owned()),
        Just("    /// A doc.\n    #[inline]\n".to_owned()),
        Just("def f(x):\n    \"\"\"Doc.\"\"\"\n    return x\n\n".to_owned()),
        Just("class A { int f() { return 1; } }\n".to_owned()),
        Just("# Heading\n\n- item\n- item\n\n```\ncode\n```\n".to_owned()),
    ];
    prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn chunks_are_ranges_of_bounded_size_and_lose_nothing(
        config in any_config(), format in any_format(), text in any_text()
    ) {
        check(config, format, &text);
    }

    #[test]
    fn any_string_can_be_chunked(config in any_config(), format in any_format(), text: String) {
        check(config, format, &text);
    }
}

#[test]
fn impossible_settings_are_refused() {
    let wrong = [(0, 0, 0), (5, 5, 0), (5, 0, 5), (5, 3, 2), (5, usize::MAX, 1)];
    for (size, overlap, min_size) in wrong {
        let config = ChunkerConfig { size, overlap, min_size, ..ChunkerConfig::default() };
        assert!(Chunker::new(config, None).is_err(), "{config:?}");
    }
    let tokens = ChunkerConfig { unit: Unit::Tokens, ..ChunkerConfig::default() };
    assert!(Chunker::new(tokens, None).err().unwrap().to_string().contains("tokenizer"));
    assert!(Chunker::new(tokens, Some(&Words)).is_ok());
    assert!(serde_json::from_str::<ChunkerConfig>("{\"sise\": 3}").is_err());
}

const RUST: &str = "\
use std::fmt;

/// Adds one to a number.
///
/// Wraps around at the end.
#[inline]
pub fn add_one(number: u32) -> u32 {
    number.wrapping_add(1)
}

/// A counter.
struct Counter {
    value: u32,
}

impl Counter {
    /// Counts one thing more.
    fn count(&mut self) {
        self.value = add_one(self.value);
    }

    /// Starts again.
    fn reset(&mut self) {
        self.value = 0;
    }
}
";

#[test]
fn code_is_cut_between_items_and_keeps_comments_with_them() {
    let chunks = texts(config(20), Format::Code(Language::Rust), RUST);
    let ends = [
        ("use std::fmt;", "use std::fmt;"),
        ("/// Adds one", "wrapping_add(1)\n}"),
        ("/// A counter.\n", "impl Counter {"),
        ("    /// Counts", "self.value);\n    }"),
        ("    /// Starts again.", "    }\n}"),
    ];
    assert_eq!(chunks.len(), ends.len(), "{chunks:#?}");
    for (chunk, (first, last)) in chunks.iter().zip(ends) {
        assert!(chunk.starts_with(first) && chunk.ends_with(last), "{chunks:#?}");
    }
}

#[test]
fn overlap_repeats_whole_lines_of_code() {
    let config = ChunkerConfig { overlap: 6, ..config(32) };
    let chunks = texts(config, Format::Code(Language::Rust), RUST);
    let (last, before) = (&chunks[chunks.len() - 1], &chunks[chunks.len() - 2]);
    let first_line = last.lines().next().unwrap();
    assert!(before.contains(first_line), "{chunks:#?}");
}

#[test]
fn prose_is_cut_at_paragraphs_and_sentences() {
    let text = "One two three four. Five six seven.\n\nEight nine ten.\n\nEleven twelve.";
    assert_eq!(
        texts(config(7), Format::Text, text),
        ["One two three four. Five six seven.", "Eight nine ten.\n\nEleven twelve."]
    );
    assert_eq!(texts(config(5), Format::Text, text)[0], "One two three four.");
}

#[test]
fn markdown_is_cut_at_headings() {
    let text = "# A\n\nOne two three.\n\n# B\n\nFour five.\n\n## C\n\nSix.";
    let chunks = texts(config(5), Format::Markdown, text);
    assert_eq!(chunks, ["# A\n\nOne two three.", "# B\n\nFour five.\n\n## C\n\nSix."]);
}

#[test]
fn headings_stay_with_what_is_below_them() {
    let long = "One two three four five. Six seven eight nine ten.";
    let config = ChunkerConfig { size: 10, min_size: 3, ..ChunkerConfig::default() };
    for (format, heading) in [
        (Format::Markdown, "# A b"),
        (Format::Markdown, "# A\n\n## B"),
        (Format::Markdown, "A b\n---"),
        (Format::Text, "A b\n==="),
    ] {
        let text = format!("Zero to be here.\n\n{heading}\n\n{long}");
        let expected = [
            "Zero to be here.".to_owned(),
            format!("{heading}\n\nOne two three four five."),
            "Six seven eight nine ten.".to_owned(),
        ];
        assert_eq!(texts(config, format, &text), expected, "{text}");
    }
    let endless = format!("# {}\n\n{long}", "A b c d e f g");
    assert_eq!(texts(config, Format::Markdown, &endless)[0], "# A b c d e f g", "what does not fit stays");
}

#[test]
fn a_comment_stays_with_the_beginning_of_what_does_not_fit() {
    let body: String = (0..9).map(|n| format!("    let value{n} = work{n}(on, the, thing);\n")).collect();
    let comment = "/// Works on the thing with all that there is, and says how it went in the end.";
    let text =
        format!("use a::b;\n\n{comment}\n#[inline]\nfn work(on: On, the: The) -> Thing {{\n{body}}}\n");
    let chunks = texts(config(40), Format::Code(Language::Rust), &text);
    let first = chunks.iter().find(|chunk| chunk.contains("/// Works")).unwrap();
    assert!(first.contains("fn work(") && first.contains("let value0"), "{chunks:#?}");
}

#[test]
fn small_chunks_are_merged_or_dropped() {
    let text = "Tiny one.\n\nThis paragraph has rather more words than the size allows for. It goes on.";
    let base = ChunkerConfig { min_size: 4, ..config(12) };
    let merged = texts(base, Format::Text, text);
    assert!(merged.iter().all(|c| (4..=12).contains(&Words.size(c))), "{merged:#?}");
    let dropped = texts(ChunkerConfig { small: Small::Drop, ..base }, Format::Text, text);
    assert!(!dropped.concat().contains("Tiny"), "{dropped:#?}");
    assert_eq!(texts(base, Format::Text, "Two words.").len(), 1, "a small document is kept");
}

#[test]
fn hostile_texts_are_cut_too() {
    let n = 20_000;
    let words = "lorem ipsum dolor ".repeat(n / 2);
    let hostile = [
        format!("static A: [u32; 9] = [{}];", "0x1234, ".repeat(n)),
        format!("const A: &str = \"{}\";", "abcdefgh".repeat(n)),
        "fn a(b:u32)->u32{let c=b+1;if c>3{return c.d(e)}c}".repeat(n / 10),
        format!("fn f(){{{}{}}}", "(".repeat(n), ")".repeat(n)),
        format!("fn f() {{ a {} }}", "+ b ".repeat(n)),
        "({[;,".repeat(n),
        "這是一個測試文件沒有空格".repeat(n / 10),
        "a{b(c[".repeat(n / 4),
        words,
    ];
    for text in &hostile {
        for format in [Format::Text, Format::Code(Language::Rust), Format::Code(Language::JavaScript)] {
            check(config(100), format, text);
        }
        check(ChunkerConfig { overlap: 20, ..config(100) }, Format::Code(Language::Rust), text);
    }
}

/// A tokenizer that knows no offsets.
struct ThreeCharacters;
impl Sizer for ThreeCharacters {
    fn size(&self, text: &str) -> usize {
        text.split_whitespace().map(|w| w.chars().count().div_ceil(3)).sum()
    }
}

#[test]
fn tokens_of_the_caller_are_respected() {
    let tokens = ChunkerConfig { unit: Unit::Tokens, ..config(20) };
    let chunker = Chunker::new(tokens, Some(&ThreeCharacters)).unwrap();
    for (format, text) in [(Format::Code(Language::Rust), RUST), (Format::Text, RUST)] {
        let chunks = chunker.ranges(text, format);
        assert!(chunks.len() > 5);
        for range in chunks {
            assert!(ThreeCharacters.size(&text[range.clone()]) <= 20, "{}", &text[range]);
        }
    }
}
