//! Text in: documents, chunks, and training groups.
mod chunk;
mod chunk_file;
mod document;
mod error;
mod group;
mod language;
mod sizer;
mod source;
mod syntax;

pub use chunk::{Chunker, ChunkerConfig, Small, Unit};
pub use chunk_file::{ChunkReader, ChunkWriter, ChunksHeader};
pub use document::{Chunk, ChunkId, Document};
pub use error::TextError;
pub use group::{ChunkGroup, GroupChunk, GroupFile, GroupReader, GroupWriter, GroupsHeader};
pub use language::{Format, Language};
pub use sizer::{Sizer, Words};
pub use source::{Bad, BadInput, Counts, Documents, Ignored, Links, Skipped, SourceConfig, SourceKind};
