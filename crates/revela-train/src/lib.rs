//! wip
#![allow(missing_docs)]
pub mod checkpoint;
pub mod config;
mod error;
pub mod gradients;
pub mod inbatch;
pub mod log;
pub mod models;
pub mod objective;
pub mod optim;
pub mod order;
pub mod schedule;
pub mod settings;
pub mod step;
pub mod trainer;
pub use error::{Result, TrainError};
