//! A collection to choose by, made of raw text alone: what held-out chunks ask, and the chunks.
//!
//! Every other question is asked of the chunk without it, as one who does not know the words of what is searched;
//! the others are asked by some of their words of the chunk as it is. A retriever that gains by the first alone may
//! have learnt to look past what real passages say of themselves (docs/experiments.md).

use std::path::Path;

use anyhow::{Result, bail};
use revela_base::seed::Seed;
use revela_text::Chunk;
use revela_text::reader::{ChunkText, Reader, ReaderConfig, keywords, reader};

use super::file::HeldOutShare;
use crate::test_collection::{self, Judged};

/// The split's name.
pub(super) const SPLIT: &str = "held-out";

/// Fewer queries than this choose by chance.
const LEAST_QUERIES: usize = 30;

/// Whether a document is held out, which its name and the seed decide.
pub(super) fn is_held_out(document: &str, share: f64, seed: Seed) -> bool {
    let number = seed.derive("held out").derive(document).0;
    (number as f64 / u64::MAX as f64) < share
}

/// Writes the collection: held-out chunks ask, all chunks can be found.
pub(super) fn write(
    dir: &Path,
    held_out: Vec<Chunk>,
    others: Vec<Chunk>,
    size: HeldOutShare,
    seed: Seed,
) -> Result<()> {
    let order = |chunks: &mut Vec<Chunk>| {
        chunks.sort_by_cached_key(|chunk| (seed.derive(&chunk.id.to_string()).0, chunk.id.clone()));
    };
    let (mut held_out, mut others) = (held_out, others);
    order(&mut held_out);
    order(&mut others);
    let mut passages = Vec::new();
    let mut queries = 0;
    for chunk in held_out {
        let found = (queries < size.queries)
            .then(|| reader(&ChunkText::from(&chunk), &ReaderConfig::default()))
            .flatten();
        queries += usize::from(found.is_some());
        let (query, text) = match found {
            Some(Reader { query, rest, .. }) if queries % 2 == 1 => (Some(query), rest),
            Some(Reader { query, .. }) => {
                (Some(keywords(&query, seed.derive(&chunk.id.to_string()))), chunk.text)
            }
            None => (None, chunk.text),
        };
        passages.push(Judged { id: chunk.id.to_string(), text, query });
    }
    if queries < LEAST_QUERIES {
        bail!(
            "the held-out documents ask only {queries} questions; at least {LEAST_QUERIES} choose anything: give \
               more text, or documents with titles, headings, doc comments or sentences"
        );
    }
    // Those that ask come first, so that they are never left out for want of room.
    passages.sort_by_key(|passage| passage.query.is_none());
    let rest = others.into_iter().map(|c| Judged { id: c.id.to_string(), text: c.text, query: None });
    passages.extend(rest);
    passages.truncate(size.passages);
    test_collection::write(
        dir,
        SPLIT,
        "held-out chunks",
        "what a chunk asks -> the chunk without it; some words of that -> the chunk",
        &passages,
    )?;
    Ok(())
}
