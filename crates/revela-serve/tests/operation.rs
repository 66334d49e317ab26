//! Keys, rates, origins, metrics, TLS, readiness, overload, reloading, and the end.

#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::process::Command;
use std::sync::mpsc;

use common::{Answer, ByteEncoder, DIMENSION, Running, TEXTS, build, passage};
use revela_base::checksum::Checksum;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::testing::HashEmbedder;
use revela_index::{CollectionWriter, Duplicates};
use revela_serve::{Access, KeyConfig, MetricsAccess, TlsConfig};
use serde_json::json;

fn key(name: &str, access: Access, rate: Option<f64>) -> KeyConfig {
    KeyConfig { name: name.into(), blake3: Checksum::of(name.as_bytes()), access, rate, burst: Some(3) }
}

fn with_key(authorization: &str) -> [(&'static str, &str); 2] {
    [("authorization", authorization), ("content-type", "application/json")]
}

#[test]
fn keys_open_what_they_should() {
    let server = Running::start(|config| {
        config.access = Access::ReadWrite;
        config.keys = vec![
            key("reader", Access::ReadOnly, None),
            key("writer", Access::ReadWrite, None),
            key("slow", Access::ReadOnly, Some(0.01)),
        ];
    });
    let search = |authorization: &str| {
        server.send("POST", "/v1/search", &with_key(authorization), b"{\"query\":\"lease\"}")
    };
    for path in ["/healthz", "/readyz", "/", "/docs", "/openapi.json", "/ui/app.js", "/metrics"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    for path in ["/v1/collections", "/v1/models", "/v1/documents/plain"] {
        server.get(path).fails(401, "unauthorized", "Bearer KEY");
    }
    let refused = search("Bearer nobody");
    refused.fails(401, "unauthorized", "does not know");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert!(!refused.text().contains("nobody"));
    assert_eq!(search("Bearer reader").status, 200);
    let delete = |key: &str| server.send("DELETE", "/v1/documents/plain", &with_key(key), b"");
    delete("Bearer reader").fails(403, "forbidden", "read-write");
    assert_eq!(delete("Bearer writer").fine(), json!({"deleted": true}));
    for _ in 0..3 {
        assert_eq!(search("Bearer slow").status, 200);
    }
    search("Bearer slow").fails(429, "rate_limited", "Retry-After");
    assert_eq!(search("Bearer reader").status, 200, "others are not slowed");
    assert_eq!(
        (server.metric("revela_keys_refused_total"), server.metric("revela_rate_limited_total")),
        (4.0, 1.0)
    );
}

#[test]
fn metrics_ask_for_a_key_where_told() {
    let server = Running::start(|config| {
        config.metrics = MetricsAccess::Key;
        config.keys = vec![key("reader", Access::ReadOnly, None)];
    });
    server.get("/metrics").fails(401, "unauthorized", "key");
    let text = server.send("GET", "/metrics", &with_key("Bearer reader"), b"").text();
    assert!(text.contains("revela_collection_passages{collection=\"wiki\"} 6"), "{text}");
}

#[test]
fn metrics_count_what_happened() {
    let server = Running::start(|_| {});
    for _ in 0..3 {
        server.post("/v1/search", &json!({"query": "lease", "mode": "dense"})).fine();
    }
    server.get("/nothing");
    let of = |name: &str| server.metric(name);
    assert_eq!(of("revela_requests_total{method=\"POST\",route=\"/v1/search\",status=\"200\"}"), 3.0);
    assert_eq!(of("revela_requests_total{method=\"GET\",route=\"none\",status=\"404\"}"), 1.0);
    assert_eq!(of("revela_request_seconds_count{route=\"/v1/search\"}"), 3.0);
    assert_eq!(of("revela_stage_seconds_count{stage=\"embed\"}"), 3.0);
    assert_eq!(of("revela_stage_seconds_count{stage=\"search\"}"), 3.0);
    assert_eq!((of("revela_embedded_tokens_total"), of("revela_batch_texts_count")), (15.0, 3.0));
    assert!(of("process_resident_memory_bytes") > 1e6);
    assert_eq!(of("revela_waiting{queue=\"embed_query\"}"), 0.0);
}

#[test]
fn other_origins_are_let_in_by_name() {
    let origin = "https://search.example.org";
    let server = Running::start(|config| config.cors.origins = vec![origin.into()]);
    let ask = |method: &str, origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        server.send(method, "/v1/search", &headers, b"")
    };
    let preflight = ask("OPTIONS", origin);
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some(origin)));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("authorization"));
    let other = ask("OPTIONS", "https://elsewhere.example.org");
    assert_eq!((other.status, other.header("access-control-allow-origin")), (405, None));
    let plain = server.send("GET", "/healthz", &[("origin", origin)], b"");
    assert_eq!(
        (plain.header("access-control-allow-origin"), plain.header("vary")),
        (Some(origin), Some("origin"))
    );
    let closed = Running::start(|_| {});
    let answer = closed.send("GET", "/healthz", &[("origin", origin)], b"");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn tls_where_there_is_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    // Without the program there is nothing to make a certificate with.
    let Ok(made) = made else { return };
    assert!(made.status.success(), "{made:?}");
    let tls = Some(TlsConfig { certificate: certificate.clone(), key: key.clone() });
    let server = Running::unready(|config| config.tls = tls, |_| Ok(None));
    let mut asked = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-servername", "localhost", "-connect"])
        .arg(server.address.to_string())
        .arg("-CAfile")
        .arg(&certificate)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    asked.stdin.as_mut().unwrap().write_all(request).unwrap();
    let answer = Answer::read(asked.stdout.take().unwrap());
    asked.wait().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    // Plain HTTP gets no answer that could be taken for one.
    let mut plain = server.connect();
    plain.write_all(request).unwrap();
    assert_eq!(Answer::read(plain).status, 0);
    server.end().unwrap();
    let mixed = TlsConfig { certificate: key, key: certificate };
    let wrong = revela_serve::Config { tls: Some(mixed), ..one_collection() };
    assert!(revela_serve::Server::bind(wrong).err().unwrap().to_string().contains("key.pem"));
}

