//! Measures retrieval: test collections, runs, metrics, significance, and reports of all that.
pub mod dataset;
mod error;
mod exclusions;
pub mod metrics;
mod qrels;
mod run;
mod runfile;
pub mod statistics;
mod text_lines;

pub use error::EvalError;
pub use exclusions::{Exclusions, SelfMatches};
pub use qrels::{Grade, Qrels};
pub use run::{Hit, Run};
