//! Clients that are slow, gone, many or malicious: the server answers or closes, and goes on serving others.

#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{Answer, Running, TEXTS, build};
use revela_serve::CollectionConfig;
use serde_json::json;

fn serves(server: &Running) {
    assert_eq!(server.post("/v1/search", &json!({"query": "lease"})).status, 200);
}

/// Whatever the server still sends on a connection, until it closes it.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the server keeps the connection")
        }
        _ => bytes,
    }
}

#[test]
fn slow_heads_and_silent_connections_are_closed() {
    let server = Running::start(|config| config.limits.header_ms = 200);
    let silent = server.connect();
    let mut half = server.connect();
    half.write_all(b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-").unwrap();
    let mut kept = server.connect();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_eq!(Answer::read_one(&mut kept).status, 200);
    for stream in [silent, half, kept] {
        rest(stream);
    }
    server.until("they are forgotten", |server| server.metric("revela_connections") == 1.0);
    serves(&server);
}

#[test]
fn slow_bodies_are_given_up() {
    let server = Running::start(|config| config.limits.body_ms = 200);
    let mut stream = server.connect();
    let head = "POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"{\"query\":").unwrap();
    Answer::read_one(&mut stream).fails(408, "timeout", "body");
    rest(stream);
    serves(&server);
}

#[test]
fn half_a_body_and_no_more() {
    let server = Running::start(|_| {});
    for _ in 0..20 {
        let mut stream = server.connect();
        let head = "POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n";
        stream.write_all(format!("{head}{{\"query\": \"le").as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    }
    server.until("they are forgotten", |server| server.metric("revela_requests_in_flight") == 1.0);
    serves(&server);
}

#[test]
fn a_thousand_idle_connections_hinder_nobody() {
    let server = Running::start(|_| {});
    let idle: Vec<TcpStream> = (0..1000).map(|_| server.connect()).collect();
    server.until("all are there", |server| server.metric("revela_connections") >= 1001.0);
    for _ in 0..20 {
        serves(&server);
    }
    drop(idle);
    server.until("they are forgotten", |server| server.metric("revela_connections") == 1.0);
}

#[test]
fn connections_beyond_the_limit_wait() {
    let server = Running::start(|config| (config.limits.connections, config.limits.header_ms) = (4, 300));
    let idle: Vec<TcpStream> = (0..4).map(|_| server.connect()).collect();
    // It is served once the silent ones are closed.
    serves(&server);
    idle.into_iter().for_each(|stream| drop(rest(stream)));
}

#[test]
fn bodies_that_are_not_what_they_say() {
    let server = Running::start(|_| {});
    let send = |body: &[u8]| server.send("POST", "/v1/search", &[("content-type", "application/json")], body);
    send(b"{\"query\": \"\xff\xfe\"}").fails(400, "invalid_request", "");
    send(b"\x00\x01\x02").fails(400, "invalid_request", "");
    let deep = [b"{\"vector\":".to_vec(), vec![b'['; 100_000]].concat();
    send(&deep).fails(400, "invalid_request", "");
    let deep = [b"{\"model\":\"encoder\",\"input\":\"a\",\"x\":".to_vec(), vec![b'['; 100_000]].concat();
    let headers = [("content-type", "application/json")];
    server.send("POST", "/v1/embeddings", &headers, &deep).fails(400, "invalid_request", "cannot be used");
    send(b"{\"query\": \"\\ud800\"}").fails(400, "invalid_request", "");
    send(b"{\"vector\": [1e999]}").fails(400, "invalid_request", "");
    serves(&server);
}

#[test]
fn a_hundred_megabytes_are_not_read() {
    let server = Running::start(|_| {});
    let before = server.metric("process_resident_memory_bytes");
    let mut stream = server.connect();
    let head = "POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    stream.write_all(format!("{head}content-length: 104857600\r\n\r\n").as_bytes()).unwrap();
    // Refused by its head, before the body.
    Answer::read_one(&mut stream).fails(413, "too_large", "8388608");
    rest(stream);
    // In pieces of unknown number.
    let mut stream = server.connect();
    stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    let piece = [b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
    let sent = (0..100).take_while(|_| stream.write_all(&piece).is_ok()).count();
    assert!(sent < 100, "all of it was taken");
    drop(stream);
    serves(&server);
    let grown = server.metric("process_resident_memory_bytes") - before;
    assert!(grown < 64e6, "{grown}");
}

#[test]
fn floods_of_headers_are_refused() {
    let server = Running::start(|_| {});
    let mut many = server.connect();
    let flood: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
    many.write_all(format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{flood}\r\n").as_bytes()).unwrap();
    assert!(matches!(Answer::read(many).status, 0 | 400 | 431));
    let mut long = server.connect();
    // The server may close while this is being sent.
    let _ = long.write_all(format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)).as_bytes());
    assert!(matches!(Answer::read(long).status, 0 | 400 | 431));
    let path = format!("/{}", "x".repeat(20_000));
    assert!(matches!(server.get(&path).status, 404 | 414));
    serves(&server);
}

#[test]
fn what_is_not_http_gets_no_further() {
    let server = Running::start(|_| {});
    for rubbish in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"SSH-2.0-x\r\n\r\n",
        b"\r\n\r\n\r\n\r\n\0\0\0",
    ] {
        let mut stream = server.connect();
        stream.write_all(rubbish).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(matches!(Answer::read(stream).status, 0 | 400));
    }
    // Two lengths, or a length and pieces, are how requests are smuggled past others.
    let heads = [
        "POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        "POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
    ];
    for head in heads {
        let mut stream = server.connect();
        stream.write_all(head.as_bytes()).unwrap();
        assert_eq!(Answer::read(stream).status, 400, "{head}");
    }
    serves(&server);
}

#[test]
fn paths_lead_nowhere_outside() {
    let server = Running::start(|_| {});
    std::fs::write(server.path("secret"), "secret").unwrap();
    for path in [
        "/v1/documents/..%2f..%2fsecret",
        "/v1/documents/../../secret",
        "/ui/..%2f..%2f..%2fsecret",
        "/ui/%2e%2e/secret",
        "//secret",
        "/%00",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains("secret\""), "{path}");
    }
    let outside = json!({"query": "a", "collection": "../secret"});
    server.post("/v1/search", &outside).fails(404, "not_found", "wiki");
    serves(&server);
}

