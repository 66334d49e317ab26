//! What the look of a text tells, whatever it says.

use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use revela_base::shingles::mix;

/// Smaller documents are too small for statistics.
const LEAST_BYTES: usize = 3000;
/// See [`LEAST_BYTES`].
const LEAST_LINES: usize = 60;

/// Lines that are compared with each other. The share of different ones falls with the number of lines, so
/// that long documents are compared block by block.
const BLOCK_LINES: usize = 200;

/// As much of a document is compressed.
const COMPRESSED_BYTES: usize = 256 << 10;

/// Whether a document's lines are alike as machines write them. The bounds are from the sources of some 800
/// crates, where files people wrote have shares of different lines of 0.3 to 0.6 and compress to 0.15 to 0.35.
pub(super) fn is_machine_written(text: &str) -> bool {
    if text.len() < LEAST_BYTES {
        return false;
    }
    let lines = different_lines(text);
    if lines.is_some_and(|share| share < 0.12) {
        return true;
    }
    let compressed = compressed_share(text);
    compressed < 0.05 || (compressed < 0.10 && lines.is_some_and(|share| share < 0.25))
}

/// The share of visible lines that differ in more than names and numbers, on average over blocks of lines.
fn different_lines(text: &str) -> Option<f64> {
    let shapes: Vec<u64> = text.lines().filter_map(line_shape).collect();
    let blocks: Vec<f64> = shapes
        .chunks(BLOCK_LINES)
        .filter(|block| block.len() >= LEAST_LINES)
        .map(|block| count(block.iter().copied()).len() as f64 / block.len() as f64)
        .collect();
    (!blocks.is_empty()).then(|| blocks.iter().sum::<f64>() / blocks.len() as f64)
}

fn count(shapes: impl Iterator<Item = u64>) -> HashMap<u64, usize> {
    let mut times = HashMap::new();
    shapes.for_each(|shape| *times.entry(shape).or_default() += 1);
    times
}

/// A hash of a visible line without white space, in which all names are the same, and all numbers.
fn line_shape(line: &str) -> Option<u64> {
    let mut hash = 0;
    let mut last = ' ';
    for c in line.chars().filter(|c| !c.is_whitespace()) {
        let class = match c {
            _ if c.is_numeric() && last != 'a' => '0',
            '_' => 'a',
            _ if c.is_alphanumeric() && last == '0' => '0',
            _ if c.is_alphanumeric() => 'a',
            _ => c,
        };
        if class != last || !matches!(class, 'a' | '0') {
            hash = mix(hash ^ u64::from(class));
        }
        last = class;
    }
    (hash != 0).then_some(hash)
}

/// Bytes after compression over bytes before.
fn compressed_share(text: &str) -> f64 {
    let text = text.get(..text.floor_char_boundary(COMPRESSED_BYTES)).unwrap_or(text);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    // A vector takes all that is written to it.
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.map_or(1.0, |bytes| bytes.len() as f64 / text.len().max(1) as f64)
}

/// Whether most of a source file stands in lines of hundreds of characters with hardly a space.
pub(super) fn is_minified(text: &str) -> bool {
    let long: usize = text.lines().map(str::len).filter(|length| *length > 300).sum();
    let spaces = text.bytes().filter(u8::is_ascii_whitespace).count();
    long * 2 > text.len() && spaces * 10 < text.len()
}

/// Whether most lines of a text (of 5 or more) begin with a time or with what a logger calls a level.
pub(super) fn is_log(text: &str) -> bool {
    let lines = || text.lines().filter(|line| !line.trim().is_empty()).take(500);
    let marked = lines().filter(|line| has_stamp(line)).count();
    let all = lines().count();
    all >= 5 && marked * 10 >= all * 6
}

/// Whether a line begins with a date, a time or what a logger calls a level.
fn has_stamp(line: &str) -> bool {
    const DATES: [&str; 4] = ["0000-00-00", "0000/00/00", "00/00/0000", "00.00.0000"];
    let head = line.trim_start_matches(['[', '(', '<', ' ', '\t']);
    let level = head.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let is_level =
        matches!(level, "TRACE" | "DEBUG" | "INFO" | "WARN" | "WARNING" | "ERROR" | "FATAL" | "CRITICAL");
    let head: String = head.chars().take(24).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    is_level || head.contains("00:00:00") || DATES.iter().any(|date| head.starts_with(date))
}

