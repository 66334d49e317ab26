//! `revela serve` as a program: with a real encoder, killed in the middle of writing, and misused.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helpers may")]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Place, text};
use revela_base::embed::{Embedder, TextKind};
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;
use serde_json::{Value, json};

/// A server that runs as its own process.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(place: &Place, arguments: &str) -> Self {
        let mut command = place.command(&format!("serve {arguments} --listen 127.0.0.1:0 --log-format json"));
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended: {said}");
            said.push_str(&line);
            let json: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            if let Some(url) = json["url"].as_str() {
                break url.strip_prefix("http://").unwrap().to_owned();
            }
        };
        // Read on, so that the server never waits for its log to be read.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let serving = Self { child, address };
        let start = Instant::now();
        while serving.send("GET", "/readyz", "").is_none_or(|(status, _)| status != 200) {
            assert!(start.elapsed() < Duration::from_secs(120), "it is never ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        serving
    }

    /// Status and body; nothing when the server goes away meanwhile.
    fn send(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        let head = format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        let answer = text(&bytes);
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).ok()?))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send("POST", path, &body.to_string()).unwrap();
        assert_eq!(status, 200, "{answer}");
        answer
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_embeds_and_searches_as_the_program_does() {
    let place = Place::new();
    place.code("code", 12);
    place.succeed("data chunk --input code --out chunks.jsonl --size 40 --keep-all");
    place.succeed("data group --chunks chunks.jsonl --out groups.jsonl --group-size 4 --keep-all");
    place.succeed(
        "model new --chunks chunks.jsonl --out lm --vocabulary 600 --hidden 32 --layers 1 --heads 2",
    );
    let train = "train --groups groups.jsonl --lm lm --retriever-start lm --pooling mean --tau 0.1";
    place.succeed(&format!("{train} --out run --steps 2"));
    place.succeed("index build --chunks chunks.jsonl --encoder run/best --out wiki");
    let mut serving = Serving::start(&place, "wiki --encoder run/best --model-name tiny");
    let device = DeviceChoice::Cpu.open().unwrap();
    let encoder = Encoder::open(&place.path("run/best"), Precision::F32, &device).unwrap();
    let texts = ["reads every byte of the buffer", "sorts the queue", ""];
    for (kind, name) in [(TextKind::Query, "query"), (TextKind::Passage, "passage")] {
        let expected = encoder.embed(kind, &texts).unwrap();
        let asked = json!({"model": "tiny", "input": texts, "input_type": name});
        let answer = serving.post("/v1/embeddings", &asked);
        let rows = answer["data"].as_array().unwrap().iter();
        let found: Vec<f64> =
            rows.flat_map(|row| row["embedding"].as_array().unwrap()).map(|x| x.as_f64().unwrap()).collect();
        assert_eq!(found.len(), expected.len());
        assert!(
            found.iter().zip(&expected).all(|(found, expected)| (found - f64::from(*expected)).abs() < 1e-5)
        );
        let count = |text: &&str| encoder.contract.encode(&encoder.tokenizer, kind, text).unwrap().len();
        assert_eq!(answer["usage"]["prompt_tokens"], texts.iter().map(count).sum::<usize>());
    }
    let ids = encoder.tokenizer.encode_bare(texts[0]).unwrap();
    let by_ids = serving.post("/v1/embeddings", &json!({"model": "tiny", "input": ids}));
    assert_eq!(by_ids["data"].as_array().unwrap().len(), 1);
    let unknown = json!({"model": "tiny", "input": [60_000]}).to_string();
    assert_eq!(serving.send("POST", "/v1/embeddings", &unknown).unwrap().0, 400);
    let query = "reads byte buffer";
    let printed = place.command("search wiki --encoder run/best").arg(query).output().unwrap();
    let answer = serving.post("/v1/search", &json!({"query": query}));
    for hit in answer["hits"].as_array().unwrap() {
        assert!(text(&printed.stdout).contains(hit["id"].as_str().unwrap()), "{hit}");
    }
    assert_eq!(answer["mode"], "hybrid");
    clients_of_others(&place, &serving, "run/best");
    serving.signal("-TERM");
    assert!(serving.child.wait().unwrap().success(), "it ends well when asked to");
}

