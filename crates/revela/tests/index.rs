//! Collections by command: made, searched, measured, changed, checked, and misused.

mod common;

use std::process::Stdio;

use common::{Place, interrupt_when, text};

/// Rows of 12 numbers that look random and are always the same.
fn rows(name: &str, first: usize, count: usize) -> String {
    let row = |row: usize| {
        let numbers = (0..12).map(|at| (((first + row) * 12 + at) as f64 * 12.9898).sin().to_string());
        format!("{{\"id\": \"{name}{row}\", \"vector\": [{}]}}\n", numbers.collect::<Vec<_>>().join(","))
    };
    (0..count).map(row).collect()
}

fn with_vectors() -> Place {
    let place = Place::new();
    place.write("rows.jsonl", rows("r", 0, 1500));
    place.write("queries.jsonl", rows("q", 5000, 40));
    place
}

#[test]
fn vectors_are_built_searched_and_measured() {
    let place = with_vectors();
    let built = place.succeed("index build --vectors rows.jsonl --out c --structure graph -m 8");
    assert!(built.contains("1500 passages"), "{built}");
    place.succeed("index search --vectors queries.jsonl --collection c -k 10 --exact --out truth.npy");
    place.succeed("index search --vectors queries.jsonl --collection c -k 10 --ef 64 --out hits.npy");
    let bytes = |name| std::fs::read(place.path(name)).unwrap().len();
    assert_eq!(bytes("truth.npy"), bytes("hits.npy"));
    let bench = "index bench --collection c --queries queries.jsonl --truth truth.npy -k 10 --ef 8,64";
    place.succeed(&format!("{bench} --json bench.json"));
    let text = std::fs::read_to_string(place.path("bench.json")).unwrap();
    let points: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(points.iter().map(|point| &point["ef"]).collect::<Vec<_>>(), [8, 64]);
    assert!(points[1]["recall"].as_f64().unwrap() > 0.9, "{text}");
    for point in &points {
        let speed = |key: &str| point[key].as_f64().unwrap();
        assert!(speed("queries_per_second") > 0.0 && speed("queries_per_cpu_second") > 0.0);
    }
    place.succeed("index verify c");
    assert!(place.succeed("index info c").contains("1500 rows, 0 deleted, graph"));
}

#[test]
fn collections_are_changed_and_written_out() {
    let place = with_vectors();
    place.succeed("index build --vectors rows.jsonl --out c --shard-rows 900");
    place.write("more.jsonl", rows("m", 9000, 20));
    place.succeed("index add c --vectors more.jsonl");
    place.fail("index add c --vectors more.jsonl", &["m0", "twice"]);
    place.succeed("index add c --vectors more.jsonl --duplicates last-wins");
    place.write("gone.txt", "r7\nr8\n");
    assert!(place.succeed("index delete c m3 absent --ids-from gone.txt").contains("3 of 4"));
    place.succeed("index compact c");
    assert!(place.succeed("index compact c").contains("already"));
    let info: serde_json::Value = serde_json::from_str(&place.succeed("index info c --json")).unwrap();
    assert_eq!((&info["passages"], &info["deleted"]), (&1517.into(), &0.into()));
    place.succeed("index export c --vectors out.npy --ids ids.txt");
    place.succeed("index build --vectors out.npy --ids ids.txt --out again");
    place.succeed("index verify again");
    let ids = std::fs::read_to_string(place.path("ids.txt")).unwrap();
    assert!(ids.lines().count() == 1517 && !ids.lines().any(|id| id == "r7"));
}

#[test]
fn passages_without_an_encoder_are_found_by_words() {
    let place = Place::new();
    place.write("corpus.jsonl", "{\"_id\": \"a\", \"title\": \"\", \"text\": \"an unusual zebra\"}\n");
    place.succeed("index build --input corpus.jsonl --out c");
    assert!(place.succeed("search c zebra").contains("unusual"));
    place.succeed("index export c --passages out.jsonl");
    assert!(std::fs::read_to_string(place.path("out.jsonl")).unwrap().contains("\"_id\":\"a\""));
}

#[test]
fn misuse_is_named() {
    let place = with_vectors();
    place.fail("index build --out c", &["--input"]);
    place.fail("index build --vectors rows.jsonl --out c --structure tree", &["tree", "graph"]);
    place.fail("index build --vectors rows.jsonl --out c -m 2", &["4 to 64"]);
    place.fail("index build --vectors absent.npy --out c", &["absent.npy"]);
    assert!(!place.path("c/manifest.jsonl").exists());
    place.succeed("index build --vectors rows.jsonl --out c");
    place.fail("index build --vectors rows.jsonl --out c", &["already exists"]);
    place.write("short.jsonl", "{\"id\": \"s\", \"vector\": [1, 2]}\n");
    place.fail("index add c --vectors short.jsonl", &["2 dimensions", "12"]);
    place.fail("index search --vectors short.jsonl --collection c --out x.npy", &["12"]);
    place.fail("index search --vectors queries.jsonl --collection c -k 0 --out x.npy", &["k is 0"]);
    place.fail("index delete c", &["required"]);
    place.fail("index export c", &["nothing to export"]);
    place.fail("index verify nowhere", &["nowhere"]);
    let manifest = std::fs::read(place.path("c/000000.shard")).unwrap();
    let mut damaged = manifest.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    place.write("c/000000.shard", damaged);
    place.fail("index verify c", &["000000.shard", "damaged"]);
}

#[test]
fn a_build_that_is_interrupted_says_so_and_can_be_made_again() {
    let place = Place::new();
    place.write("many.jsonl", rows("many", 0, 20_000));
    let build = "index build --vectors many.jsonl --out c --structure graph --order serial";
    let child = place.command(build).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = interrupt_when(child, || place.path("c/.lock").exists());
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).ends_with("interrupted\n"), "{}", text(&output.stderr));
    place.fail("index info c", &["c"]);
    place.succeed(build);
    place.succeed("index verify c");
}
