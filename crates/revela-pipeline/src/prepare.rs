//! From raw text to chunks, and from chunks to training groups.

use std::path::Path;

use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_index::Error as IndexError;
use revela_index::grouping::{ChunkView, Grouping, Policy};
use revela_model::tokenizer::TextTokenizer;
use revela_text::{
    ChunkGroup, ChunkReader, ChunkWriter, Chunker, Cleaner, Documents, GroupChunk, GroupWriter, GroupsHeader,
    QualityConfig, QualityReport, Sizer, SourceConfig,
};

use crate::error::{PipelineError, Result};

/// A chunk file that was written.
#[derive(Debug)]
pub struct Chunked {
    /// How many chunks it holds.
    pub chunks: u64,
    /// What could not be read or was not text, in a sentence; empty where everything was read.
    pub unread: String,
    /// What was left out as not worth learning from, reason by reason.
    pub left_out: Vec<String>,
}

/// A group file that was written.
#[derive(Debug)]
pub struct GroupsWritten {
    /// How many groups it holds.
    pub groups: u64,
    /// Neighbours that were passed over as copies.
    pub copies: u64,
    /// Places that no neighbour filled.
    pub unrelated: u64,
    /// What was left out as not worth learning from, reason by reason; nothing where the chunks were clean already.
    pub left_out: Vec<String>,
}

/// Counts a tokenizer's tokens.
#[derive(Debug)]
pub struct TokenSizer(pub TextTokenizer);

impl Sizer for TokenSizer {
    fn size(&self, text: &str) -> usize {
        // A text that cannot be encoded counts as long, so that it is cut rather than kept whole.
        self.0.encode_bare(text).map_or(usize::MAX, |ids| ids.len())
    }
}

/// Cuts a corpus into a chunk file, leaving out what is not worth learning from.
///
/// # Errors
/// What cannot be read or written, [`PipelineError::NothingLeft`], and an interruption.
pub fn chunk(
    source: SourceConfig,
    chunker: &Chunker<'_>,
    quality: QualityConfig,
    out: &Path,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Chunked> {
    let mut cleaner = Cleaner::new(quality)?;
    let mut documents = Documents::open(source)?;
    let mut writer = ChunkWriter::create(out, *chunker.config())?;
    let task = progress.task("chunking", "documents", None);
    for document in documents.by_ref() {
        interrupt.check()?;
        for chunk in cleaner.chunks(&document?, chunker) {
            writer.push(&chunk)?;
        }
        task.advance(1);
    }
    drop(task);
    let cleaned = cleaner.finish();
    let left_out = left_out(cleaned.report())?;
    let unread = documents.counts().left_out();
    let chunks = writer.finish_cleaned(vec![documents.summary()], &cleaned)?;
    Ok(Chunked { chunks, unread, left_out })
}

/// What was left out, reason by reason.
///
/// # Errors
/// [`PipelineError::NothingLeft`] when that was all.
pub fn left_out(report: &QualityReport) -> Result<Vec<String>> {
    let lines = report.lines();
    if report.kept.chunks == 0 && !lines.is_empty() {
        return Err(PipelineError::NothingLeft { lines });
    }
    Ok(lines)
}

/// Groups a chunk file into a group file.
///
/// # Errors
/// What cannot be read or written, [`PipelineError::NothingLeft`], and an interruption.
pub fn group(
    chunks: &Path,
    out: &Path,
    grouping: &Grouping,
    quality: QualityConfig,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<GroupsWritten> {
    let mut settings = serde_json::to_value(grouping)?;
    if let Some(settings) = settings.as_object_mut() {
        settings.insert("quality".into(), serde_json::to_value(&quality)?);
    }
    let reader = ChunkReader::open(chunks)?;
    let chunker = reader.header().chunker;
    let (texts, left_out) = read_chunks(reader, quality, progress, interrupt)?;
    let grouped = match grouping.group(&chunk_views(&texts), progress, interrupt) {
        // Too little may remain because of what was left out.
        Err(source @ IndexError::Option { .. }) if !left_out.is_empty() => {
            return Err(PipelineError::Ungrouped { source, lines: left_out });
        }
        grouped => grouped?,
    };
    let header = GroupsHeader {
        policy: policy_name(grouping.policy).to_owned(),
        settings,
        seed: grouping.seed,
        group_size: grouping.group_size,
        chunker,
        sources: Vec::new(),
    };
    let mut writer = GroupWriter::create(out, header)?;
    for group in grouped.groups {
        interrupt.check()?;
        let chunks = group.into_iter().filter_map(|at| texts.get(at as usize).cloned()).collect();
        writer.push(&ChunkGroup { chunks })?;
    }
    let (copies, unrelated) = (grouped.copies, grouped.unrelated);
    Ok(GroupsWritten { groups: writer.finish()?, copies, unrelated, left_out })
}

/// The chunks of a file that are worth learning from, and what was left out; all of them where the file was made
/// with the same settings.
fn read_chunks(
    reader: ChunkReader,
    quality: QualityConfig,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(Vec<GroupChunk>, Vec<String>)> {
    let is_clean = reader.header().quality.as_ref().is_some_and(|found| found.config == quality);
    let mut cleaner = (!is_clean).then(|| Cleaner::new(quality)).transpose()?;
    let mut texts = Vec::new();
    let task = progress.task("reading chunks", "chunks", None);
    for chunk in reader {
        interrupt.check()?;
        let chunk = chunk?;
        if cleaner.as_mut().is_none_or(|cleaner| cleaner.keeps(&chunk)) {
            texts.push(GroupChunk::from(chunk));
        }
        task.advance(1);
    }
    drop(task);
    let Some(cleaned) = cleaner.map(Cleaner::finish) else { return Ok((texts, Vec::new())) };
    let mut number = 0..;
    texts.retain(|_| number.next().is_some_and(|number| cleaned.keeps(number)));
    Ok((texts, left_out(cleaned.report())?))
}

/// Chunks as grouping sees them; documents are numbered in order of appearance.
fn chunk_views(chunks: &[GroupChunk]) -> Vec<ChunkView<'_>> {
    let mut document = 0;
    let mut last: Option<&str> = None;
    chunks
        .iter()
        .map(|chunk| {
            if last.is_some_and(|last| last != chunk.id.document) {
                document += 1;
            }
            last = Some(&chunk.id.document);
            ChunkView { document, text: &chunk.text }
        })
        .collect()
}

fn policy_name(policy: Policy) -> &'static str {
    match policy {
        Policy::Random => "random",
        Policy::Document => "document",
        Policy::Mixed { .. } => "mixed",
        Policy::Bm25 { .. } => "bm25",
    }
}