fn one_collection() -> revela_serve::Config {
    let collections = vec![revela_serve::CollectionConfig { name: "a".into(), path: "a".into() }];
    let listen = "127.0.0.1:0".parse().unwrap();
    revela_serve::Config { collections, listen, ..revela_serve::Config::default() }
}

#[test]
fn it_is_ready_once_everything_is_loaded() {
    let (release, held) = mpsc::channel::<()>();
    let server = Running::unready(
        |_| {},
        move |_| {
            held.recv()?;
            Ok(Some(ByteEncoder::new()))
        },
    );
    assert_eq!(server.get("/healthz").status, 200);
    server.get("/readyz").fails(503, "unavailable", "loaded");
    for path in ["/v1/collections", "/v1/models", "/v1/documents/a"] {
        server.get(path).fails(503, "unavailable", "loaded");
    }
    server.post("/v1/search", &json!({"query": "a"})).fails(503, "unavailable", "loaded");
    release.send(()).unwrap();
    server.until("ready", |server| server.get("/readyz").status == 200);
    assert_eq!(server.post("/v1/search", &json!({"query": "lease"})).status, 200);
}

#[test]
fn what_cannot_be_loaded_ends_it() {
    let broken = Running::unready(|_| {}, |_| Err("no weights".into()));
    assert!(broken.ended().unwrap_err().to_string().contains("no weights"));
    let absent = Running::unready(|config| config.collections[0].path = "nowhere".into(), |_| Ok(None));
    assert!(absent.ended().unwrap_err().to_string().contains("nowhere"));
}

