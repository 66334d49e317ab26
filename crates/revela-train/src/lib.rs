//! wip
#![allow(missing_docs)]
pub mod config;
mod error;
pub mod gradients;
pub mod inbatch;
pub mod objective;
pub mod optim;
pub mod schedule;
pub mod settings;
pub use error::{Result, TrainError};
