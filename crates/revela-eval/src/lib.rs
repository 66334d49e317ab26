//! Measures retrieval: test collections in, runs in, numbers with their uncertainty out.
//!
//! This crate knows collections with judgements, runs, and numbers, but neither models nor indexes:
//! training measures itself with the same code as the benchmark harness.
//!
//! 1. **A test collection** is read through a [`dataset::Layout`]: documents as a stream, queries, and
//!    [`Qrels`] for each split. [`dataset::open`] tells BEIR's layout from those of the Hugging Face hub and of BRIGHT;
//!    [`dataset::BeirWriter`] writes BEIR's. [`catalog`] knows the public collections.
//!    [`Exclusions`] say what must not count (a query finding itself, BRIGHT's excluded documents).
//! 2. **A run** ([`Run`]) is what a system retrieved: for each query a ranking of document ids with scores. It is
//!    kept in trec_eval's order and read from and written to TREC's six columns.
//! 3. **Metrics** ([`metrics::Metric`], such as `ndcg@10`) turn each query's ranking into a number;
//!    [`metrics::evaluate`] does so for all of a run. Values equal trec_eval's.
//! 4. **Statistics** ([`statistics`]) say how far a mean can be trusted, and [`compare()`] whether one system is better
//!    than another.
//! 5. **Reports**: [`EvalResult`] and [`Report`] are files, [`mteb`] writes those of another harness; [`Table`], [`chart`] and [`html`] show them to people.
//!
//! ```
//! use revela_eval::metrics::{EvaluationOptions, Metric, evaluate};
//! use revela_eval::statistics::Resampling;
//! use revela_eval::{Hit, Qrels, Run};
//!
//! let mut qrels = Qrels::new();
//! qrels.insert("q1", "doc-a", 1)?;
//! qrels.insert("q2", "doc-b", 2)?;
//! let mut run = Run::new();
//! run.insert("q1", vec![Hit::new("doc-a", 0.9), Hit::new("doc-b", 0.8)])?;
//! run.insert("q2", vec![Hit::new("doc-a", 0.7), Hit::new("doc-b", 0.6)])?;
//! let found = evaluate(&qrels, &run, &["mrr@10".parse()?], &EvaluationOptions::default())?;
//! assert_eq!(found.means()[&Metric::MRR_10], 0.75);
//! let interval = found.intervals(&Resampling::default())?[&Metric::MRR_10];
//! assert_eq!((interval.low, interval.high), (0.5, 1.0));
//! # Ok::<(), revela_eval::EvalError>(())
//! ```

pub mod catalog;
pub mod chart;
mod compare;
pub mod dataset;
mod error;
mod exclusions;
pub mod html;
pub mod metrics;
pub mod mteb;
mod qrels;
mod report;
mod result;
mod run;
mod runfile;
pub mod statistics;
mod table;

pub use compare::{
    CompareOptions, Comparison, PValue, Pairs, QuerySets, compare, comparison_table, query_scatter,
};
pub use error::EvalError;
pub use exclusions::{Exclusions, SelfMatches};
pub use qrels::{Grade, Qrels};
pub use report::{DatasetSummary, Report};
pub use result::{EvalResult, QueryCounts};
pub use run::{Hit, Run};
pub use table::{Best, Cell, Column, Table};