#[test]
fn overload_is_refused_at_once_and_the_gone_cost_nothing() {
    let (encoder, open) = ByteEncoder::gated();
    let server = Running::with_encoder(Some(encoder), |config| {
        (config.batching.queue, config.batching.wait_ms) = (2, 0);
        // Long enough that the door leaves it to the encoder's queue.
        config.search.max_wait_ms = 600_000;
    });
    let body = json!({"query": "lease", "mode": "dense"});
    let ask = || {
        let mut stream = server.connect();
        let text = body.to_string();
        let head = "POST /v1/search HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
        stream.write_all(format!("{head}content-length: {}\r\n\r\n{text}", text.len()).as_bytes()).unwrap();
        stream
    };
    let waiting = |count: f64| {
        server.until("texts wait", |server| server.metric("revela_waiting{queue=\"embed_query\"}") == count);
    };
    let first = ask();
    server.until("the first is being embedded", |server| server.metric("revela_requests_in_flight") == 2.0);
    waiting(0.0);
    let (gone, stays) = (ask(), ask());
    waiting(2.0);
    server.post("/v1/search", &body).fails(429, "overloaded", "encoder");
    // Words need no encoder, and are found all the while.
    assert_eq!(server.post("/v1/search", &json!({"query": "lease", "mode": "bm25"})).status, 200);
    drop(gone);
    server.until("the server has noticed", |server| server.metric("revela_requests_in_flight") == 3.0);
    drop(open);
    assert_eq!((Answer::read(first).status, Answer::read(stays).status), (200, 200));
    assert_eq!(server.metric("revela_cancelled_total"), 1.0);
    assert_eq!(server.metric("revela_embedded_tokens_total"), 10.0);
}

#[test]
fn who_finds_no_room_is_refused_before_the_body_and_those_inside_finish() {
    let (encoder, open) = ByteEncoder::gated();
    let server = Running::with_encoder(Some(encoder), |config| {
        (config.search.threads, config.search.queue, config.search.max_wait_ms) = (1, 1, 600_000);
    });
    let body = json!({"query": "lease", "mode": "dense"}).to_string();
    let head = "POST /v1/search HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let head = format!("{head}content-length: {}\r\n\r\n", body.len());
    let inside = |count: f64| {
        server.until("they are inside", |server| server.metric("revela_inside{kind=\"search\"}") == count);
    };
    // Whoever sends slowly keeps nobody out.
    let mut slow = server.connect();
    slow.write_all(head.as_bytes()).unwrap();
    let ask = || {
        let mut stream = server.connect();
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        stream
    };
    let first = ask();
    inside(1.0);
    let second = ask();
    inside(2.0);
    let mut third = server.connect();
    third.write_all(head.as_bytes()).unwrap();
    Answer::read_one(&mut third).fails(429, "overloaded", "the search");
    // It looked when there was room; now there is none.
    slow.write_all(body.as_bytes()).unwrap();
    Answer::read_one(&mut slow).fails(429, "overloaded", "the search");
    // Batches have a door of their own, and nothing else is hindered.
    let words = json!({"searches": [{"query": "lease", "mode": "bm25"}]});
    assert_eq!(server.post("/v1/search/batch", &words).status, 200);
    assert_eq!(server.get("/v1/documents/plain").status, 200);
    drop(open);
    assert_eq!((Answer::read(first).status, Answer::read(second).status), (200, 200));
    inside(0.0);
    assert_eq!(server.post("/v1/search", &json!({"query": "lease"})).status, 200);
    assert_eq!(server.metric("revela_refused_total{queue=\"door\"}"), 2.0);
}

