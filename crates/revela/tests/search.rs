//! `revela search` for people and for programs, completions, manual pages.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::{Place, text};

/// A collection of three passages, found by their words.
fn collection() -> Place {
    let place = Place::new();
    let lines = [
        r#"{"_id": "net/socket", "title": "Sockets", "text": "open a socket and listen for connections"}"#,
        r#"{"_id": "fs/read", "title": "", "text": "read a file line by line\u001b[2J"}"#,
        r#"{"_id": "fs/open", "title": "", "text": "open a file for writing"}"#,
    ];
    place.write("corpus.jsonl", lines.join("\n"));
    place.succeed("index build --input corpus.jsonl --out notes");
    place
}

#[test]
fn hits_are_for_people_or_for_programs() {
    let place = collection();
    let shown = place.succeed("search notes file");
    assert!(shown.contains("fs/read") && !shown.contains('\u{1b}'), "no colours in a pipe: {shown:?}");
    let coloured = place.succeed("search notes file --color always");
    assert!(coloured.contains("\u{1b}[1m\u{1b}[33mfile") && !coloured.contains("\u{1b}[2J"), "{coloured:?}");
    let whole = place.succeed("search notes socket --full");
    assert!(whole.contains("Sockets") && whole.contains("listen for connections"), "{whole}");
    let json: serde_json::Value =
        serde_json::from_str(&place.succeed("search notes open -k 1 --json")).unwrap();
    assert_eq!(json["query"], "open");
    assert_eq!(json["hits"].as_array().unwrap().len(), 1);
    let under = place.succeed("search notes open --under fs/");
    assert!(under.contains("fs/open") && !under.contains("net/socket"), "{under}");
    assert!(place.succeed("search notes xylophone").contains("nothing found"));
    place.fail("search notes open --mode dense", &["vectors"]);
    place.fail("search notes open -k 0", &["at least one"]);
    place.fail("search nowhere open", &["nowhere"]);
}

#[test]
fn lines_of_standard_input_are_queries() {
    let place = collection();
    let mut child = Command::new(env!("CARGO_BIN_EXE_revela"))
        .args(["search", "notes", "--json"])
        .current_dir(place.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"open\n\nread line\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let printed = text(&output.stdout);
    let queries: Vec<String> = printed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["query"].to_string())
        .collect();
    assert_eq!(queries, ["\"open\"", "\"read line\""]);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let place = collection();
    let script = format!("{} search notes open --json | true", env!("CARGO_BIN_EXE_revela"));
    let output = Command::new("sh").args(["-c", &script]).current_dir(place.path("")).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn shells_and_manuals_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(place.succeed(&format!("completions {shell}")).contains("quickstart"), "{shell}");
    }
    place.succeed("man --out pages");
    let page = |name: &str| std::fs::read_to_string(place.path("pages").join(name)).unwrap();
    assert!(page("revela.1").contains("Exit status"));
    assert!(page("revela-index-build.1").contains("ef\\-construction"));
}
