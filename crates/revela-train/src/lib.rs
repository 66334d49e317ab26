//! wip
#![allow(missing_docs)]
pub mod inbatch;
