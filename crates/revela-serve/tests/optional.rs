//! What clients may leave out, they may also send as null; and bodies may be packed.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;

use common::{DIMENSION, Running};
use revela_serve::Access;
use serde_json::{Value, json};

/// The description's schema of a part, with what it refers to.
fn resolved<'a>(all: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => all.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// The body with every optional field of its schema null, one after the other, at any depth.
fn with_nulls(all: &Value, schema: &Value, body: &Value, each: &mut dyn FnMut(&str, Value)) {
    let schema = resolved(all, schema);
    if let Some(items) = body.as_array() {
        for (number, item) in items.iter().enumerate() {
            with_nulls(all, &schema["items"], item, &mut |name, changed| {
                let mut body = body.clone();
                body[number] = changed;
                each(name, body);
            });
        }
        return;
    }
    let Some(fields) = body.as_object() else { return };
    // Of several, of which one must be given, those that are not.
    let one_of = schema["description"].as_str().is_some_and(|text| text.starts_with("One of"))
        || schema["maxProperties"] == 1;
    let is_required =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
    for (name, of_field) in schema["properties"].as_object().into_iter().flatten() {
        if !(is_required(name) || one_of && fields.contains_key(name)) {
            let mut body = body.clone();
            body[name] = Value::Null;
            each(name, body);
        }
        if let Some(field) = fields.get(name) {
            with_nulls(all, of_field, field, &mut |inner, changed| {
                let mut body = body.clone();
                body[name] = changed;
                each(&format!("{name}.{inner}"), body);
            });
        }
    }
}

#[test]
fn null_is_as_if_the_field_were_not_there() {
    let server = Running::start(|config| {
        config.access = Access::ReadWrite;
        config.embeddings.name = Some("encoder".into());
    });
    let description = server.get("/openapi.json").fine();
    let vector = vec![0.5; DIMENSION];
    let range = json!({"range": {"field": "year", "least": 1, "most": 2}});
    let bodies = [
        ("/v1/search", json!({"query": "lease", "vector": vector, "k": 3, "snippet": {"length": 50}})),
        ("/v1/search", json!({"query": "lease", "mode": "hybrid", "fusion": {"rrf": {"k": 60}}})),
        ("/v1/search", json!({"query": "lease", "filter": {"where": {"not": range}}, "mode": "bm25"})),
        (
            "/v1/search/batch",
            json!({"searches": [{"query": "lease", "filter": {"prefix": "guide"}, "k": 2}]}),
        ),
        ("/v1/embeddings", json!({"model": "encoder", "input": "text", "encoding_format": "float"})),
        (
            "/v1/documents",
            json!({"documents": [{"id": "new", "text": "words", "title": "t", "metadata": {"a": null}}]}),
        ),
    ];
    let mut tried = Vec::new();
    for (path, body) in bodies {
        server.post(path, &body).fine();
        let at =
            format!("/paths/{}/post/requestBody/content/application~1json/schema", path.replace('/', "~1"));
        let schema = description.pointer(&at).unwrap();
        with_nulls(&description, schema, &body, &mut |name, changed| {
            // The words are what the second and third bodies ask for.
            if name.ends_with("query") && changed["vector"].is_null() {
                return;
            }
            let answer = server.post(path, &changed);
            assert_eq!(answer.status, 200, "{path} {name}: {}", answer.text());
            tried.push(format!("{path} {name}"));
        });
    }
    for field in [
        "/v1/embeddings encoding_format",
        "/v1/embeddings dimensions",
        "/v1/embeddings user",
        "/v1/search k",
        "/v1/search mode",
        "/v1/search exact",
        "/v1/search include_text",
        "/v1/search snippet.length",
        "/v1/search fusion.rrf.k",
        "/v1/search fusion.weighted",
        "/v1/search filter.ids",
        "/v1/search filter.where.not.range.least",
        "/v1/search/batch searches.filter.where",
        "/v1/documents on_duplicate",
        "/v1/documents documents.title",
        "/v1/documents documents.metadata",
    ] {
        assert!(tried.iter().any(|tried| tried == field), "{field} was not tried: {tried:?}");
    }
    let wrong = server.post("/v1/search", &json!({"query": "lease", "k": "three"}));
    wrong.fails(400, "invalid_request", "`k`");
    server.post("/v1/embeddings", &json!({"model": "encoder", "input": null})).fails(
        400,
        "invalid_request",
        "input",
    );
}

#[test]
fn packed_bodies_are_read_within_the_bound_of_bytes() {
    let server = Running::start(|config| config.limits.body_bytes = 4096);
    let packed = |text: &str| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let send = |encoding: &str, bytes: &[u8]| {
        let headers = [("content-type", "application/json"), ("content-encoding", encoding)];
        server.send("POST", "/v1/search", &headers, bytes)
    };
    let body = r#"{"query": "lease", "mode": "bm25"}"#;
    let plain =
        server.send("POST", "/v1/search", &[("content-type", "application/json")], body.as_bytes()).fine();
    assert_eq!(send("gzip", &packed(body)).fine()["hits"], plain["hits"]);
    let bomb = packed(&format!("{body}{}", " ".repeat(1 << 20)));
    assert!(bomb.len() < 4096);
    send("gzip", &bomb).fails(413, "too_large", "4096 bytes");
    send("gzip", body.as_bytes()).fails(400, "invalid_request", "packed");
    send("br", &packed(body)).fails(415, "unsupported_media_type", "gzip");
}
