//! `revela rerank`, and `--rerank` of search, eval and serve, with a tiny cross-encoder.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too, are tests")]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::{Place, text};
use golden::{folder, model};
use revela_base::rerank::Reranker;
use revela_eval::Run;
use serde_json::{Value, json};

/// The model as a library, and its folder.
mod golden {
    use std::path::Path;

    use revela_model::device::DeviceChoice;
    use revela_model::reranking::{RerankerOptions, RerankingModel};

    pub(super) fn folder(name: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../revela-model/tests/golden/rerankers");
        root.join(name).display().to_string()
    }

    pub(super) fn model(name: &str) -> RerankingModel {
        let device = DeviceChoice::Cpu.open().unwrap();
        RerankingModel::open(Path::new(&folder(name)), &RerankerOptions::default(), &device).unwrap()
    }
}

const TEXTS: [(&str, &str); 5] = [
    ("a", "the moon is far from the sea"),
    ("b", "the sea carries the moon"),
    ("c", "the cat asked the moon a question"),
    ("d", "sand and sea"),
    ("e", "the moon"),
];

fn place() -> Place {
    let place = Place::new();
    let corpus: Vec<String> = TEXTS
        .iter()
        .map(|(id, text)| json!({"_id": id, "title": "moon", "text": text}).to_string())
        .collect();
    place.write("set/corpus.jsonl", corpus.join("\n"));
    place.write("set/queries.jsonl", json!({"_id": "q", "text": "moon sea"}).to_string());
    place.write("set/qrels/test.tsv", "q\tb\t1\n");
    place
}

/// The ids in the order of the model's scores of the first so many of a ranking, with these scores.
fn expected(name: &str, query: &str, ids: &[String]) -> Vec<(String, f32)> {
    let text = |id: &str| format!("moon {}", TEXTS.iter().find(|(other, _)| *other == id).unwrap().1);
    let texts: Vec<String> = ids.iter().map(|id| text(id)).collect();
    let pairs: Vec<(&str, &str)> = texts.iter().map(|text| (query, text.as_str())).collect();
    let scores = model(name).scores(&pairs).unwrap();
    let mut ranked: Vec<(String, f32)> = ids.iter().cloned().zip(scores).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

fn run(path: &Path) -> Vec<(String, f32)> {
    let run = Run::read(path).unwrap();
    run.get("q").unwrap().iter().map(|hit| (hit.document.clone(), hit.score)).collect()
}

fn ids(ranking: &[(String, f32)]) -> Vec<String> {
    ranking.iter().map(|(id, _)| id.clone()).collect()
}

#[test]
fn a_run_is_ranked_again_as_eval_does_it() {
    let place = place();
    place.succeed("eval --data set --mode bm25 --run bm25.run");
    let plain = run(&place.path("bm25.run"));
    assert_eq!(plain.len(), 5);
    for name in ["bert", "llama-likelihood"] {
        let model = folder(name);
        place.succeed(&format!("rerank --model {model} --run bm25.run --data set --out {name}.run"));
        let ranked = run(&place.path(&format!("{name}.run")));
        assert_eq!(ranked, expected(name, "moon sea", &ids(&plain)), "{name}");
        assert_ne!(ids(&ranked), ids(&plain), "{name}: it has an opinion of its own");
        let eval = format!("eval --data set --mode bm25 --rerank {model}");
        place.succeed(&format!("{eval} --run {name}.eval.run --json {name}.json"));
        assert_eq!(run(&place.path(&format!("{name}.eval.run"))), ranked);
        let again = text(&place.run(&format!("{eval} --run {name}.again.run")).stderr);
        assert!(again.contains("taken from the cache"), "{again}");
        assert_eq!(run(&place.path(&format!("{name}.again.run"))), ranked);
    }
    let result: Value = serde_json::from_slice(&std::fs::read(place.path("bert.json")).unwrap()).unwrap();
    let settings = &result["settings"]["rerank"];
    assert_eq!((&settings["form"], &settings["depth"]), (&json!("cross-encoder"), &json!(100)), "{result}");
    // What is deeper follows in its order.
    let model = folder("bert");
    place.succeed(&format!("rerank --model {model} --run bm25.run --data set --out two.run --depth 2"));
    let two = run(&place.path("two.run"));
    assert_eq!(two[..2], expected("bert", "moon sea", &ids(&plain[..2])));
    assert_eq!(ids(&two[2..]), ids(&plain[2..]));
}

#[test]
fn hits_are_ranked_again_by_search_and_in_a_pipe() {
    let place = place();
    place.succeed("index build --input set/corpus.jsonl --out notes");
    let model = folder("bert");
    let json = |printed: &str| -> Value { serde_json::from_str(printed).unwrap() };
    let ranking = |answer: &Value| -> Vec<(String, f32)> {
        let hits = answer["hits"].as_array().unwrap().iter();
        hits.map(|h| (h["id"].as_str().unwrap().to_owned(), h["score"].as_f64().unwrap() as f32)).collect()
    };
    let plain = place.succeed("search notes moon -k 5 --json");
    let searched = json(&place.succeed(&format!("search notes moon -k 2 --json --rerank {model}")));
    let want = expected("bert", "moon", &ids(&ranking(&json(&plain))));
    assert_eq!(ranking(&searched), want[..2]);
    assert_eq!(searched["hits"][1]["rank"], 2);
    let mut child = place
        .command(&format!("rerank --model {model} --hits - --out -"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(plain.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(ranking(&json(&text(&output.stdout))), want);
}

#[test]
fn what_makes_no_sense_is_said() {
    let place = place();
    place.succeed("index build --input set/corpus.jsonl --out notes");
    let model = folder("bert");
    place.fail("search notes moon --rerank nowhere/at/all", &["nowhere"]);
    place.fail("search notes moon --rerank-depth 3", &["--rerank <MODEL>"]);
    place.fail(&format!("search notes moon --rerank {model} --rerank-depth 0"), &["--rerank-depth is 0"]);
    place.fail(&format!("search notes moon --rerank {model} --rerank-form likelihood"), &["bert"]);
    place.fail(&format!("search notes moon --rerank {model} --rerank-max-length 3"), &["3 tokens only"]);
    place.fail(&format!("rerank --model {model} --out x.run"), &["--run"]);
    place.fail(&format!("rerank --model {model} --run gone.run --data set --out x.run"), &["gone.run"]);
    place.write("strange.run", "q Q0 zzz 1 2.0 x\n");
    place.fail(&format!("rerank --model {model} --run strange.run --data set --out x.run"), &["zzz"]);
    place.write("other.run", "p Q0 a 1 2.0 x\n");
    place.fail(&format!("rerank --model {model} --run other.run --data set --out x.run"), &["\"p\""]);
    place.write("hits.jsonl", "{\"query\": \"moon\", \"hits\": []}\n{\"hits\": []}\n");
    place
        .fail(&format!("rerank --model {model} --hits hits.jsonl --out x.jsonl"), &["hits.jsonl:2", "query"]);
    assert!(!place.path("x.jsonl").exists(), "nothing half done is left");
}
