//! wip
#![allow(missing_docs)]
pub mod cpu;
pub mod kernels;
pub mod op;
mod packing;
pub use packing::Packing;
