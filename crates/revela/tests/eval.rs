//! `revela eval` and `revela data fetch`: bad input, systems, the cache, every output.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too, are tests")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use common::Place;
use common::server::{Reply, Request, Server};
use serde_json::{Value, json};
use sha2::Digest as _;

const WORDS: [&str; 12] =
    ["amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "inlet", "jade", "knoll", "loam"];

/// A collection whose document `i` holds three words, and whose query `i` asks with two of them.
fn collection(place: &Place, name: &str, documents: usize) {
    let word = |i: usize| WORDS[i % WORDS.len()];
    let (mut corpus, mut queries, mut qrels) = (String::new(), String::new(), String::new());
    for i in 0..documents {
        let (a, b, c) = (word(i), word(i / 12 + 1), word(i / 7 + i));
        corpus +=
            &format!("{}\n", json!({"_id": format!("d{i}"), "title": a, "text": format!("{b} {c} {i}")}));
        if i % 3 == 0 {
            queries += &format!("{}\n", json!({"_id": format!("q{i}"), "text": format!("{a} {b} {c}")}));
            qrels += &format!("q{i}\td{i}\t1\n");
        }
    }
    place.write(&format!("{name}/corpus.jsonl"), corpus);
    place.write(&format!("{name}/queries.jsonl"), queries);
    place.write(&format!("{name}/qrels/test.tsv"), qrels);
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn what_does_not_fit_is_told_and_refused_when_strict() {
    let place = Place::new();
    collection(&place, "set", 30);
    let eval = "eval --data set --mode bm25";
    assert!(!place.succeed(&format!("{eval} --strict")).contains("note:"));
    place.fail(&format!("{eval} --split dev"), &["no split \"dev\"; it has test"]);
    place.fail(&format!("{eval} --task scifakt"), &["scifakt"]);
    place.fail(&format!("{eval} --depth 0"), &["--depth is 0"]);
    place.fail("eval --data set", &["--encoder", "--endpoint"]);

    let qrels = std::fs::read_to_string(place.path("set/qrels/test.tsv")).unwrap();
    place.write("set/qrels/odd.tsv", format!("{qrels}q0\tgone\t1\nghost\td1\t1\n"));
    let printed = place.succeed(&format!("{eval} --split odd --json odd.json"));
    assert!(printed.contains("1 unknown queries (ghost) and 1 unknown documents (gone)"), "{printed}");
    assert!(read_json(&place.path("odd.json"))["settings"]["notes"][0].as_str().unwrap().contains("ghost"));
    place.fail(&format!("{eval} --split odd --strict"), &["ghost", "gone"]);
    place.write("set/qrels/none.tsv", "query-id\tcorpus-id\tscore\n");
    place.fail(&format!("{eval} --split none"), &["holds no judgements"]);
    let printed = place.succeed(&format!("{eval} --task scifact"));
    assert!(printed.contains("hold 30 documents, but the catalogue says 5183"), "{printed}");
    place.fail(&format!("{eval} --task scifact --strict"), &["5183", "--strict"]);

    let run = |name: &str, lines: &str| drop(place.write(name, lines));
    let measure = "eval --data set --run-file";
    run("strange.run", "q0 Q0 d0 1 2.0 x\nq0 Q0 nowhere 2 1.0 x\nstranger Q0 d1 1 1.0 x\n");
    let printed = place.succeed(&format!("{measure} strange.run"));
    for part in
        ["1 queries without judgements", "1 documents that the corpus lacks", "9 judged queries are not"]
    {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    place.fail(&format!("{measure} strange.run --strict"), &["stranger"]);
    run("missing.run", "q0 Q0 d0 1 2.0 x\n");
    assert!(place.succeed(&format!("{measure} missing.run --strict")).contains("9 judged queries are not"));
    run("other.run", "stranger Q0 d1 1 1.0 x\n");
    place.fail(&format!("{measure} other.run"), &["answers none of the 10 judged queries"]);
    run("nan.run", "q0 Q0 d0 1 NaN x\n");
    place.fail(&format!("{measure} nan.run"), &["nan.run:1", "not a finite number"]);
    run("twice.run", "q0 Q0 d0 1 2.0 x\nq0 Q0 d0 2 1.0 x\n");
    place.fail(&format!("{measure} twice.run"), &["ranks document \"d0\" twice"]);
    let corpus = std::fs::read_to_string(place.path("set/corpus.jsonl")).unwrap();
    place.write("set/corpus.jsonl", format!("{corpus}{}", corpus.lines().next().unwrap()));
    place.fail(eval, &["corpus.jsonl:31", "\"d0\" occurs twice"]);
}

#[test]
fn a_collection_that_differs_from_its_manifest_is_refused() {
    let place = Place::new();
    place.code("code", 3);
    place.succeed("data code-search --input code --out set --queries 20");
    place.succeed("eval --data set --mode bm25");
    let corpus = place.path("set/corpus.jsonl");
    let text = std::fs::read_to_string(&corpus).unwrap();
    std::fs::write(&corpus, text.replacen("let", "lot", 1)).unwrap();
    place.fail("eval --data set --mode bm25", &["corpus.jsonl", "checksum"]);
}

#[test]
fn every_output_is_written() {
    let place = Place::new();
    collection(&place, "set", 60);
    place.succeed("eval --data set --mode bm25 --json words.json --html words.html --mteb-json words.mteb.json --run w.run");
    let result = read_json(&place.path("words.json"));
    let curve = result["recall_curve"].as_array().unwrap();
    assert_eq!((curve[0][0].as_u64(), curve.len()), (Some(1), 12));
    let mteb = read_json(&place.path("words.mteb.json"));
    assert_eq!(mteb["scores"]["test"][0]["main_score"], result["metrics"]["ndcg@10"]);
    assert_eq!(mteb["task_name"], "set");
    place.succeed("eval --data set --mode bm25 --task scifact --mteb-json SciFact.json");
    let named = read_json(&place.path("SciFact.json"));
    assert_eq!(
        (&named["task_name"], &named["scores"]["test"][0]["languages"][0]),
        (&"SciFact".into(), &"eng-Latn".into())
    );
    let page = std::fs::read_to_string(place.path("words.html")).unwrap();
    for part in ["Recall over depth", "The worst queries by ndcg@10", "Retrieved first", "<svg"] {
        assert!(page.contains(part), "no {part}");
    }
    // The same ranking cut short, so that the systems differ.
    let run = std::fs::read_to_string(place.path("w.run")).unwrap();
    let kept: Vec<&str> =
        run.lines().filter(|line| !line.contains(" d3 ") && !line.contains(" d9 ")).collect();
    place.write("cut.run", kept.join("\n"));
    place.succeed("eval --data set --run-file cut.run --json cut.json");
    place.succeed("eval compare words.json cut.json --html both.html");
    let page = std::fs::read_to_string(place.path("both.html")).unwrap();
    for part in ["cut loses most against words", "Query by query", "Holm", "Relevant", "dune"] {
        assert!(page.contains(part), "no {part}");
    }
    assert!(!page.contains("Retrieved first"), "results do not say what was retrieved");
    std::fs::rename(place.path("set"), place.path("moved")).unwrap();
    place.succeed("eval compare words.json cut.json --html bare.html");
    assert!(std::fs::read_to_string(place.path("bare.html")).unwrap().contains("q9"), "ids stand for texts");
}

#[test]
fn a_data_set_in_the_hubs_cache_is_found_by_its_name() {
    let place = Place::new();
    collection(&place, "hub/datasets--org--tiny/snapshots/0a1b", 30);
    let eval =
        |arguments: &str| place.command(arguments).env("HF_HUB_CACHE", place.path("hub")).output().unwrap();
    assert!(eval("eval --data org/tiny --mode bm25 --strict").status.success());
    let missing = eval("eval --data org/other --mode bm25");
    assert!(!missing.status.success() && common::text(&missing.stderr).contains("org/other"));
}

#[test]
fn published_figures_stand_beside_measured_ones() {
    let place = Place::new();
    collection(&place, "set", 30);
    let printed = place.succeed("eval --data set --mode bm25 --task scifact --published --json s.json");
    assert!(printed.contains("64.5") && printed.contains("published: MTEB"), "{printed}");
    let printed = place.succeed("eval average s.json --name mine");
    for part in ["mean of 1 of 18 tasks", "Revela-3B", "45.2", "published: Cai", "scifact"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    place.fail("eval average s.json s.json", &["another result of scifact"]);
    place.succeed("eval --data set --mode bm25 --json plain.json");
    place.fail("eval average plain.json", &["plain.json", "--task"]);
    place.succeed("eval --data set --mode bm25 --task cqadupstack --part gis --json gis.json");
    assert!(place.succeed("eval average gis.json s.json").contains("cqadupstack/gis"));
    place.fail("eval --data set --mode bm25 --task cqadupstack --part gin", &["no part gin", "gis"]);
    assert!(place.succeed("data tasks").contains("bright-theoremqa-theorems"));
}

/// Words hashed into 64 dimensions, as a server answers; `floats` for numbers as text.
fn embeddings(request: &Request, floats: bool) -> Reply {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["model"], &body["encoding_format"]), (&"hash".into(), &"base64".into()));
    let row = |text: &str| {
        let mut row = vec![0.125f32; 64];
        for word in text.split_whitespace() {
            let hash = word.bytes().fold(7u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
            row[hash as usize % 64] += 1.0;
        }
        row
    };
    let texts = body["input"].as_array().unwrap();
    let items = texts.iter().enumerate().rev().map(|(index, text)| {
        let row = row(text.as_str().unwrap());
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        let coded = base64::engine::general_purpose::STANDARD.encode(bytes);
        json!({"index": index, "embedding": if floats { json!(row) } else { json!(coded) }})
    });
    Reply::ok(json!({"object": "list", "data": items.collect::<Vec<_>>()}).to_string())
}

#[test]
fn an_endpoint_is_measured_exactly_by_a_graph_and_from_the_cache() {
    let place = Place::new();
    collection(&place, "set", 400);
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let server = Server::start(move |request| {
        assert_eq!(
            (request.path.as_str(), request.header("authorization")),
            ("/v1/embeddings", Some("Bearer secret"))
        );
        match counted.fetch_add(1, Ordering::Relaxed) {
            1 => Reply::status(503),
            4 => Reply { breaks_after: Some(20), ..embeddings(request, false) },
            number => embeddings(request, number % 2 == 0),
        }
    });
    let eval = |rest: &str| {
        let url = server.url("/v1");
        let arguments =
            format!("eval --data set --endpoint {url} --model hash --key-variable THE_KEY {rest}");
        let output = place.command(&arguments).env("THE_KEY", "secret").output().unwrap();
        assert!(output.status.success(), "{rest}: {}", common::text(&output.stderr));
        common::text(&output.stderr)
    };
    eval("--exact --json exact.json --run exact.run");
    let asked = requests.load(Ordering::Relaxed);
    assert!(eval("--exact --json again.json --run again.run --metrics ndcg@10").contains("from the cache"));
    assert_eq!(requests.load(Ordering::Relaxed), asked + 1, "only the probe is asked for");
    let bytes = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert_eq!(bytes("exact.run"), bytes("again.run"));
    assert!(!eval("--exact --no-cache --run fresh.run").contains("from the cache"));
    assert_eq!(bytes("exact.run"), bytes("fresh.run"));
    // 24 candidates of 400: the graph is walked, not scanned.
    eval("--depth 20 --ef 24 --json graph.json");
    let before = requests.load(Ordering::Relaxed);
    eval("--depth 20 --ef 22 --json narrow.json");
    let batches = 400usize.div_ceil(64);
    assert!(requests.load(Ordering::Relaxed) < before + batches, "the index is used again");
    let value = |name: &str| read_json(&place.path(name))["metrics"]["ndcg@10"].as_f64().unwrap();
    assert!((value("graph.json") - value("exact.json")).abs() < 0.02);
    assert_eq!(read_json(&place.path("narrow.json"))["settings"]["search"]["ef"], 22);
    // Another text in the corpus: nothing kept may answer.
    let corpus = std::fs::read_to_string(place.path("set/corpus.jsonl")).unwrap();
    place.write("set/corpus.jsonl", corpus.replacen("loam", "lime", 1));
    assert!(!eval("--exact").contains("from the cache"));
}

#[test]
fn a_tasks_instruction_goes_before_queries() {
    let place = Place::new();
    collection(&place, "set", 30);
    let instructed = Arc::new(AtomicUsize::new(0));
    let counted = instructed.clone();
    let server = Server::start(move |request| {
        let body = common::text(&request.body);
        counted.fetch_add(body.matches("q:Given a claim").count(), Ordering::Relaxed);
        embeddings(request, false)
    });
    let eval = format!(
        "eval --data set --exact --no-cache --model hash --endpoint {} --query-prefix q:{{task}}",
        server.url("/v1")
    );
    place.succeed(&format!("{eval} --task arguana"));
    assert_eq!(instructed.load(Ordering::Relaxed), 10, "the queries, and nothing else");
    place.fail(&eval, &["{task}", "needs --task"]);
    place.fail(&format!("{eval} --task cosqa"), &["no instruction for cosqa"]);
}

#[test]
fn an_endpoint_that_fails_says_why() {
    let place = Place::new();
    collection(&place, "set", 30);
    let server = Server::start(|_| Reply {
        body: json!({"error": {"message": "no such model"}}).to_string().into_bytes(),
        ..Reply::status(404)
    });
    let eval = format!("eval --data set --model hash --endpoint {}", server.url("/v1/embeddings"));
    place.fail(&eval, &["/v1/embeddings", "404", "no such model"]);
    let gone = server.url("/v1");
    drop(server);
    place.fail(&format!("eval --data set --model hash --endpoint {gone}"), &["cannot reach"]);
}

#[test]
fn an_existing_collection_is_measured() {
    let place = Place::new();
    collection(&place, "set", 60);
    place.succeed("index build --out words.collection --input set/corpus.jsonl");
    place.succeed("eval --data set --mode bm25 --collection words.collection --json a.json --strict");
    place.succeed("eval --data set --mode bm25 --json b.json");
    let metrics = |name: &str| read_json(&place.path(name))["metrics"].clone();
    assert_eq!(metrics("a.json"), metrics("b.json"));
    place.succeed("index delete words.collection d0 d3");
    let printed = place.succeed("eval --data set --mode bm25 --collection words.collection --json c.json");
    assert_ne!(
        metrics("c.json"),
        metrics("a.json"),
        "the cache knows that the collection changed: {printed}"
    );
}

/// A hub with one data set, whose largest file breaks off at first.
fn hub(revision: &'static str, files: Vec<(&'static str, Vec<u8>)>) -> Server {
    let broken = AtomicUsize::new(0);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    Server::start(move |request| {
        let list = format!("/api/datasets/mteb/scifact/tree/{revision}?recursive=true");
        if request.path == list || request.path == format!("{list}&page=2") {
            let second = request.path != list;
            let entry = |(path, bytes): &(&str, Vec<u8>)| {
                let sha256 = hex(&sha2::Sha256::digest(bytes));
                let git = format!("blob {}\0", bytes.len()).into_bytes();
                let oid = hex(&sha1::Sha1::digest([&git[..], &bytes[..]].concat()));
                let large = bytes.len() > 1000;
                let lfs = if large { json!({"oid": sha256, "size": bytes.len()}) } else { Value::Null };
                json!({"type": "file", "path": path, "size": bytes.len(), "oid": oid, "lfs": lfs})
            };
            let mut entries: Vec<Value> = files.iter().skip(usize::from(second)).map(entry).collect();
            if !second {
                entries.truncate(1);
                entries.push(json!({"type": "directory", "path": "qrels", "size": 0, "oid": "0"}));
            }
            let next = format!("<http://{}{list}&page=2>; rel=\"next\"", request.header("host").unwrap());
            let headers = if second { vec![] } else { vec![("link", next)] };
            return Reply { headers, ..Reply::ok(json!(entries).to_string()) };
        }
        let prefix = format!("/datasets/mteb/scifact/resolve/{revision}/");
        let Some((_, bytes)) = files.iter().find(|(path, _)| request.path == format!("{prefix}{path}"))
        else {
            return Reply::status(404);
        };
        let from = request.header("range").map(|range| {
            range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap()
        });
        let breaks_after = (bytes.len() > 1000 && broken.fetch_add(1, Ordering::Relaxed) < 2).then_some(700);
        match from {
            None => Reply { breaks_after, ..Reply::ok(bytes.clone()) },
            Some(from) => Reply { status: 206, breaks_after, ..Reply::ok(bytes[from..].to_vec()) },
        }
    })
}

#[test]
fn a_task_is_fetched_although_downloads_break_off() {
    let place = Place::new();
    collection(&place, "set", 90);
    let file = |name: &str| std::fs::read(place.path("set").join(name)).unwrap();
    let files = || {
        vec![
            ("corpus.jsonl", file("corpus.jsonl")),
            ("queries.jsonl", file("queries.jsonl")),
            ("qrels/test.tsv", file("qrels/test.tsv")),
            ("README.md", b"not data".to_vec()),
        ]
    };
    assert!(file("corpus.jsonl").len() > 2500);
    let server = hub("d56462d0e63a25450459c4f213e49ffdb866f7f9", files());
    place.succeed(&format!("data fetch scifact --out got/set --hub {}", server.url("")));
    assert_eq!(std::fs::read(place.path("got/set/corpus.jsonl")).unwrap(), file("corpus.jsonl"));
    assert!(!place.path("got/set/README.md").exists() && !place.path("got/set.partial").exists());
    place.succeed("eval --data got/set --mode bm25");
    place.fail(&format!("data fetch scifact --out got/set --hub {}", server.url("")), &["already exists"]);
    let corpus = place.path("got/set/corpus.jsonl");
    let text = std::fs::read_to_string(&corpus).unwrap();
    std::fs::write(&corpus, text.replacen("amber", "umber", 1)).unwrap();
    place.fail("eval --data got/set --mode bm25", &["corpus.jsonl", "checksum"]);
}

#[test]
fn what_is_not_what_the_commit_fixes_is_removed() {
    let place = Place::new();
    collection(&place, "set", 90);
    let bytes = std::fs::read(place.path("set/corpus.jsonl")).unwrap();
    let length = bytes.len();
    let server = hub("d56462d0e63a25450459c4f213e49ffdb866f7f9", vec![("corpus.jsonl", bytes)]);
    // Begun with other bytes, as by a proxy that answered with a page of its own.
    place.write("got.partial/corpus.jsonl", vec![b'x'; length / 2]);
    let fetch = format!("data fetch scifact --out got --hub {}", server.url(""));
    place.fail(&fetch, &["not what the commit fixes"]);
    assert!(!place.path("got").exists());
    place.succeed(&fetch);
    assert!(place.path("got/corpus.jsonl").exists());
    place.fail("data fetch bioasq", &["not public"]);
    place.fail("data fetch cqadupstack", &["--part", "gis"]);
    let gone = server.url("");
    drop(server);
    place.fail(&format!("data fetch scifact --out other --hub {gone}"), &["cannot reach"]);
}
