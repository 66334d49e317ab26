//! Files as people have them: pipes and links to write into, payloads and lists in every spelling, bad input that is
//! passed over, texts without spaces, packed lines.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests, too, are tests")]

mod common;

use std::io::Write as _;
use std::process::{Output, Stdio};

use common::{Place, text};

/// Passages with what is known of them, some of it said twice.
const PASSAGES: &str = r#"{"_id": 1, "text": "alpha first", "metadata": {"year": 2020}}
{"_id": "2", "text": "beta", "metadata": {"year": 2024}}

{"_id": "1", "text": "alpha second", "metadata": {"year": 2025}}
"#;

fn gzipped(bytes: &str) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip is on every system that has these tests' other tools");
    child.stdin.take().unwrap().write_all(bytes.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

fn asked(place: &Place, arguments: &str, input: &[u8]) -> Output {
    let mut command = place.command(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn collection() -> Place {
    let place = Place::new();
    place
        .write("p.jsonl", "{\"_id\": \"a\", \"text\": \"a pipe\"}\n{\"_id\": \"b\", \"text\": \"a link\"}\n");
    place.succeed("index build --input p.jsonl --out c");
    place
}

#[cfg(unix)]
#[test]
fn pipes_and_links_are_written_into() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    let place = collection();
    let pipe = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let from = pipe.clone();
    let reader = std::thread::spawn(move || std::fs::read_to_string(from).unwrap());
    place.succeed("index export c --ids pipe");
    assert_eq!(reader.join().unwrap(), "a\nb\n");
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    place.write("real.txt", "old");
    std::fs::set_permissions(place.path("real.txt"), std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.txt", place.path("link")).unwrap();
    place.succeed("index export c --ids link");
    assert!(place.path("link").is_symlink());
    assert_eq!(std::fs::read_to_string(place.path("real.txt")).unwrap(), "a\nb\n");
    let mode = std::fs::metadata(place.path("real.txt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn a_dash_is_standard_output_and_remarks_make_way() {
    let place = collection();
    let output = place.run("index export c --ids -");
    assert_eq!(text(&output.stdout), "a\nb\n");
    assert!(text(&output.stderr).contains("2 ids"), "{}", text(&output.stderr));
    assert_eq!(place.succeed("index export c --passages -").lines().count(), 2);
    place.fail("index export c --ids - --passages -", &["one file only"]);
    place.fail("index export c --ids absent/ids.txt", &["absent"]);
    assert!(!place.path("-").exists());
    place.write("rows.jsonl", "{\"id\": 7, \"vector\": [1, 2]}\n");
    place.succeed("index build --vectors rows.jsonl --out v --metric dot");
    assert_eq!(place.succeed("index export v --vectors -"), "{\"id\":\"7\",\"vector\":[1.0,2.0]}\n");
    let chunks = place.succeed("data chunk --input p.jsonl --out - --min-size 0 --keep-all");
    assert!(chunks.starts_with("{\"format\":\"revela.chunks\"") && chunks.contains("a pipe"), "{chunks}");
}

#[test]
fn the_last_of_two_passages_brings_its_own_payload() {
    let place = Place::new();
    place.write("p.jsonl", PASSAGES);
    place.succeed("index build --input p.jsonl --payloads p.jsonl --duplicates last-wins --out c");
    let found = |year: u32| {
        let condition = format!("{{\"range\":{{\"field\":\"year\",\"least\":{year}}}}}");
        place.succeed(&format!("search c alpha --json --where {condition}"))
    };
    assert!(found(2025).contains("alpha second"), "{}", found(2025));
    assert!(found(2026).contains("\"hits\":[]"), "{}", found(2026));
    place.fail("index build --input p.jsonl --payloads p.jsonl --out d", &["p.jsonl:4", "twice"]);
}

#[test]
fn payloads_are_read_as_passages_are() {
    let place = Place::new();
    place.write("p.jsonl", "{\"_id\": 1, \"text\": \"alpha\"}\n{\"_id\": 2, \"text\": \"beta\"}\n");
    let lines = "\u{feff}{\"_id\": 1, \"metadata\": {\"a\": 1}}\n\n{\"id\": \"2\", \"metadata\": null}\r\n";
    place.write("plain.jsonl", lines);
    place.write("packed.jsonl.gz", gzipped(lines));
    for (out, payloads) in [("c", "plain.jsonl"), ("d", "packed.jsonl.gz")] {
        place.succeed(&format!("index build --input p.jsonl --payloads {payloads} --out {out}"));
        let one = r#"{"equals":{"field":"a","value":1}}"#;
        assert!(place.succeed(&format!("search {out} alpha --where {one}")).contains("alpha"));
    }
    place.write("strangers.jsonl", "{\"_id\": \"zz\", \"metadata\": {}}\n{\"_id\": 1}\n");
    let output = place.run("index build --input p.jsonl --payloads strangers.jsonl --out e");
    let said = text(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 lines of strangers.jsonl") && said.contains("\"zz\""),
        "{said}"
    );
    place.write("flat.jsonl", "{\"_id\": 1, \"year\": 2024}\n{\"_id\": 2, \"metadata\": null}\n");
    let output = place.run("index build --input p.jsonl --payloads flat.jsonl --out g");
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("no line of flat.jsonl has `metadata`"), "{said}");
    place.write("p.jsonl.xz", b"\xFD7zXZ\0...");
    place.fail("index build --input p.jsonl.xz --out h", &["p.jsonl.xz", "xz", "unpack it first"]);
    place.write("bad.jsonl", "{\"_id\": 1, \"metadata\": {\"x\": NaN}}\n");
    place.fail(
        "index build --input p.jsonl --payloads bad.jsonl --out f",
        &["bad.jsonl:1", "`metadata.x`", "NaN"],
    );
    let output = place.run("index build --input p.jsonl --payloads bad.jsonl --out f --skip-bad");
    assert!(output.status.success() && text(&output.stderr).contains("skipped 1 lines of bad.jsonl"));
}

#[test]
fn lists_of_ids_may_be_packed_and_have_blank_lines() {
    let place = collection();
    place.write("ids.txt.gz", gzipped("\u{feff}b\r\n\n"));
    let found = place.succeed("search c a --json --mode bm25 --ids-from ids.txt.gz");
    assert!(place.succeed("search c link --ids-from ids.txt.gz").contains("a link"), "{found}");
    assert!(place.succeed("search c pipe --ids-from ids.txt.gz").contains("nothing found"));
    assert!(place.succeed("index delete c --ids-from ids.txt.gz").contains("1 of 1"));
    place.write("rows.jsonl", "[1, 2]\n[3, 4]\n");
    place.write("rows.txt", "x\n\ny\n");
    place.succeed("index build --vectors rows.jsonl --ids rows.txt --out v");
    assert_eq!(place.succeed("index export v --ids -"), "x\ny\n");
    place.write("rows.jsonl.gz", gzipped("{\"_id\": 5, \"embedding\": [1, 2]}\n"));
    place.succeed("index build --vectors rows.jsonl.gz --out w");
    assert_eq!(place.succeed("index export w --ids -"), "5\n");
    place.write("nan.jsonl", "{\"id\": \"n\", \"vector\": [1, NaN]}\n");
    place.fail("index build --vectors nan.jsonl --out x", &["nan.jsonl:1", "`vector[1]`", "NaN"]);
    place.write("null.jsonl", "[1, 2]\n[1, null]\n");
    place.fail("index build --vectors null.jsonl --out x", &["null.jsonl:2", "`[1]`", "null"]);
}

#[test]
fn every_command_that_reads_documents_can_pass_over_bad_ones() {
    let place = Place::new();
    place.write("texts/good.txt", "A sentence that can be read.");
    place.write("texts/latin.txt", b"caf\xe9");
    place.write("texts/long.txt", "long ".repeat(1000));
    let build = "index build --input texts --out c";
    place.fail(build, &["latin.txt", "UTF-8", "--skip-bad"]);
    let output = place.run(&format!("{build} --skip-bad --max-bytes 4k"));
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("skipped 1 not UTF-8, skipped 1 too long"), "{said}");
    assert!(text(&output.stdout).contains("1 passages"));
    place.write("more/other.txt", "Another sentence.");
    place.write("more/latin.txt", b"caf\xe9");
    place.fail("index add c --input more", &["latin.txt"]);
    assert!(place.succeed("index add c --input more --skip-bad").contains("2 passages"));
    place.fail("data chunk --input texts --out t.jsonl --max-bytes 4k", &["latin.txt", "--skip-bad"]);
    place.succeed("data chunk --input texts --out t.jsonl --skip-bad --max-bytes 4k --min-size 0 --keep-all");
    place.fail("index build --input texts --out d --max-bytes 0", &["number of bytes"]);
    place.write("rows.jsonl", "[1, 2]\n");
    place.fail("index build --vectors rows.jsonl --out d --skip-bad", &["--skip-bad", "documents"]);
}

#[test]
fn a_bad_line_costs_its_own_answer_only() {
    let place = collection();
    let output = asked(&place, "search c --mode bm25 --json", b"pipe\ncaf\xe9\nlink\n");
    let answers: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert_eq!((&answers[0]["query"], &answers[2]["query"]), (&"pipe".into(), &"link".into()));
    assert_eq!(answers[1]["line"], 2);
    assert!(answers[2]["hits"][0]["id"] == "b" && answers[1]["error"].as_str().unwrap().contains("UTF-8"));
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("standard input:2: not UTF-8") && said.contains("1 lines"), "{said}");
    let output = asked(&place, "search c --mode bm25 --json", &gzipped("pipe\n"));
    assert!(output.status.success() && text(&output.stdout).contains("a pipe"), "{}", text(&output.stderr));
}

#[test]
fn texts_without_spaces_are_found_by_their_parts() {
    let place = Place::new();
    let lines = [
        r#"{"_id": "zh", "text": "这家图书馆收藏古代地图"}"#,
        r#"{"_id": "ja", "text": "駅前の本屋で辞書を買った"}"#,
        r#"{"_id": "ko", "text": "도서관에서는 조용히 합니다"}"#,
        r#"{"_id": "th", "text": "แมวนอนบนหลังคา"}"#,
        r#"{"_id": "em", "text": "the release 🚀 is out"}"#,
        r#"{"_id": "en", "text": "an old map of the library"}"#,
    ];
    place.write("p.jsonl", lines.join("\n"));
    for analyser in ["prose", "code"] {
        place.succeed(&format!("index build --input p.jsonl --out {analyser} --analyser {analyser}"));
        for (id, query) in [
            ("zh", "古代地图"),
            ("ja", "辞書"),
            ("ko", "도서관"),
            ("th", "หลังคา"),
            ("em", "🚀"),
            ("en", "map"),
        ] {
            let found = place.succeed(&format!("search {analyser} {query} --json -k 1"));
            assert!(found.contains(&format!("\"id\":\"{id}\"")), "{query}: {found}");
            let shown = place.succeed(&format!("search {analyser} {query} --color always -k 1"));
            assert!(shown.contains(&format!("\u{1b}[33m{query}")), "{query}: {shown:?}");
        }
    }
    assert!(place.succeed("index info prose").contains("prose-2"));
}

/// Writes a test collection.
fn judged(place: &Place, queries: &str, corpus: &str, judgements: &str) {
    place.write("data/queries.jsonl", queries);
    place.write("data/corpus.jsonl", corpus);
    place.write("data/qrels/test.tsv", format!("query-id\tcorpus-id\tscore\n{judgements}"));
}

#[test]
fn a_document_with_the_querys_own_id_does_not_count_unless_asked() {
    let place = Place::new();
    judged(
        &place,
        "{\"_id\": \"one\", \"text\": \"green tea is bitter\"}\n",
        "{\"_id\": \"one\", \"text\": \"green tea is bitter\"}\n{\"_id\": \"two\", \"text\": \"green tea is rarely \
         bitter when it is young\"}\n{\"_id\": \"three\", \"text\": \"a red bicycle\"}\n",
        "one\ttwo\t1\n",
    );
    let bm25 = "eval --data data --mode bm25 --metrics ndcg@10";
    let dropped = place.succeed(bm25);
    assert!(dropped.contains("100.0") && dropped.contains("--self-matches keep"), "{dropped}");
    let kept = place.succeed(&format!("{bm25} --self-matches keep"));
    assert!(kept.contains("63.1") && kept.contains("--self-matches drop"), "{kept}");
    place.fail(&format!("{bm25} --self-matches maybe"), &["maybe", "keep"]);
}

#[test]
fn ids_that_a_run_cannot_hold_are_named_before_the_work() {
    let place = Place::new();
    judged(
        &place,
        "{\"_id\": \"query 1\", \"text\": \"cats\"}\n",
        "{\"_id\": \"doc 1\", \"text\": \"cats\"}\n{\"_id\": \"doc 2\", \"text\": \"house\"}\n",
        "query 1\tdoc 1\t1\n",
    );
    let output = place.run("eval --data data --mode bm25 --run out.run");
    let said = text(&output.stderr);
    assert!(
        !output.status.success() && said.contains("\"query 1\"") && said.contains("white space"),
        "{said}"
    );
    assert!(!said.contains("searching"), "nothing was searched: {said}");
    assert!(place.succeed("eval --data data --mode bm25").contains("ndcg@10"));
    place.fail("eval --data data --mode bm25 --json absent/x.json", &["absent"]);
    let output = place.run("eval --data data --mode bm25 --json -");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["settings"]["self_matches"], "drop");
    assert!(text(&output.stderr).contains("ndcg@10"), "the table makes way");
}

#[test]
fn a_cache_that_cannot_be_costs_no_run() {
    let place = Place::new();
    judged(
        &place,
        "{\"_id\": \"q\", \"text\": \"cats\"}\n",
        "{\"_id\": \"d\", \"text\": \"cats\"}\n",
        "q\td\t1\n",
    );
    place.write("file", "");
    let cache = place.path("file/cache");
    let mut command = place.command("eval --data data --mode bm25");
    let output = command.env("REVELA_CACHE", cache).output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success() && text(&output.stdout).contains("ndcg@10"), "{said}");
    assert!(said.contains("warning") && said.contains("--no-cache"), "{said}");
}
