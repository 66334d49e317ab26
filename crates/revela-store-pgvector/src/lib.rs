//! PostgreSQL with pgvector as a store that Revela searches, on one machine or many.
//!
//! A store is a table on each of some shards (databases); a passage lies on the shard that the checksum of its id
//! names. Every shard is asked at once, over connections of its own. Vectors are `halfvec` (16 bits) under an HNSW
//! index. BM25 is an inner product of `sparsevec`s: a passage's weights, made of the terms that Revela's own analyser
//! finds, with a query's inverse document frequencies, which come from tables that every change keeps right.
//!
//! ```no_run
//! use revela_search::Store;
//! use revela_store_pgvector::{Address, MissingShards, PgStore};
//!
//! # fn main() -> Result<(), revela_store_pgvector::PgError> {
//! let address = Address::parse("postgresql://revela@127.0.0.1:5432/search#wiki")?;
//! let store = PgStore::open(&address, MissingShards::Refuse)?;
//! println!("{:?}", store.describe());
//! # Ok(())
//! # }
//! ```
//!
//! # What it does otherwise than a folder
//!
//! - Vectors are rounded to 16 bits, so similarities differ in the fourth digit.
//! - BM25 counts with the mean length of passages as it was when weights were last made; they are made again when it
//!   has moved by more than 2%. Lengths are exact, where a folder keeps them in one byte.
//! - A change is made as a whole on each shard, not over several: one that is cut short is made again, which ends in
//!   the same state.
//! - Connections are not encrypted; an address that asks for it is refused. Use a tunnel where the network is not
//!   yours.
//! - [`Effort::Recall`](revela_search::Effort::Recall) is refused: nothing was measured.

mod address;
mod error;
mod filter;
mod schema;
mod search;
mod shard;
mod store;
mod transfer;
mod write;

pub use address::Address;
pub use error::PgError;
pub use store::{MissingShards, PgStore};
pub use transfer::{Pushed, pull, push};
