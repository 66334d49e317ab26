//! The two collections that training never sees: one decides which checkpoint is kept, the other is what the
//! report measures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use revela_base::progress::Progress;
use revela_base::seed::Seed;
use revela_text::{
    Chunk, Chunker, ChunkerConfig, CodeSearchBuilder, CodeSearchConfig, Document, Format, TextError,
    split_groups,
};

use super::cloze;
use super::corpus::{Amount, Corpus};
use crate::Context;
use crate::test_collection::{self, Judged};

/// Share of the parts that are held out.
const HELD_OUT: f64 = 0.15;

/// Share of the held-out parts whose queries choose the checkpoint.
const DEV: f64 = 0.3;

/// Fewer queries than this say nothing.
const LEAST_QUERIES: usize = 50;

/// Which parts of the corpus are for what.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) train: BTreeSet<String>,
    pub(crate) dev: BTreeSet<String>,
    pub(crate) test: BTreeSet<String>,
}

impl Split {
    pub(crate) fn draw(corpus: &Corpus, seed: Seed) -> Result<Self> {
        let (train, held_out) = split_groups(corpus.parts(), seed.derive("held out"), HELD_OUT)?;
        let (test, dev) = split_groups(held_out.iter().map(String::as_str), seed.derive("dev"), DEV)?;
        Ok(Self { train, dev, test })
    }
}

/// Size of a collection, at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) queries: usize,
    pub(crate) passages: usize,
}

/// The split that chooses the checkpoint; its collection's folder has the same name.
pub(crate) const DEV_SPLIT: &str = "dev";
/// The split that is measured.
pub(crate) const TEST_SPLIT: &str = "test";

/// Where the collection of a split is.
pub(crate) fn dir(out: &Path, split: &str) -> PathBuf {
    out.join("held-out").join(split)
}

/// Writes a collection from some parts of the corpus: code search where these hold documented functions, the
/// cloze task where they hold prose.
pub(crate) fn write(
    (dir, split): (&Path, &str),
    corpus: &Corpus,
    parts: &BTreeSet<String>,
    size: Size,
    seed: Seed,
    context: &Context,
) -> Result<()> {
    let config = CodeSearchConfig {
        queries: size.queries,
        functions: size.passages,
        per_group: if corpus.parts_are_folders() { CodeSearchConfig::default().per_group } else { 1.0 },
        ..CodeSearchConfig::default()
    };
    let mut functions = CodeSearchBuilder::new(config, seed)?;
    let chunker = Chunker::new(ChunkerConfig::default(), None)?;
    let mut prose: Vec<Chunk> = Vec::new();
    let task = context.progress.task("held-out documents", "documents", None);
    let amount = Amount { of_part: 4 << 20, in_all: 64 << 20 };
    corpus.visit(parts, amount, seed, context, |document: Document| {
        task.advance(1);
        let bytes = document.text.len();
        match document.format {
            Format::Code(_) => functions.push(&document),
            _ => prose.extend(chunker.chunk(&document)),
        }
        Ok(bytes)
    })?;
    drop(task);
    let code = match functions.finish() {
        Ok(found) => test_collection::of_code(found),
        // A corpus of prose.
        Err(TextError::NoQueries { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let prose = cloze::passages(prose, size.passages, size.queries, seed);
    let (kind, passages) = better(code, prose);
    if test_collection::queries(&passages) < LEAST_QUERIES {
        bail!(
            "the held-out part of the corpus gives only {} queries: it needs more functions with doc comments, \
             or more prose",
            test_collection::queries(&passages)
        );
    }
    test_collection::write(dir, split, "held-out part of the corpus", kind, &passages)?;
    Ok(())
}

/// Code wins where it is enough.
fn better(code: Vec<Judged>, prose: Vec<Judged>) -> (&'static str, Vec<Judged>) {
    let (of_code, of_prose) = (test_collection::queries(&code), test_collection::queries(&prose));
    if of_code >= LEAST_QUERIES.max(of_prose / 4) {
        ("first sentence of a function's doc comment -> the function without it", code)
    } else {
        ("first sentence of a passage -> the passage without it", prose)
    }
}
