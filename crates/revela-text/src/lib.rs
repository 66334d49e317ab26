//! Text in: documents, chunks, training groups, and code-search tests.
mod block;
mod chunk;
mod chunk_file;
mod code_search;
mod doc;
mod doc_query;
mod document;
mod error;
mod function;
mod group;
mod language;
mod outline;
mod quality;
pub mod reader;
mod sizer;
mod source;
mod split;
mod syntax;

pub use chunk::{Chunker, ChunkerConfig, Small, Unit};
pub use chunk_file::{ChunkReader, ChunkWriter, ChunksHeader, Quality};
pub use code_search::{
    CodeFunction, CodeQuery, CodeSearch, CodeSearchBuilder, CodeSearchConfig, LeftOut, TestCode,
};
pub use doc::first_sentence;
pub use document::{Chunk, ChunkId, Document};
pub use error::TextError;
pub use function::{Function, Role, detect_format, functions};
pub use group::{ChunkGroup, GroupChunk, GroupFile, GroupReader, GroupWriter, GroupsHeader};
pub use language::{Format, Language};
pub use outline::Outline;
pub use quality::{Amount, Cleaned, Cleaner, QualityConfig, QualityReport, Reason};
pub use sizer::{Sizer, Words};
pub use source::{
    Bad, BadInput, Counts, Documents, Ignored, Links, NoDocument, Skipped, SourceConfig, SourceKind,
    document_of, is_notebook, longest_file,
};
pub use split::{family, split_groups, top_level};