/// Whether a chunk is the same line again and again but for names and numbers, or the same words.
pub(super) fn is_repetitive(text: &str, distinct_shingles: f32) -> bool {
    let shapes: Vec<u64> = text.lines().filter_map(line_shape).collect();
    let most = count(shapes.iter().copied()).into_values().max().unwrap_or(0);
    distinct_shingles < 0.5 || (shapes.len() >= 6 && most * 10 >= shapes.len() * 7)
}

/// Whether a chunk is made of numbers, hashes, encoded bytes or marks more than of words.
pub(super) fn is_data_like(text: &str) -> bool {
    /// Longer runs of letters and digits are no words of any language or program.
    const LONGEST_WORD: usize = 40;
    let (mut words, mut numbers, mut letters, mut encoded, mut visible) = (0, 0, 0, 0, 0);
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        words += 1;
        numbers += usize::from(is_number_like(word));
        encoded += if word.is_ascii() && word.len() >= LONGEST_WORD { word.len() } else { 0 };
    }
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        visible += 1;
        letters += usize::from(c.is_alphabetic() || c == '_');
    }
    numbers * 10 >= words * 4 || letters * 20 < visible * 9 || encoded * 2 > visible
}

/// A number, or the hexadecimal digits of a longer one.
fn is_number_like(word: &str) -> bool {
    let is_hash = || word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
    word.starts_with(|c: char| c.is_ascii_digit())
        || (is_hash() && word.contains(|c: char| c.is_ascii_digit()))
}

/// Whether most lines of a chunk import or export names, or are links and nothing else.
pub(super) fn is_boilerplate(text: &str) -> bool {
    let (mut all, mut bare) = (0, 0);
    let mut open_brackets = 0;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        all += 1;
        let imports = open_brackets > 0 || is_import(line);
        if imports {
            let closed = line.matches(['}', ')']).count();
            open_brackets = (open_brackets + line.matches(['{', '(']).count()).saturating_sub(closed);
        }
        bare += usize::from(imports || is_link(line));
    }
    bare * 10 >= all * 8 && all > 0 || link_share(text) > 0.5
}

fn is_import(line: &str) -> bool {
    const STARTS: [&str; 12] = [
        "use ",
        "pub use ",
        "import ",
        "extern crate ",
        "#include",
        "using ",
        "package ",
        "export * from",
        "export {",
        "mod ",
        "pub mod ",
        "#pragma once",
    ];
    let from = line.starts_with("from ") && line.contains(" import ");
    let require = line.starts_with("const ") && line.contains("require(");
    let declares = !line.starts_with("mod ") && !line.starts_with("pub mod ") || line.ends_with(';');
    from || require || (declares && STARTS.iter().any(|start| line.starts_with(start)))
}

/// A line, or an item of a list, that is a link or a badge alone, or the definition of a reference.
fn is_link(line: &str) -> bool {
    let item = line.trim_start_matches(['-', '*', '+', ' ']);
    let inner = item.trim_start_matches('!');
    (inner.starts_with('[') && inner.ends_with(')') && inner.contains("]("))
        || (inner.starts_with('[') && inner.contains("]: "))
}

