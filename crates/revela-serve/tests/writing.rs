//! Documents are added, replaced and deleted; what is acknowledged stays.

#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{ByteEncoder, Running, build};
use revela_base::file::DirLock;
use revela_index::Collection;
use revela_serve::{Access, CollectionConfig, Config};
use serde_json::{Value, json};

fn writable(config: &mut Config) {
    config.access = Access::ReadWrite;
}

fn add(server: &Running, ids: &[&str], more: Value) -> common::Answer {
    let documents: Vec<_> =
        ids.iter().map(|id| json!({"id": id, "text": format!("word{id} of zebras")})).collect();
    let mut body = json!({"documents": documents});
    more.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
    server.post("/v1/documents", &body)
}

#[test]
fn what_is_added_is_found_at_once_and_stays() {
    let server = Running::start(writable);
    assert_eq!(add(&server, &["a", "b"], json!({})).fine(), json!({"added": 2, "replaced": 0}));
    for mode in ["bm25", "dense", "hybrid"] {
        let answer =
            server.post("/v1/search", &json!({"query": "wordb zebras", "k": 1, "mode": mode})).fine();
        assert_eq!(answer["hits"][0]["id"], "b", "{mode}");
    }
    let again = json!({"documents": [{"id": "b", "title": "T", "text": "new"}, {"id": "c", "text": "new"}]});
    assert_eq!(server.post("/v1/documents", &again).fine(), json!({"added": 1, "replaced": 1}));
    assert_eq!(server.get("/v1/documents/b").fine()["title"], "T");
    add(&server, &["d", "c"], json!({"on_duplicate": "refuse"})).fails(409, "conflict", "\"c\"");
    server.get("/v1/documents/d").fails(404, "not_found", "");
    assert_eq!(add(&server, &["e"], json!({"on_duplicate": "refuse"})).status, 200);
    let delete = |id: &str| server.send("DELETE", &format!("/v1/documents/{id}"), &[], b"");
    assert_eq!(delete("guide%231").fine(), json!({"deleted": true}));
    delete("guide%231").fails(404, "not_found", "no document");
    let next = &server.get("/v1/documents/guide%230").fine()["context"]["next"];
    assert_eq!(*next, Value::Null);
    let facts = &server.get("/v1/collections").fine()["collections"][0];
    assert_eq!((&facts["passages"], &facts["writable"]), (&json!(9), &json!(true)));
    let path = server.path("wiki");
    let (dir, passages) = (&server.dir, Collection::open(&path).unwrap().len());
    assert!(dir.path().exists() && passages == 9, "it is on disk before it is answered");
}