#[cfg(unix)]
#[test]
fn a_collection_that_is_cut_fails_alone() {
    revela_index::survive_truncated_files().unwrap();
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("docs");
    build(&path, &TEXTS, None);
    let server =
        Running::start(|config| config.collections.push(CollectionConfig { name: "docs".into(), path }));
    let search = |collection, mode| {
        server.post("/v1/search", &json!({"query": "lease", "collection": collection, "mode": mode}))
    };
    assert_eq!((search("wiki", "hybrid").status, search("docs", "bm25").status), (200, 200));
    let shard = server.path("wiki").join("000000.shard");
    let whole = std::fs::read(&shard).unwrap();
    std::fs::OpenOptions::new().write(true).open(&shard).unwrap().set_len(0).unwrap();
    search("wiki", "hybrid").fails(500, "internal", "");
    assert_eq!(search("docs", "bm25").status, 200);
    let failed = "revela_reloads_total{result=\"failed\"}";
    server.until("the loss is noticed", |server| server.metric(failed) == 1.0);
    std::fs::write(&shard, whole).unwrap();
    server.until("it is opened anew", |_| search("wiki", "hybrid").status == 200);
}

#[test]
fn bodies_share_their_memory() {
    let server = Running::start(|config| {
        (config.limits.body_bytes, config.limits.bodies_bytes) = (200 << 10, 250 << 10);
    });
    let head = "POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let mut first = server.connect();
    first.write_all(format!("{head}content-length: 150000\r\n\r\n{{").as_bytes()).unwrap();
    server.until("it is being read", |server| server.metric("revela_requests_in_flight") == 2.0);
    let large = format!("{{\"query\": \"lease\"{}}}", " ".repeat(150_000));
    let send =
        || server.send("POST", "/v1/search", &[("content-type", "application/json")], large.as_bytes());
    server.until("its share is taken", |_| send().status == 429);
    send().fails(429, "overloaded", "large bodies");
    let mut pieces = server.connect();
    let piece = format!("transfer-encoding: chunked\r\n\r\n20000\r\n{}\r\n", " ".repeat(0x20000));
    pieces.write_all(format!("{head}{piece}").as_bytes()).unwrap();
    Answer::read_one(&mut pieces).fails(429, "overloaded", "large bodies");
    serves(&server);
    drop(first);
    server.until("there is room again", |_| send().status == 200);
}

#[test]
fn clients_that_do_not_read_their_answers() {
    let server = Running::start(|config| config.limits.write_ms = 200);
    let body = json!({"searches": vec![json!({"query": "lease", "mode": "bm25"}); 100]}).to_string();
    let head = format!(
        "POST /v1/search/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let deaf: Vec<TcpStream> = (0..10)
        .map(|_| {
            let mut stream = server.connect();
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            // Asked for until nothing more is taken.
            while stream.write_all(head.as_bytes()).is_ok() {}
            stream
        })
        .collect();
    serves(&server);
    // They are still open at this end.
    server.until("they are given up", |server| server.metric("revela_connections") == 1.0);
    drop(deaf);
}
