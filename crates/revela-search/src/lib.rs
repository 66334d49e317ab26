//! What every store that can be searched has in common, and nothing that only one of them needs.
//!
//! A [`Query`] is plain data. [`Prepared`] settles how a store can answer it and says which text must be embedded
//! first, a [`Store`] answers with [`Hit`]s. A folder on this machine (`revela-index`) is one store; programs that
//! know only the trait search any other in the same way.
//!
//! | you want | use |
//! | --- | --- |
//! | to ask a store, and may block | [`Retriever`] |
//! | to embed texts in your own way before | [`Prepared`], then [`Store::search`] |
//! | to make something searchable | [`Store`], and [`testing::check`] to see that it keeps what it promises |
//! | one ranking from several | [`fusion::Fusion`] |
//!
//! Every ranking is a total order: better scores first, equal ones in an order that does not change between two
//! calls.

mod describe;
mod effort;
mod error;
mod filter;
pub mod fusion;
mod passage;
mod payload;
mod prepared;
mod query;
pub mod rerank;
mod scored;
mod store;
pub mod testing;

pub use describe::{Count, Description, VectorField};
pub use effort::{Effort, Recall};
pub use error::{Failure, Lack, QueryError, StoreError};
pub use filter::Filter;
pub use passage::{Duplicates, Embedded, Entry, Passage, full_text};
pub use payload::{Payload, Predicate, Scalar};
pub use prepared::{Prepared, embed_texts, prepare};
pub use query::{Hit, Mode, Query, QueryInput, Snippet};
pub use scored::Scored;
pub use store::{Answers, Retriever, Store, StoreWriter};