#[test]
fn metadata_is_kept_and_filtered_by() {
    let server = Running::start(writable);
    let note = |id: &str, year: u32| json!({"id": id, "text": "a note of zebras", "metadata": {"year": year, "tags": ["note", id]}});
    let documents = json!({"documents": [note("a", 2023), note("b", 2025), {"id": "c", "text": "zebras"}]});
    assert_eq!(server.post("/v1/documents", &documents).fine()["added"], 3);
    let found = |mode: &str, predicate: Value| -> Vec<String> {
        let body = json!({"query": "zebras", "mode": mode, "filter": {"where": predicate}});
        let answer = server.post("/v1/search", &body).fine();
        let hits = answer["hits"].as_array().unwrap().iter();
        let mut ids: Vec<String> = hits.map(|hit| hit["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    for mode in ["bm25", "dense", "hybrid"] {
        assert_eq!(found(mode, json!({"range": {"field": "year", "least": 2024}})), ["b"], "{mode}");
        assert_eq!(found(mode, json!({"equals": {"field": "tags", "value": "note"}})), ["a", "b"], "{mode}");
        let neither = json!({"all": [{"prefix": {"field": "tags", "prefix": "no"}}, {"not": {"in": {"field": "tags", "values": ["a"]}}}]});
        assert_eq!(found(mode, neither), ["b"], "{mode}");
    }
    let hit = &server
        .post("/v1/search", &json!({"query": "zebras", "mode": "bm25", "filter": {"ids": ["a"]}}))
        .fine()["hits"][0];
    assert_eq!(hit["metadata"], json!({"year": 2023, "tags": ["note", "a"]}));
    assert_eq!(server.get("/v1/documents/b").fine()["metadata"]["year"], 2025);
    assert_eq!(server.get("/v1/documents/c").fine().get("metadata"), None);
    let refused = |predicate: Value, part: &str| {
        let body = json!({"query": "a", "filter": {"where": predicate}});
        server.post("/v1/search", &body).fails(400, "invalid_request", part);
    };
    refused(json!({"range": {"field": "year"}}), "no limit");
    refused(json!({"like": {"field": "year"}}), "like");
    refused(json!({"equals": {"field": "year", "value": [1]}}), "");
}

#[test]
fn additions_that_make_no_sense_are_refused() {
    let server = Running::start(|config| {
        writable(config);
        (config.limits.text_bytes, config.limits.documents) = (100, 3);
    });
    let refused = |documents: Value, status: u16, code: &str, part: &str| {
        server.post("/v1/documents", &json!({"documents": documents})).fails(status, code, part);
    };
    refused(json!([]), 400, "invalid_request", "empty");
    refused(json!([{"id": "", "text": "a"}]), 400, "invalid_request", "document 0");
    refused(json!([{"id": "a"}]), 400, "invalid_request", "text");
    refused(json!([{"id": "a", "text": "a"}, {"id": "a", "text": "b"}]), 400, "invalid_request", "twice");
    refused(json!([{"id": "a", "text": "x".repeat(101)}]), 413, "too_large", "100 bytes");
    let heavy = json!({"id": "a", "text": "x", "metadata": {"y": "x".repeat(95)}});
    refused(json!([heavy]), 413, "too_large", "100 bytes");
    refused(json!([{"id": "a", "text": "x", "metadata": 7}]), 400, "invalid_request", "expected a map");
    let many: Vec<_> = (0..4).map(|id| json!({"id": id.to_string(), "text": "a"})).collect();
    refused(json!(many), 413, "too_large", "3 documents");
    add(&server, &["a"], json!({"on_duplicate": "merge"})).fails(400, "invalid_request", "merge");
    add(&server, &["a"], json!({"collection": "x"})).fails(404, "not_found", "wiki");
    add(&server, &["make"], json!({})).fine();
    let panics = json!({"documents": [{"id": "p", "text": "make it panic"}]});
    server.post("/v1/documents", &panics).fails(500, "internal", "log");
    add(&server, &["after"], json!({})).fine();
}

#[test]
fn many_writers_lose_nothing_and_shards_stay_few() {
    let server = Arc::new(Running::start(|config| {
        writable(config);
        config.writing.compact_shards = 4;
        config.collections.push(CollectionConfig { name: "words".into(), path: "words".into() });
        let root = config.collections[0].path.parent().unwrap().to_owned();
        build(&root.join("words"), &[("x", "y")], None);
    }));
    let writers = (0..8).map(|writer| {
        let server = server.clone();
        std::thread::spawn(move || {
            for number in 0..6 {
                let id = format!("w{writer}n{number}");
                let collection = if writer % 2 == 0 { "wiki" } else { "words" };
                let more = json!({"collection": collection});
                assert_eq!(add(&server, &[&id], more).fine(), json!({"added": 1, "replaced": 0}));
                // Whoever wrote it reads it.
                let path = format!("/v1/documents/{id}?collection={collection}");
                assert_eq!(server.get(&path).status, 200);
                if number == 3 {
                    assert_eq!(server.send("DELETE", &path, &[], b"").status, 200);
                }
            }
        })
    });
    writers.collect::<Vec<_>>().into_iter().for_each(|writer| writer.join().unwrap());
    let list = server.get("/v1/collections").fine();
    for (facts, expected) in list["collections"].as_array().unwrap().iter().zip([26, 21]) {
        assert_eq!(facts["passages"], expected, "{facts}");
    }
    server.until("small shards are joined", |server| {
        let list = server.get("/v1/collections").fine();
        list["collections"].as_array().unwrap().iter().all(|facts| facts["shards"].as_u64().unwrap() <= 5)
    });
}

#[test]
fn another_writer_is_waited_for_by_the_client() {
    let server = Running::start(writable);
    let lock = DirLock::acquire(&server.path("wiki")).unwrap();
    add(&server, &["a"], json!({})).fails(503, "unavailable", "another program");
    drop(lock);
    add(&server, &["a"], json!({})).fine();
}

#[test]
fn writes_are_refused_when_too_many_wait() {
    let (encoder, open) = ByteEncoder::gated();
    let server = Arc::new(Running::with_encoder(Some(encoder), |config| {
        writable(config);
        (config.writing.queue, config.writing.together) = (1, 1);
    }));
    let adding = |id: &'static str| {
        let server = server.clone();
        std::thread::spawn(move || add(&server, &[id], json!({})).status)
    };
    let first = adding("a");
    let in_encoder = "revela_requests_in_flight";
    server.until("the first is with the encoder", |server| server.metric(in_encoder) == 2.0);
    // The writer takes the first off the queue some time; from then on one fits, and no more.
    let mut others = Vec::new();
    let mut refused = 0;
    for id in ["b", "c", "d", "e"] {
        others.push(adding(id));
        let seen = |server: &Running| {
            server.metric(in_encoder) + server.metric("revela_refused_total{queue=\"write\"}")
        };
        let expected = 2.0 + others.len() as f64;
        server.until("it waits or is refused", |server| seen(server) == expected);
        refused = server.metric("revela_refused_total{queue=\"write\"}") as usize;
    }
    assert!(refused >= 2, "{refused}");
    drop(open);
    assert_eq!(first.join().unwrap(), 200);
    let statuses: Vec<u16> = others.into_iter().map(|other| other.join().unwrap()).collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 429).count(), refused, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 4 - refused, "{statuses:?}");
}