/// The share of the visible characters that belong to addresses.
fn link_share(text: &str) -> f64 {
    let word = |word: &str| word.find("://").map_or(0, |at| word.len() - at);
    let inside: usize = text.split_whitespace().map(word).sum();
    let visible: usize = text.split_whitespace().map(str::len).sum();
    inside as f64 / visible.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
        (0..count).map(line).collect()
    }

    /// Lines as people write them: no two are alike.
    fn written(count: usize) -> String {
        let marks = [" = ", "(", ".", " + ", " { ", "; ", "[", "::", " -> ", " & "];
        let line = |n: usize| {
            let mark = |k: usize| marks[(n / 10usize.pow(k as u32)) % 10];
            format!("    word{}{}alpha{}beta{}gamma\n", n * 7919 % 1000, mark(0), mark(1), mark(2))
        };
        lines(count, line)
    }

    #[test]
    fn machines_repeat_themselves() {
        let constants = lines(200, |n| format!("pub const NAME_{n}: u32 = {};\n", n * 31));
        let tables = lines(200, |n| format!("    ({n}, 0x{:x}, \"n{n}\"),\n", n * 77));
        let twelve = written(12).repeat(40);
        for text in [&constants, &tables, &twelve] {
            assert!(is_machine_written(text), "{:?} {text:.200}", different_lines(text));
        }
        assert!(!is_machine_written(&written(300)), "{:?}", different_lines(&written(300)));
        assert!(!is_machine_written(include_str!("shape.rs")));
        assert!(!is_machine_written(&constants[..1000]), "too small to say");
    }

    #[test]
    fn shapes_of_lines_know_no_names_and_no_numbers() {
        let same = |a, b| line_shape(a) == line_shape(b);
        assert!(same("let a_1 = f(0x1F);", "  let bcd=gh(77);"));
        assert!(!same("a(1)", "a(b)") && !same("a b", "a, b") && !same("((a", "(a"));
        assert_eq!(line_shape(" \t"), None);
    }

    #[test]
    fn minified_code_has_long_lines_without_spaces() {
        let minified = "function a(b){var c=b+1;if(c>3){return c.d(e)}}".repeat(40);
        assert!(is_minified(&minified));
        assert!(is_minified(&format!("/* A library */\n{minified}\n")));
        assert!(!is_minified(&"a long line of words that somebody did not break ".repeat(40)));
        assert!(!is_minified(&written(100)));
    }

    #[test]
    fn logs_begin_with_times_and_levels() {
        for line in [
            "2024-05-01T12:30:59Z started\n",
            "[12:30:59] ready\n",
            "May  1 12:30:59 host app[1]: ready\n",
            "INFO  app: ready\n",
            "[ERROR] it failed\n",
        ] {
            assert!(is_log(&line.repeat(6)), "{line}");
            assert!(!is_log(&line.repeat(4)), "too few");
        }
        assert!(!is_log(&"Information is what the ERROR says at noon.\n".repeat(8)));
        assert!(!is_log(&format!("{}{}", "Said.\n".repeat(7), "2024-05-01 he came.\n".repeat(3))));
    }

    #[test]
    fn repetition_in_a_chunk() {
        let rows = lines(8, |n| format!("pub const A{n}: u8 = {n};\n"));
        assert!(is_repetitive(&rows, 1.0));
        assert!(!is_repetitive(&written(8), 1.0));
        assert!(!is_repetitive(&rows.lines().take(5).collect::<Vec<_>>().join("\n"), 1.0), "too few lines");
        assert!(is_repetitive("one text", 0.4));
    }

    #[test]
    fn data_is_no_text() {
        for text in [
            "1.5, 2.25, 3.125, 17, 0x1f, 0xdeadbeef, 22, 91, 0.5",
            "d41d8cd98f00b204e9800998ecf8427e 0cc175b9c0f1b6a831c399e269772661 ok",
            "| - | - | - | + + ( ) ; ; : : a b",
            &format!("let key = \"{}\";", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo".repeat(4)),
        ] {
            assert!(is_data_like(text), "{text}");
        }
        for text in [
            "fn add(a: u8, b: u8) -> u8 { a.wrapping_add(b) + 1 }",
            "In 1984 the first of 12 books was printed, and 300 were sold.",
            "這是一個測試文件沒有空格這是一個測試文件沒有空格",
            "Siehe https://example.org/a/very/long/path/that/goes/on/and/on/and/on/for/ever/and/ever here now",
        ] {
            assert!(!is_data_like(text), "{text}");
        }
    }

    #[test]
    fn imports_and_links_say_nothing_by_themselves() {
        for text in [
            "use std::fmt;\nuse a::{\n    b::{\n        B,\n    },\n    c,\n    d,\n    e,\n};\n\nmod x;\npub mod y;",
            "from a import (\n    b,\n    c,\n)\nimport d",
            "import a from 'a';\nimport {\n  b,\n  c\n} from 'b';",
            "#include <a.h>\n#include \"b.h\"",
            "- [One](#one)\n- [Two](#two)\n  * [Three](a.md)",
            "[a]: https://a.b/c\n[d]: https://e.f/g",
            "See https://a.example/with/a/long/path and https://b.example/with/another/long/path",
        ] {
            assert!(is_boilerplate(text), "{text}");
        }
        for text in [
            "use std::fmt;\n\nfn a() {\n    b();\n    c();\n}",
            "mod x {\n    fn a() {}\n}",
            "The [first](a.md) of them is used here, and [the second](b.md) there.",
            "",
        ] {
            assert!(!is_boilerplate(text), "{text}");
        }
    }
}
