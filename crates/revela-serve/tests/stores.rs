//! The server knows a store by its trait alone: rows in memory are served like a folder.

#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{ByteEncoder, Running, TEXTS, passage};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_search::testing::RowsInMemory;
use revela_search::{Duplicates, Entry, Store, StoreWriter};
use revela_serve::Access;
use serde_json::json;

fn rows() -> Arc<dyn Store> {
    let encoder = ByteEncoder::new();
    let store = RowsInMemory::new(Some(&*encoder));
    let entries = TEXTS.iter().map(|(id, text)| Entry::from(passage(id, text))).collect();
    store.add(entries, Some(&*encoder), Duplicates::Refuse, &Silent, &Interrupt::new()).unwrap();
    Arc::new(store)
}

#[test]
fn rows_in_memory_are_served_like_a_folder() {
    let server = Running::start_with(vec![("rows".to_owned(), rows())], |config| {
        config.access = Access::ReadWrite;
    });
    let list = server.get("/v1/collections").fine();
    assert_eq!(
        (&list["collections"][1]["name"], &list["collections"][1]["passages"]),
        (&json!("rows"), &json!(6))
    );
    assert_eq!(list["collections"][1]["modes"], json!(["dense", "bm25", "hybrid"]));
    for mode in ["dense", "hybrid", "auto"] {
        let search = json!({"query": "open a socket and listen", "mode": mode, "k": 1});
        let mut other = search.clone();
        other["collection"] = "rows".into();
        let (folder, rows) =
            (server.post("/v1/search", &search).fine(), server.post("/v1/search", &other).fine());
        assert_eq!(
            (&rows["hits"][0]["id"], &rows["mode"]),
            (&folder["hits"][0]["id"], &folder["mode"]),
            "{mode}"
        );
    }
    let found = json!({"collection": "rows", "query": "lease", "filter": {"prefix": "net/"}, "mode": "bm25"});
    assert_eq!(server.post("/v1/search", &found).fine()["hits"], json!([]));
    let shown = server.get("/v1/documents/plain?collection=rows").fine();
    assert_eq!((&shown["collection"], &shown["context"]["document"]), (&json!("rows"), &json!(null)));
    let added = json!({"collection": "rows", "documents": [{"id": "new", "text": "quartz and flint"}]});
    assert_eq!(server.post("/v1/documents", &added).fine(), json!({"added": 1, "replaced": 0}));
    let found = json!({"collection": "rows", "query": "quartz", "mode": "bm25"});
    assert_eq!(server.post("/v1/search", &found).fine()["hits"][0]["id"], "new");
    let counted = server.get("/v1/collections").fine();
    assert_eq!(counted["collections"][1]["passages"], 7);
}

#[test]
fn a_name_is_given_once() {
    let refused = revela_serve::Server::bind_with(
        revela_serve::Config::default(),
        vec![("rows".to_owned(), rows()), ("rows".to_owned(), rows())],
    );
    assert!(refused.err().unwrap().to_string().contains("two of the name"));
}
