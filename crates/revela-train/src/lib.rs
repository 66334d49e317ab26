//! Trains a retriever together with a language model on raw chunks (Revela: Cai et al., ICLR 2026,
//! arXiv:2506.16552).
//!
//! You hand in a file of training groups and a configuration ([`settings::SettingsFile`]: stages, objectives,
//! budgets); [`Trainer`](trainer::Trainer) leaves a folder with the trained encoder, the language model, a log,
//! and checkpoints from which the run goes on bit for bit where it stopped.
//!
//! The path of the data:
//!
//! 1. [`settings`] are what a user may set ([`choices`] by name), [`config`] what remains after checking.
//! 2. [`order`] says which group comes when; [`models`] turns chunks into token batches.
//! 3. [`objective`] gives a loss and the gradients of one batch: `revela` (through [`inbatch`], where a chunk
//!    reads the others of its batch as far as the retriever finds them similar), `contrastive`, `distil` (a frozen
//!    language model's likelihoods teach; they can be kept as [`targets`]), `lm`; [`step`] draws batches for each.
//! 4. [`optim`] and [`schedule`] turn gradients into new weights.
//! 5. [`trainer`] walks through stages, steps, evaluations and [`checkpoint`]s, and writes the [`log`].
//!
//! Held-out quality is measured by whoever implements [`trainer::Evaluator`]: this crate knows neither indexes
//! nor metrics.

pub mod asked;
pub mod checkpoint;
pub mod choices;
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
pub mod targets;
pub mod teacher;
pub mod trainer;

pub use error::{Result, TrainError};