#[test]
fn names_of_others_are_refused_on_loopback() {
    let server = Running::start(|config| config.hosts = vec!["wiki.example".into()]);
    let ask = |host: &str| {
        let mut stream = server.connect();
        let request = format!("GET /v1/collections HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        Answer::read(stream)
    };
    ask("evil.example").fails(403, "forbidden", "`hosts`");
    for fine in ["localhost:8080", "127.0.0.1", "[::1]:8080", "wiki.example"] {
        assert_eq!(ask(fine).status, 200, "{fine}");
    }
}

#[test]
fn a_deadline_is_kept() {
    let (encoder, open) = ByteEncoder::gated();
    let server = Running::with_encoder(Some(encoder), |_| {});
    let headers = [("content-type", "application/json"), ("x-timeout-ms", "50")];
    let late = server.send("POST", "/v1/search", &headers, b"{\"query\":\"lease\"}");
    late.fails(408, "timeout", "in time");
    drop(open);
    assert_eq!(server.post("/v1/search", &json!({"query": "lease"})).status, 200);
}

fn found(server: &Running, query: &str) -> String {
    let answer = server.post("/v1/search", &json!({"query": query, "k": 1, "mode": "bm25"})).fine();
    answer["hits"][0]["id"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn changes_on_disk_are_seen_without_a_failed_request() {
    let server = Running::start(|_| {});
    let path = server.path("wiki");
    std::thread::scope(|scope| {
        let (stop, stopped) = mpsc::channel::<()>();
        let server = &server;
        let asking = scope.spawn(move || {
            let mut asked = 0;
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                server.post("/v1/search", &json!({"query": "lease renewed", "k": 3})).fine();
                asked += 1;
            }
            asked
        });
        // Appended to.
        let mut writer = CollectionWriter::open(&path).unwrap();
        let zebra = [Ok::<_, std::io::Error>(passage("zebra", "A zebra has stripes."))];
        let encoder = HashEmbedder::new(DIMENSION);
        writer.add(zebra, Some(&encoder), Duplicates::Refuse, &Silent, &Interrupt::new()).unwrap();
        drop(writer);
        server.until("the addition is found", |server| found(server, "zebra") == "zebra");
        // Rebuilt from nothing, and its place taken.
        let rebuilt = server.path("rebuilt");
        build(&rebuilt, &[("yak", "A yak has long hair; its lease is renewed.")], Some(&encoder));
        std::fs::rename(&path, server.path("old")).unwrap();
        std::fs::rename(&rebuilt, &path).unwrap();
        server.until("the new one is found", |server| found(server, "yak") == "yak");
        assert_eq!(found(server, "zebra"), "");
        stop.send(()).unwrap();
        assert!(asking.join().unwrap() > 0);
    });
    assert!(server.metric("revela_reloads_total{result=\"ok\"}") >= 2.0);
}

#[test]
fn what_is_deleted_or_damaged_on_disk_is_served_on() {
    let server = Running::start(|_| {});
    let manifest = server.path("wiki").join("manifest.jsonl");
    let whole = std::fs::read(&manifest).unwrap();
    let failed = "revela_reloads_total{result=\"failed\"}";
    std::fs::write(server.path("half"), &whole[..whole.len() / 2]).unwrap();
    std::fs::rename(server.path("half"), &manifest).unwrap();
    server.until("the damage is noticed", |server| server.metric(failed) == 1.0);
    assert_eq!(found(&server, "bread"), "plain");
    std::fs::write(server.path("whole"), &whole).unwrap();
    std::fs::rename(server.path("whole"), &manifest).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    std::fs::remove_dir_all(server.path("wiki")).unwrap();
    server.until("the loss is noticed", |server| server.metric(failed) == 2.0);
    let dense =
        server.post("/v1/search", &json!({"query": TEXTS[3].1, "mode": "hybrid", "snippet": {}})).fine();
    assert_eq!(dense["hits"][0]["id"], "net/socket#0");
    assert_eq!(server.get("/v1/documents/plain").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
}

#[test]
fn the_end_waits_for_what_is_in_flight() {
    let (encoder, open) = ByteEncoder::gated();
    let server = Running::with_encoder(Some(encoder), |_| {});
    let idle = server.connect();
    let mut stream = server.connect();
    let request = "POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n";
    stream.write_all(format!("{request}{{\"query\":\"lease\"}}").as_bytes()).unwrap();
    server.until("it is in flight", |server| server.metric("revela_requests_in_flight") == 2.0);
    let mut kept = server.connect();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_eq!(Answer::read_one(&mut kept).status, 200);
    server.ask_to_end();
    // The listener closes, so that nobody new is taken; a kept connection is closed.
    let refused = || std::net::TcpStream::connect(server.address).is_err();
    let start = std::time::Instant::now();
    while !refused() {
        assert!(start.elapsed().as_secs() < 60);
    }
    drop(open);
    let answer = Answer::read_one(&mut stream);
    assert_eq!(answer.status, 200, "{}", answer.text());
    drop(idle);
    server.end().unwrap();
}
