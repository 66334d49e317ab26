//! A collection keeps what all stores promise.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use revela_base::embed::Embedder;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::{Collection, CollectionBuilder, Entry, Searcher};
use revela_search::Store;
use revela_search::testing::{Fixture, check};

/// Collections in one folder, the newest under the last number.
struct Folders {
    dir: tempfile::TempDir,
    built: usize,
    shard_rows: u32,
}

impl Folders {
    fn open(&self) -> Arc<dyn Store> {
        let path = self.dir.path().join(self.built.to_string());
        Arc::new(Searcher::new(Collection::open(&path).unwrap()))
    }
}

impl Fixture for Folders {
    fn build(&mut self, entries: &[Entry], embedder: Option<&dyn Embedder>) -> Arc<dyn Store> {
        self.built += 1;
        let path = self.dir.path().join(self.built.to_string());
        let entries = entries.iter().cloned().map(Ok::<_, std::io::Error>);
        let builder = CollectionBuilder::new(&path).shard_rows(self.shard_rows);
        builder.build(entries, embedder, &Silent, &Interrupt::new()).unwrap();
        self.open()
    }

    fn reopen(&mut self, _: Arc<dyn Store>) -> Arc<dyn Store> {
        self.open()
    }
}

#[test]
fn collections_are_stores() {
    for shard_rows in [7, 1000] {
        check(&mut Folders { dir: tempfile::tempdir().unwrap(), built: 0, shard_rows });
    }
}
