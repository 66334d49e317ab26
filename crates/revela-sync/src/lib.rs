//! Keeps a collection true to a folder of code, notes or documents.
//!
//! ```
//! use revela_base::{interrupt::Interrupt, progress::Silent};
//! use revela_index::{Collection, Query, Searcher};
//! use revela_sync::{Folder, FolderSync};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! # std::fs::write(root.path().join("notes.md"), "# Lease\n\nThe lease is renewed every minute by its holder.")?;
//! let mut sync = FolderSync::new(Folder::new(root.path()), None);
//! let report = sync.sync(&Silent, &Interrupt::new())?;
//! assert_eq!(report.files.added, 1);
//!
//! let searcher = Searcher::new(Collection::open(sync.collection())?);
//! let hits = searcher.search(&Query::text("who renews the lease"))?;
//! assert_eq!(hits[0].payload["path"], "notes.md");
//! # Ok(())
//! # }
//! ```
//!
//! # What holds at any moment
//!
//! The collection is the truth: its passages are `PATH#0`, `PATH#1`, ... for every file, each with a payload that says
//! where it stands. Beside its shards lie two files that only save work: `sync.jsonl` says what each file was when it
//! was last read, and `sync.log` what has happened since. Before the collection is changed, the log names the files that
//! are about to change; so whoever comes after a kill knows of which files nothing is known, looks at those, and compares
//! what it finds with what the collection holds. Where both files are lost, or somebody else has changed the collection,
//! that is true of all files.
//!
//! A file of the same size, times and inode is not read; one with the same content is not cut; a chunk with the same text
//! is not embedded again, wherever its file was moved.

mod change;
mod config;
mod convert;
mod cut;
mod error;
mod examine;
mod feed;
mod form;
mod join;
mod log;
mod pass;
mod record;
mod report;
mod reuse;
mod scan;
mod stat;
mod store;
mod survey;
pub mod watch;

pub use config::{Folder, Settings, default_collection, folder_of};
pub use error::SyncError;
pub use pass::FolderSync;
pub use record::Reason;
pub use report::{Chunks, Files, LeftOut, Report};
pub use survey::{Survey, survey};
