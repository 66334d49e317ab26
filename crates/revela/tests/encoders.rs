//! Encoders through the program: similarity, and models by name from a hub.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too, are tests")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::server::{Reply, Request, Server};
use common::{Place, text};
use revela_base::artifact::{IfExists, MANIFEST};
use revela_base::embed::Metric;
use revela_model::pooling::Scale;
use revela_model::testing::tiny_encoder;
use revela_model::weights::Precision;
use serde_json::{Value, json};

/// An encoder whose vectors have lengths of their own, compared by this similarity.
fn raw_encoder(dir: &Path, metric: Metric) {
    let mut encoder = tiny_encoder();
    encoder.contract.scale = Scale::Raw;
    encoder.contract.metric = metric;
    encoder.save(dir, Precision::F32, IfExists::Refuse).unwrap();
}

fn collection(place: &Place) {
    let words =
        ["fn a", "text that is longer", "batches are sorted", "by length ( )", "passage: so", "{ } a"];
    let (mut corpus, mut queries, mut qrels) = (String::new(), String::new(), String::new());
    for (i, word) in words.iter().enumerate() {
        let text = format!("{} {word}", words[(i * 5 + 2) % words.len()]);
        corpus += &format!("{}\n", json!({"_id": format!("d{i}"), "text": text}));
        queries += &format!("{}\n", json!({"_id": format!("q{i}"), "text": word}));
        qrels += &format!("q{i}\td{i}\t1\n");
    }
    place.write("set/corpus.jsonl", corpus);
    place.write("set/queries.jsonl", queries);
    place.write("set/qrels/test.tsv", qrels);
}

/// Query, document and score of each line of a run, and the documents' order.
fn run(place: &Place, encoder: &str, how: &str) -> Vec<(String, String, f64)> {
    place
        .succeed(&format!("eval --data set --mode dense --encoder {encoder} {how} --run {encoder}{how}.run"));
    let lines = std::fs::read_to_string(place.path(&format!("{encoder}{how}.run"))).unwrap();
    let parts = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    parts.map(|p| (p[0].to_owned(), p[2].to_owned(), p[4].parse().unwrap())).collect()
}

#[test]
fn exact_search_and_graphs_compare_by_the_similarity_of_the_encoder() {
    let place = Place::new();
    collection(&place);
    for (name, metric) in [("cosine", Metric::Cosine), ("dot", Metric::Dot)] {
        raw_encoder(&place.path(name), metric);
        let (exact, graph) = (run(&place, name, "--exact"), run(&place, name, ""));
        assert_eq!(exact.len(), 36);
        for (a, b) in exact.iter().zip(&graph) {
            assert_eq!((&a.0, &a.1), (&b.0, &b.1), "{name}");
            assert!((a.2 - b.2).abs() < 1e-4 * (1.0 + a.2.abs()), "{name}: {a:?} {b:?}");
        }
        let largest = exact.iter().map(|hit| hit.2).fold(f64::MIN, f64::max);
        assert_eq!(largest > 1.0001, metric == Metric::Dot, "{name}: {largest}");
        place.succeed(&format!("index build --input set/corpus.jsonl --encoder {name} --out c-{name}"));
        let info: Value =
            serde_json::from_str(&place.succeed(&format!("index info c-{name} --json"))).unwrap();
        assert_eq!(info["vectors"]["metric"], name);
        let facts: Value =
            serde_json::from_str(&place.succeed(&format!("model info {name} --json"))).unwrap();
        assert_eq!((&facts["metric"], &facts["vectors"]), (&json!(name), &json!("raw")));
    }
    place.succeed("index build --input set/corpus.jsonl --encoder dot --metric cosine --out said");
    assert!(place.succeed("index info said").contains("cosine"));
}

type Files = BTreeMap<String, Vec<u8>>;

