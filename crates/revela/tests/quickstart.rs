//! The main job, small: a made-up corpus, seconds instead of minutes.

mod common;

use std::process::Stdio;

use common::{Place, interrupt_when, lines, text};

const QUICKSTART: &str = "quickstart --minutes 0.2 --corpus code --out result --keep-all";

#[test]
fn quickstart_stops_goes_on_and_reports() {
    let place = Place::new();
    place.code("code", 40);
    let mut command = place.command(QUICKSTART);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = interrupt_when(child, || lines(&place.path("result/run/log.jsonl")) > 3);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    place.fail("quickstart --minutes 0.3 --corpus code --out result", &["other settings"]);

    let printed = place.succeed(QUICKSTART);
    for part in ["bm25", "untrained", "contrastive", "revela", "fused", "revela search"] {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
    let report = std::fs::read(place.path("result/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    for system in ["bm25", "untrained", "contrastive", "revela", "fused"] {
        for metric in ["ndcg@10", "recall@100", "mrr@10"] {
            let value = &report["systems"][system][metric];
            let number = |name: &str| value[name].as_f64().unwrap();
            assert!(number("low") <= number("mean") && number("mean") <= number("high"), "{system} {value}");
        }
    }
    assert!(report["dataset"]["queries"].as_u64().unwrap() >= 50);
    assert!(report["seconds"]["total"].as_f64().unwrap() > 0.0);
    for file in ["report.html", "curves/held-out.svg", "curves/revela-loss.svg", "encoder/model.safetensors"]
    {
        assert!(place.path("result").join(file).exists(), "{file}");
    }

    let found = place.command("search result/collection -k 3").arg("sorts every byte of the queue").output();
    let found = text(&found.unwrap().stdout);
    assert!(found.contains("part"), "{found}");
    place.fail(QUICKSTART, &["finished", "--out"]);
}

#[test]
fn corpora_that_cannot_be_used_are_said() {
    let place = Place::new();
    place.fail("quickstart --corpus nowhere --out result", &["nowhere"]);
    place.write("one/a.rs", "fn a() {}\n");
    place.fail("quickstart --corpus one --out other", &["one document"]);
    place.write("full/notes.txt", "mine");
    place.fail("quickstart --corpus one --out full", &["not empty"]);
    place.fail("quickstart --minutes 0 --out third", &["--minutes"]);
}
