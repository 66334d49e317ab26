//! wip
#![allow(missing_docs)]
pub mod gradients;
pub mod inbatch;
pub mod objective;
pub mod optim;