fn files(dir: &Path, prefix: &str, found: &mut Files) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            files(&path, &format!("{name}/"), found);
        } else {
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// A stand-in for the hub with one model; the first downloads of its weights break off.
fn hub(files: Files, tokens: Arc<Mutex<Vec<Option<String>>>>, fetched: Arc<Mutex<Vec<String>>>) -> Server {
    let broken = AtomicUsize::new(0);
    Server::start(move |request: &Request| {
        tokens.lock().unwrap().push(request.header("authorization").map(str::to_owned));
        if request.path.starts_with("/api/models/org/tiny/revision/main") {
            let siblings: Vec<Value> =
                files.iter().map(|(name, bytes)| json!({"rfilename": name, "size": bytes.len()})).collect();
            return Reply::ok(json!({"sha": "c0ffee", "siblings": siblings}).to_string());
        }
        let Some(name) = request.path.strip_prefix("/org/tiny/resolve/c0ffee/") else {
            return Reply::status(404);
        };
        let Some(bytes) = files.get(name) else { return Reply::status(404) };
        fetched.lock().unwrap().push(name.to_owned());
        let from = request.header("range").map(|range| {
            range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap()
        });
        let large = bytes.len() > 10_000;
        let breaks_after = (large && broken.fetch_add(1, Ordering::Relaxed) < 2).then_some(700);
        match from {
            None => Reply { breaks_after, ..Reply::ok(bytes.clone()) },
            Some(from) => Reply { status: 206, breaks_after, ..Reply::ok(bytes[from..].to_vec()) },
        }
    })
}

#[test]
fn half_a_model_in_the_cache_is_completed_by_the_hub_that_the_environment_names() {
    let place = Place::new();
    let whole = place.path("whole");
    tiny_encoder().save(&whole, Precision::F32, IfExists::Refuse).unwrap();
    std::fs::remove_file(whole.join(MANIFEST)).unwrap();
    let mut all = Files::new();
    files(&whole, "", &mut all);
    // As transformers' AutoModel and AutoTokenizer leave a cache.
    let model = "home/hub/models--org--tiny";
    place.write(&format!("{model}/refs/main"), "c0ffee");
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        place.write(&format!("{model}/snapshots/c0ffee/{name}"), &all[name]);
    }
    let info = |variables: &[(&str, String)]| {
        let mut command = place.command("model info org/tiny --json");
        for name in ["HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().map(|(name, value)| (*name, value))).output().unwrap()
    };
    let home = ("HF_HOME", place.path("home").display().to_string());
    let offline = ("HF_HUB_OFFLINE", "1".to_owned());
    let nobody = ("HF_ENDPOINT", "http://127.0.0.1:9".to_owned());

    for variables in [vec![home.clone(), offline.clone()], vec![home.clone(), nobody.clone()]] {
        let output = info(&variables);
        assert!(!output.status.success() && text(&output.stderr).contains("modules.json"));
    }
    let refused = info(&[("HF_HUB_CACHE", place.path("other").display().to_string()), nobody]);
    let said = text(&refused.stderr);
    assert!(said.contains("http://127.0.0.1:9/api/models/org/tiny") && said.contains("other"), "{said}");

    let (tokens, fetched) = (Arc::default(), Arc::default());
    let server = hub(all.clone(), Arc::clone(&tokens), Arc::clone(&fetched));
    let endpoint = ("HF_ENDPOINT", server.url(""));
    let token = ("HF_TOKEN", "hf_secret".to_owned());
    let output = info(&[home.clone(), endpoint.clone(), token.clone()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&facts["pooling"], &facts["query_prompt"]), (&json!("mean"), &json!("query: ")));
    assert!(tokens.lock().unwrap().iter().all(|t| t.as_deref() == Some("Bearer hf_secret")));
    assert!(!fetched.lock().unwrap().iter().any(|name| name == "model.safetensors"), "it was there already");
    assert!(fetched.lock().unwrap().iter().any(|name| name == "1_Pooling/config.json"));

    // What was cut off is gone on with, and afterwards nobody is asked.
    let empty = ("HF_HUB_CACHE", place.path("empty").display().to_string());
    let begun = "empty/models--org--tiny/snapshots/c0ffee/model.safetensors.incomplete";
    place.write(begun, &all["model.safetensors"][..500]);
    let output = info(&[empty.clone(), endpoint]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!place.path(begun).exists());
    drop(server);
    let output = info(&[empty, offline]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), facts);
}
