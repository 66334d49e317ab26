//! What every Revela crate shares, and nothing else.
//!
//! | module | what you get |
//! | --- | --- |
//! | [`mod@file`] | atomic writes, directory locks, and the one error type for files |
//! | [`checksum`] | BLAKE3 checksums and fingerprints |
//! | [`mod@compressed`] | files read as they are, or unpacked |
//! | [`text_lines`] | text files line by line, with the line in every error |
//! | [`record`] | documents, queries and payloads as they stand in JSON lines |
//! | [`artifact`] | directories with a manifest that names a format, a version and every file's checksum |
//! | [`lines`] | JSON-lines files with a header record, and a trailer that proves they are whole |
//! | [`sealed`] | single JSON documents that name their format and prove that they are whole |
//! | [`causes`] | an error and its causes as one line |
//! | [`progress`] | how libraries report long work without printing |
//! | [`embed`] | the contract between encoders and indexes: texts in, rows of numbers out |
//! | [`rerank`] | the same for rerankers: pairs of texts in, a score each out |
//! | [`interrupt`] | how a program asks long work to stop at the next safe point |
//! | [`seed`] | one seed, split by name into independent random streams |
//! | [`shingles`] | how much two texts have in common |
//!
//! Nothing here prints, and nothing here panics on data.

pub mod artifact;
pub mod causes;
pub mod checksum;
pub mod compressed;
mod destination;
pub mod embed;
pub mod file;
pub mod interrupt;
pub mod lines;
pub mod progress;
pub mod record;
pub mod rerank;
pub mod sealed;
pub mod seed;
pub mod shingles;
pub mod text_lines;
