//! Graphs in which near vectors are neighbours: built once by hnsw_rs, improved, and searched in place.
//!
//! A graph has levels. All nodes, which are a shard's rows at their places (see [`row_order`](crate::row_order)), are on level 0; each level above has a few of
//! those below, so that a search can take long steps first. hnsw_rs inserts the nodes ([`build`]); its lists
//! are then chosen again with a better rule, and nodes that no walk can reach are linked ([`refine`]). What
//! is left is plain arrays ([`Graph`]) that a shard stores as they are and [`search`] walks in the mapped file.

mod build;
mod graph;
mod links;
mod pool;
mod refine;
mod search;

pub use build::{GraphOptions, InsertOrder};
pub(crate) use build::{build, improve};
pub(crate) use graph::{Graph, GraphView};
pub(crate) use links::Links;
pub(crate) use pool::MOST_NODES;
pub(crate) use search::{Company, Scorer, Walk};

#[cfg(test)]
pub(crate) use build::tests::clusters;
