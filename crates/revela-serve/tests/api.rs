//! Every route that reads, and every error it can answer with, over loopback.

#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, ByteEncoder, DIMENSION, Running, TEXTS, build};
use revela_base::embed::{Embedder, TextKind};
use revela_index::{Collection, Mode, Query, Searcher};
use revela_serve::{CollectionConfig, Dimensions};
use serde_json::{Value, json};

fn ids(answer: &Value) -> Vec<&str> {
    answer["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

#[test]
fn searches_give_what_the_library_gives() {
    let server = Running::start(|_| {});
    let searcher = Searcher::new(Collection::open(&server.path("wiki")).unwrap());
    let searcher = searcher.with_embedder(ByteEncoder::new()).unwrap();
    let text = "lease renewed by a keeper";
    for (name, mode) in [("dense", Mode::Dense), ("bm25", Mode::Bm25), ("auto", Mode::Auto)] {
        let answer = server.post("/v1/search", &json!({"query": text, "mode": name, "k": 4})).fine();
        let expected = searcher.search(&Query::text(text).k(4).mode(mode)).unwrap();
        assert_eq!(ids(&answer), expected.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(), "{name}");
        for (hit, expected) in answer["hits"].as_array().unwrap().iter().zip(&expected) {
            assert_eq!(
                (hit["score"].as_f64().unwrap() as f32, &hit["text"]),
                (expected.score, &json!(expected.text))
            );
            assert_eq!(
                (hit["rank"].as_u64().unwrap() as usize, &hit["snippet"]),
                (expected.rank, &Value::Null)
            );
        }
        assert_eq!(answer["mode"], if name == "auto" { "hybrid" } else { name });
        assert_eq!(answer["collection"], "wiki");
        let took = |key: &str| answer["took"][key].as_f64().unwrap();
        assert!(took("total_ms") >= took("embed_ms") && took("total_ms") >= took("search_ms"));
        assert!(name == "bm25" || took("embed_ms") > 0.0);
    }
}

#[test]
fn vectors_filters_fusions_and_snippets() {
    let server = Running::start(|_| {});
    let vector = ByteEncoder::new().embed(TextKind::Query, &["a socket for connections"]).unwrap();
    let search = |body: Value| server.post("/v1/search", &body).fine();
    let by_vector = search(json!({"vector": vector, "k": 1, "exact": true}));
    assert_eq!((ids(&by_vector), &by_vector["mode"]), (vec!["net/socket#0"], &json!("dense")));
    let prefix =
        search(json!({"query": "lease", "mode": "hybrid", "filter": {"prefix": "net/"}, "ef_search": 20}));
    assert_eq!(ids(&prefix).len(), 2);
    let few = search(json!({"query": "lease", "mode": "dense", "filter": {"ids": ["plain", "absent"]}}));
    assert_eq!(ids(&few), ["plain"]);
    let both = json!({"query": "lease renewed", "vector": vector, "k": 1});
    let with = |fusion: Value| {
        let mut body = both.clone();
        body["fusion"] = fusion;
        search(body)["hits"][0]["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(with(json!({"weighted": {"dense": 0.99}})), "net/socket#0");
    assert!(with(json!({"weighted": {"dense": 0.01}})).starts_with("guide"));
    assert!(!with(json!({"rrf": {"k": 5}})).is_empty());
    let marked = search(json!({"query": "archive Schlüssel", "mode": "bm25", "include_text": false,
        "snippet": {"length": 80}}));
    let hit = &marked["hits"][0];
    assert_eq!((&hit["id"], hit.get("text")), (&json!("guide#2"), None));
    let letters: Vec<char> = hit["snippet"]["text"].as_str().unwrap().chars().collect();
    let marks = hit["snippet"]["marks"].as_array().unwrap().iter();
    let words = marks.map(|mark| {
        let at = |end: usize| mark[end].as_u64().unwrap() as usize;
        letters[at(0)..at(1)].iter().collect::<String>()
    });
    assert_eq!(words.collect::<Vec<_>>(), ["Schlüssel", "archive"]);
}

#[test]
fn batches_are_single_searches_side_by_side() {
    let server = Running::start(|_| {});
    let searches = [
        json!({"query": "bread", "k": 2}),
        json!({"query": "lease", "mode": "bm25"}),
        json!({"query": "silent connection", "mode": "dense", "k": 3}),
    ];
    let batch = server.post("/v1/search/batch", &json!({"searches": searches})).fine();
    for (search, result) in searches.iter().zip(batch["results"].as_array().unwrap()) {
        let alone = server.post("/v1/search", search).fine();
        assert_eq!((&result["hits"], &result["mode"]), (&alone["hits"], &alone["mode"]));
    }
    assert_eq!(server.post("/v1/search/batch", &json!({"searches": []})).fine(), json!({"results": []}));
    let wrong = json!({"searches": [{"query": "a"}, {"query": "a", "k": 0}]});
    server.post("/v1/search/batch", &wrong).fails(400, "invalid_request", "search 1: k must be");
    let many = json!({"searches": vec![json!({"query": "a"}); 101]});
    server.post("/v1/search/batch", &many).fails(413, "too_large", "100 searches");
}

#[test]
fn several_collections_have_their_own_ways() {
    let server = Running::start(|config| {
        for name in ["words", "other"] {
            config.collections.push(CollectionConfig { name: name.into(), path: name.into() });
        }
        let root = config.collections[0].path.parent().unwrap().to_owned();
        build(&root.join("words"), &TEXTS[..2], None);
        build(&root.join("other"), &TEXTS[..2], Some(&revela_index::testing::HashEmbedder::new(8)));
    });
    let list = server.get("/v1/collections").fine();
    let facts: Vec<_> = list["collections"].as_array().unwrap().iter().collect();
    assert_eq!(facts.iter().map(|one| &one["name"]).collect::<Vec<_>>(), ["wiki", "words", "other"]);
    assert_eq!(facts[0]["modes"], json!(["dense", "bm25", "hybrid"]));
    assert_eq!((&facts[0]["passages"], &facts[0]["dimension"]), (&json!(6), &json!(DIMENSION)));
    assert_eq!((&facts[0]["metric"], &facts[0]["analyser"]), (&json!("cosine"), &json!("prose-2")));
    assert_eq!((&facts[0]["texts"], &facts[0]["writable"]), (&json!(true), &json!(false)));
    assert!(facts[0]["bytes"].as_u64().unwrap() > 1000 && facts[0]["encoder"].is_string());
    assert_eq!((&facts[1]["modes"], &facts[1]["dimension"]), (&json!(["bm25"]), &Value::Null));
    assert_eq!((&facts[2]["modes"], &facts[2]["dimension"]), (&json!(["bm25"]), &json!(8)));
    let search = |body: Value| server.post("/v1/search", &body);
    assert_eq!(search(json!({"collection": "words", "query": "lease"})).fine()["mode"], "bm25");
    search(json!({"collection": "words", "query": "a", "mode": "dense"})).fails(
        422,
        "unsupported",
        "no vectors",
    );
    let other = json!({"collection": "other", "query": "a", "mode": "hybrid"});
    search(other).fails(422, "unsupported", "not embedded by");
    let vector = vec![0.5; 8];
    assert_eq!(search(json!({"collection": "other", "vector": vector, "k": 2})).fine()["mode"], "dense");
    search(json!({"collection": "words", "vector": vector})).fails(422, "unsupported", "");
}

#[test]
fn searches_that_make_no_sense_are_refused() {
    let server = Running::start(|config| config.limits.query_bytes = 100);
    let refused = |body: Value, part: &str| {
        server.post("/v1/search", &body).fails(400, "invalid_request", part);
    };
    refused(json!({}), "a query with words");
    refused(json!({"query": "  "}), "a query with words");
    refused(json!({"query": "a", "k": 0}), "k must be");
    refused(json!({"query": "a", "k": 1001}), "at most 1000");
    refused(json!({"query": "a", "k": -1}), "`k`");
    refused(json!({"query": "a", "quary": "b"}), "quary");
    refused(json!({"query": "a", "mode": "best"}), "best");
    refused(json!({"query": "a", "ef_search": 100_000}), "ef_search");
    refused(json!({"query": "a", "snippet": {"length": 100_000}}), "snippet.length");
    refused(json!({"query": "a", "mode": "dense", "fusion": {"rrf": {}}}), "fusion");
    refused(json!({"query": "a", "fusion": {"weighted": {"dense": 1.5}}}), "between 0 and 1");
    refused(json!({"query": "a", "fusion": {"rrf": {"k": -1}}}), "from 0");
    refused(json!({"query": "a", "filter": {"like": "x"}}), "like");
    refused(json!({"vector": [1.0, 2.0]}), "2 dimensions where 64");
    refused(json!({"vector": vec![0.0; DIMENSION]}), "zero");
    refused(json!({"query": 5}), "invalid type");
    let long = "x".repeat(101);
    server.post("/v1/search", &json!({"query": long})).fails(413, "too_large", "100 bytes");
    let nowhere = json!({"query": "a", "collection": "secret"});
    server.post("/v1/search", &nowhere).fails(404, "not_found", "wiki");
    let many: Vec<String> = (0..10_001).map(|id| id.to_string()).collect();
    server.post("/v1/search", &json!({"query": "a", "filter": {"ids": many}})).fails(
        413,
        "too_large",
        "filter",
    );
}

#[test]
fn documents_know_their_neighbours() {
    let server = Running::start(|_| {});
    let shown = server.get("/v1/documents/guide%231").fine();
    assert_eq!((&shown["text"], &shown["collection"]), (&json!(TEXTS[1].1), &json!("wiki")));
    let context = json!({"document": "guide", "position": 1, "previous": "guide#0", "next": "guide#2"});
    assert_eq!(shown["context"], context);
    // A slash may come as it is or encoded.
    for path in ["/v1/documents/net/socket%230", "/v1/documents/net%2Fsocket%230?collection=wiki"] {
        let context = &server.get(path).fine()["context"];
        assert_eq!((&context["previous"], &context["next"]), (&Value::Null, &json!("net/socket#1")));
    }
    assert_eq!(server.get("/v1/documents/plain").fine()["context"]["document"], Value::Null);
    server.get("/v1/documents/absent").fails(404, "not_found", "no document");
    server.get("/v1/documents/plain?collection=x").fails(404, "not_found", "wiki");
    server.get("/v1/documents/plain?colection=x").fails(400, "invalid_request", "colection");
    server.get("/v1/documents/%ff").fails(400, "invalid_request", "id");
}

fn floats(value: &Value) -> Vec<f32> {
    match value {
        Value::String(text) => {
            let bytes = STANDARD.decode(text).unwrap();
            bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
        }
        list => list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect(),
    }
}

#[test]
fn embeddings_are_those_of_the_encoder() {
    let server = Running::start(|config| {
        config.embeddings.name = Some("bytes".into());
        config.embeddings.aliases = vec!["text-embedding-3-small".into()];
    });
    let texts = ["read a file", "", "Größe 🦀"];
    let expected = ByteEncoder::new().embed(TextKind::Passage, &texts).unwrap();
    let ask = |body: Value| server.post("/v1/embeddings", &body).fine();
    for format in [json!(null), json!("float"), json!("base64")] {
        let mut body = json!({"model": "bytes", "input": texts, "user": "me", "store": {"any": "thing"}});
        if !format.is_null() {
            body["encoding_format"] = format;
        }
        let answer = ask(body);
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data.iter().flat_map(|row| floats(&row["embedding"])).collect::<Vec<_>>(), expected);
        assert_eq!((&answer["object"], &answer["model"]), (&json!("list"), &json!("bytes")));
        assert_eq!((&data[2]["index"], &data[2]["object"]), (&json!(2), &json!("embedding")));
        let tokens = texts.iter().map(|text| text.len()).sum::<usize>();
        assert_eq!(answer["usage"], json!({"prompt_tokens": tokens, "total_tokens": tokens}));
    }
    let first = &expected[..DIMENSION];
    let ids: Vec<u8> = texts[0].bytes().collect();
    for input in [json!(texts[0]), json!([texts[0]]), json!(ids), json!([ids])] {
        let answer = ask(json!({"model": "text-embedding-3-small:query", "input": input}));
        assert_eq!(floats(&answer["data"][0]["embedding"]), first);
    }
    let many = vec!["x"; 2048];
    assert_eq!(ask(json!({"model": "bytes", "input": many}))["data"].as_array().unwrap().len(), 2048);
}

#[test]
fn embeddings_that_make_no_sense_are_refused() {
    let server = Running::start(|config| {
        config.embeddings.name = Some("bytes".into());
        config.limits.text_bytes = 1000;
    });
    let ask = |more: Value| {
        let mut body = json!({"model": "bytes", "input": "a"});
        more.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
        server.post("/v1/embeddings", &body)
    };
    ask(json!({"input": []})).fails(400, "invalid_request", "input is empty");
    ask(json!({"input": {}})).fails(400, "invalid_request", "input must be");
    ask(json!({"input": [1000]})).fails(400, "invalid_request", "input 0: it holds an id");
    ask(json!({"dimensions": 8})).fails(400, "invalid_request", "64 dimensions only");
    ask(json!({"encoding_format": "int8"})).fails(400, "invalid_request", "int8");
    ask(json!({"model": "bytes:query", "input_type": "passage"})).fails(400, "invalid_request", "contradict");
    ask(json!({"model": "gpt"})).fails(404, "not_found", "bytes");
    ask(json!({"input": ["a", "x".repeat(1001)]})).fails(413, "too_large", "input 1");
    ask(json!({"input": vec!["x"; 2049]})).fails(413, "too_large", "2048");
    assert_eq!(ask(json!({"dimensions": 64})).status, 200);
    ask(json!({"input": "make it panic"})).fails(500, "internal", "log");
    assert_eq!(ask(json!({})).status, 200, "it goes on after that");
}

#[test]
fn vectors_are_shortened_where_that_is_allowed() {
    let server = Running::start(|config| config.embeddings.dimensions = Dimensions::Truncate);
    let ask = |dimensions: usize| {
        let body = json!({"model": "encoder", "input": "read a file by lines", "dimensions": dimensions});
        server.post("/v1/embeddings", &body)
    };
    let full = floats(&ask(64).fine()["data"][0]["embedding"]);
    let short = floats(&ask(32).fine()["data"][0]["embedding"]);
    let length = full[..32].iter().map(|x| x * x).sum::<f32>().sqrt();
    assert_eq!(short.len(), 32);
    assert!(short.iter().zip(&full).all(|(short, full)| (short - full / length).abs() < 1e-6));
    ask(0).fails(400, "invalid_request", "between 1 and 64");
    ask(65).fails(400, "invalid_request", "between 1 and 64");
}

#[test]
fn models_are_listed() {
    let server = Running::start(|config| config.embeddings.name = Some("bytes".into()));
    let list = server.get("/v1/models").fine();
    let model = &list["data"][0];
    assert_eq!(
        (&list["object"], &model["id"], &model["object"]),
        (&json!("list"), &json!("bytes"), &json!("model"))
    );
    assert_eq!((&model["dimension"], &model["max_tokens"]), (&json!(64), &json!(512)));
    assert_eq!(server.get("/v1/models/bytes").fine(), *model);
    server.get("/v1/models/gpt").fails(404, "not_found", "bytes");
}

#[test]
fn without_an_encoder_there_are_words_and_vectors() {
    let server = Running::with_encoder(None, |_| {});
    assert_eq!(server.post("/v1/search", &json!({"query": "lease"})).fine()["mode"], "bm25");
    let dense = json!({"query": "lease", "mode": "dense"});
    server.post("/v1/search", &dense).fails(422, "unsupported", "this server has none");
    let vector = vec![0.1; DIMENSION];
    assert_eq!(server.post("/v1/search", &json!({"vector": vector})).fine()["mode"], "dense");
    assert_eq!(
        server.post("/v1/search", &json!({"vector": vector, "query": "lease"})).fine()["mode"],
        "hybrid"
    );
    assert_eq!(server.get("/v1/models").fine()["data"], json!([]));
    let embed = json!({"model": "m", "input": "a"});
    server.post("/v1/embeddings", &embed).fails(422, "unsupported", "--encoder");
}

#[test]
fn pages_and_descriptions() {
    let server = Running::start(|_| {});
    let page = server.get("/");
    assert!(page.text().contains("<!doctype html>") && page.header("content-type").unwrap().contains("html"));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'self'"));
    let files =
        [("app.js", "javascript"), ("render.js", "javascript"), ("favicon.svg", "svg"), ("style.css", "css")];
    for (file, kind) in files {
        let answer = server.get(&format!("/ui/{file}"));
        assert!(answer.status == 200 && answer.header("content-type").unwrap().contains(kind));
        let tag = answer.header("etag").unwrap();
        let again = server.send("GET", &format!("/ui/{file}"), &[("if-none-match", tag)], b"");
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
    for path in ["/ui/secret", "/ui/..%2f..%2fCargo.toml", "/ui/../Cargo.toml", "/nothing", "/v1/nothing"] {
        server.get(path).fails(404, "not_found", "");
    }
    assert_eq!(server.get("/openapi.json").fine()["openapi"], "3.1.0");
    assert!(server.get("/docs").text().contains("/v1/search/batch"));
    assert_eq!(server.get("/healthz").text(), "ok");
    assert_eq!(server.get("/readyz").fine()["collections"], json!(["wiki"]));
    let head = server.send("HEAD", "/healthz", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn errors_have_one_form() {
    let server = Running::start(|config| config.limits.body_bytes = 10_000);
    let send = |kind: &str, body: &[u8]| server.send("POST", "/v1/search", &[("content-type", kind)], body);
    send("text/plain", b"{}").fails(415, "unsupported_media_type", "application/json");
    server.send("POST", "/v1/search", &[], b"{}").fails(415, "unsupported_media_type", "application/json");
    assert_eq!(send("Application/JSON; charset=utf-8", b"{\"query\":\"a\"}").status, 200);
    send("application/json", b"{").fails(400, "invalid_request", "column 1");
    send("application/json", b"").fails(400, "invalid_request", "cannot be used");
    send("application/json", &[b' '; 10_001]).fails(413, "too_large", "10000 bytes");
    server.send("PUT", "/v1/search", &[], b"").fails(405, "method_not_allowed", "/docs");
    server.send("DELETE", "/v1/documents/plain", &[], b"").fails(403, "forbidden", "--writable");
    let documents = json!({"documents": [{"id": "a", "text": "b"}]});
    server.post("/v1/documents", &documents).fails(403, "forbidden", "--writable");
    let own = server.send("GET", "/nothing", &[("x-request-id", "mine-1")], b"");
    own.fails(404, "not_found", "/docs");
    assert_eq!(own.header("x-request-id"), Some("mine-1"));
    for (value, fine) in [("5000", true), ("0", false), ("soon", false)] {
        let answer = server.send("GET", "/healthz", &[("x-timeout-ms", value)], b"");
        assert_eq!(answer.status, if fine { 200 } else { 400 });
    }
}

#[test]
fn several_requests_share_a_connection() {
    use std::io::Write;
    let server = Running::start(|_| {});
    let mut stream = server.connect();
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(&[request.as_slice(), request].concat()).unwrap();
    let answers = [Answer::read_one(&mut stream), Answer::read_one(&mut stream)];
    assert!(answers.iter().all(|answer| answer.text() == "ok"));
    assert_ne!(answers[0].header("x-request-id"), answers[1].header("x-request-id"));
}
