//! One immutable file of vectors with their ids, read in place.

mod format;
mod reader;
mod section;
mod writer;

pub(crate) use reader::Shard;
pub(crate) use writer::{ShardInput, ShardVectors};

#[cfg(test)]
mod tests;