/// The clients of OpenAI, LangChain and LlamaIndex, where `REVELA_PYTHON` names a Python that has them.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
fn clients_of_others(place: &Place, serving: &Serving, encoder: &str) {
    let Some(python) = std::env::var_os("REVELA_PYTHON") else {
        return eprintln!(
            "left out: REVELA_PYTHON names no Python with openai, langchain-openai and llama-index"
        );
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/openai_client.py");
    let embed = format!("{} model embed --encoder {encoder}", env!("CARGO_BIN_EXE_revela"));
    let mut command = Command::new(python);
    command.args([script, &format!("http://{}", serving.address), "none", &embed]);
    let output = command.current_dir(place.path("")).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for client in ["openai", "langchain", "llama-index", "revela model embed"] {
        assert!(
            said.contains(&format!("{client}: largest")) || said.contains(&format!("{client}, ")),
            "{said}"
        );
    }
}

/// A collection of words alone, which needs no encoder.
fn words() -> Place {
    let place = Place::new();
    place.write("words.jsonl", "{\"_id\": \"first\", \"text\": \"a first passage\"}\n");
    place.succeed("index build --input words.jsonl --out words");
    place
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let place = words();
    let mut acknowledged = BTreeSet::from(["first".to_owned()]);
    for round in 0..3 {
        let serving = Serving::start(&place, "words --writable");
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let write = |writer: usize| {
                let (serving, count) = (&serving, &count);
                move || {
                    let mut done = Vec::new();
                    for number in 0.. {
                        let id = format!("r{round}w{writer}n{number}");
                        let body = json!({"documents": [{"id": id, "text": "some words"}]}).to_string();
                        match serving.send("POST", "/v1/documents", &body) {
                            Some((200, _)) => done.push(id),
                            Some((status, answer)) => panic!("{status} {answer}"),
                            None => return done,
                        }
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    done
                }
            };
            let writers: Vec<_> = (0..4).map(|writer| scope.spawn(write(writer))).collect();
            while count.load(Ordering::Relaxed) < 12 + 7 * round {
                std::thread::yield_now();
            }
            serving.signal("-KILL");
            writers.into_iter().for_each(|writer| acknowledged.extend(writer.join().unwrap()));
        });
        drop(serving);
        place.succeed("index verify words");
        let serving = Serving::start(&place, "words --writable");
        for id in &acknowledged {
            let found = serving.send("GET", &format!("/v1/documents/{id}"), "").unwrap();
            assert_eq!(found.0, 200, "{id} was acknowledged and is lost");
        }
    }
    assert!(acknowledged.len() > 30);
}

#[test]
fn settings_come_from_file_environment_and_flags() {
    let place = words();
    let drawn = place.succeed("serve --new-key robot");
    let (key, snippet) = drawn.split_once("\n\n").unwrap();
    let key = key.rsplit(' ').next().unwrap();
    let snippet = snippet.split_once("\n\n").unwrap().1;
    assert!(!snippet.contains(key), "the file holds no key");
    place.write(
        "serve.toml",
        format!("[[collections]]\nname = \"w\"\npath = \"words\"\n[log]\nlevel = \"error\"\n{snippet}"),
    );
    let mut command = place.command("serve --listen 127.0.0.1:0 --log-format json --log-level info");
    command.env("REVELA_CONFIG", "serve.toml").stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let url = serde_json::from_str::<Value>(&line).unwrap()["url"].as_str().unwrap().to_owned();
    let serving = Serving { child, address: url.strip_prefix("http://").unwrap().to_owned() };
    let (status, error) = serving.send("GET", "/v1/collections", "").unwrap();
    assert_eq!((status, &error["error"]["code"]), (401, &json!("unauthorized")));
    drop(serving);
    place.fail("serve", &["collections", "empty"]);
    place.fail("serve nowhere", &["nowhere"]);
    place.fail("serve words --encoder nowhere --listen 127.0.0.1:0", &["nowhere"]);
    place.fail("serve words --tls-certificate x.pem", &["--tls-key"]);
    place.fail("serve words words", &["two of the name"]);
    place.fail("serve words --batching perhaps", &["perhaps"]);
    place.write("wrong.toml", "lisen = 1\n");
    place.fail("serve words --config wrong.toml", &["wrong.toml", "lisen"]);
}
