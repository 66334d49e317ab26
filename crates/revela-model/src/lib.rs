//! wip
#![allow(missing_docs)]
pub mod causal_lm;
pub mod config;
pub mod contract;
pub mod cpu;
pub mod decoder;
pub mod device;
pub mod encoder;
mod error;
pub mod hugging_face;
pub mod init;
pub mod kernels;
pub mod language_model;
pub mod layers;
pub mod lora;
pub mod op;
mod packing;
pub mod params;
pub mod pooling;
pub mod testing;
pub mod tokenizer;
pub mod weights;
pub use error::{ModelError, Result};
pub use packing::Packing;
