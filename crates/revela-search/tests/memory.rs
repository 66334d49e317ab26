//! The plainest store keeps what all promise.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use revela_base::embed::Embedder;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_search::testing::{Fixture, RowsInMemory, check};
use revela_search::{Duplicates, Entry, Store, StoreWriter};

struct InMemory;

impl Fixture for InMemory {
    fn build(&mut self, entries: &[Entry], embedder: Option<&dyn Embedder>) -> Arc<dyn Store> {
        let store = RowsInMemory::new(embedder);
        store.add(entries.to_vec(), embedder, Duplicates::Refuse, &Silent, &Interrupt::new()).unwrap();
        Arc::new(store)
    }

    fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store
    }
}

#[test]
fn rows_in_memory_are_a_store() {
    check(&mut InMemory);
}
