//! Embedded search: vectors in immutable, memory-mapped shards, BM25 over the same passages, and both
//! fused, without a server and without a model framework.
//!
//! You hand in passages and something that embeds them (any [`Embedder`](revela_base::embed::Embedder)),
//! or vectors from anywhere; you get back a folder, a *collection*, that opens in milliseconds, whatever
//! its size, because nothing is read before it is needed.
//!
//! ```
//! use std::sync::Arc;
//! use revela_base::{interrupt::Interrupt, progress::Silent};
//! use revela_index::testing::HashEmbedder;
//! use revela_index::{Collection, CollectionBuilder, Passage, Query, Searcher};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! # let path = root.path().join("notes.collection");
//! let texts = [("fs", "read a file line by line"), ("net", "open a socket and listen"), ("db", "run a query")];
//! let passage = |(id, text): (&str, &str)| Passage { id: id.into(), title: String::new(), text: text.into() };
//! let passages = texts.map(|text| Ok::<_, std::io::Error>(passage(text)));
//! let encoder = Arc::new(HashEmbedder::new(64));
//! CollectionBuilder::new(&path).build(passages, Some(&*encoder), &Silent, &Interrupt::new())?;
//!
//! let searcher = Searcher::new(Collection::open(&path)?).with_embedder(encoder)?;
//! let query = Query::text("how to read lines of a file").k(2);
//! for hit in searcher.search(&query)? {
//!     println!("{} {} {:.3} {}", hit.rank, hit.id, hit.score, searcher.snippet(&query, &hit, 80).text);
//! }
//! # assert_eq!(searcher.search(&query)?[0].id, "fs");
//! # Ok(())
//! # }
//! ```
//!
//! # What to use for what
//!
//! | you have | use |
//! | --- | --- |
//! | passages to be found by words, by meaning, or both | [`CollectionBuilder`], then [`Searcher`] |
//! | texts and no wish for a folder | [`bm25::TextIndexWriter`] in memory |
//! | a collection that changes | [`CollectionWriter`]: add, replace, delete, compact |
//! | vectors and row numbers, in bulk or without allocating | [`search_rows`], [`search_rows_where`], [`RowSearcher`] |
//! | two matrices | [`flat::search`] |
//! | rankings from several systems | [`fusion::Fusion`] |
//! | chunks that should be trained on together | [`grouping`] |
//! | vectors in `.npy`, `.fvecs`, `.safetensors` or `.jsonl` | [`vectors::RowReader`] |
//!
//! What is asked and answered is shared with other stores: [`Searcher`] is a [`revela_search::Store`].
//!
//! It is no database: there are no transactions over several collections, no replication and no server.
//! A collection has one writer at a time and any number of readers, whom the writer never blocks.
//!
//! # Determinism
//!
//! Every ranking is a total order: equal scores are ordered by row, which is the order in which passages
//! were added. One machine gives the same scores every time and with any number of threads; another
//! instruction set may differ in the last bits of a similarity.
//!
//! Flat shards, which collections of fewer than 30,000 passages are made of, are searched exactly. Larger
//! shards have a graph, by which nearly all of the nearest are found ([`Effort`] says how hard to look).
//! Threads insert into a graph at once, so two builds differ slightly; with [`InsertOrder::Serial`] the same
//! input gives the same bytes.

#[cfg(target_endian = "big")]
compile_error!("shards are little-endian and read in place, so big-endian machines are not supported");

pub mod bench;
pub mod bm25;
mod codes;
pub mod collection;
mod copies;
mod distance;
mod error;
mod exact;
pub mod export;
mod filter;
pub mod flat;
pub mod grouping;
mod guard;
mod heads;
mod hnsw;
pub mod info;
mod lane;
mod measure;
mod metric;
mod mmap;
mod nearest;
mod options;
pub mod payload;
pub mod recall;
mod row_order;
mod rows;
mod rowset;
mod searcher;
mod shard;
mod signs;
mod store;
pub mod testing;
pub mod topk;
mod turns;
pub mod vectors;

pub use collection::{Collection, CollectionBuilder, CollectionWriter};
pub use distance::instruction_set;
pub use error::{Error, RowProblem};
pub use guard::survive_truncated_files;
pub use hnsw::{GraphOptions, InsertOrder};
pub use metric::Metric;
pub use options::{Coding, Structure, VectorOptions};
pub use revela_search::{
    Duplicates, Effort, Embedded, Entry, Filter, Hit, Mode, Passage, Predicate, Query, QueryInput, Recall,
    fusion,
};
pub use rows::{RowSearcher, search_rows, search_rows_where};
pub use searcher::{Found, Searcher};
