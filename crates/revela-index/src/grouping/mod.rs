//! Which chunks train together.
//!
//! Revela's objective compares the chunks of one training group with each other, so what a group is made
//! of decides which similarity is learnt. A [`Policy`] makes the groups; the seed fixes them, whatever the
//! number of threads. In each pass over the corpus every chunk comes up at least once; the policies that
//! only reorder use each exactly once, except for a few that fill up the last group, and [`Policy::Bm25`]
//! uses some twice rather than group what has nothing in common.

mod bm25;
mod neighbours;
mod order;

use rand::seq::SliceRandom;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_base::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::bm25::Analyser;
use crate::error::Error;
use crate::vectors::Rows;

pub use neighbours::{DenseNeighbours, Neighbours};

/// One chunk, as far as grouping looks at it.
#[derive(Debug, Clone, Copy)]
pub struct ChunkView<'a> {
    /// Number of the document that it was cut from. The chunks of a document stand together, in order.
    pub document: u32,
    /// Its text; only [`Policy::Bm25`] and the search for copies look at it.
    pub text: &'a str,
}

/// How groups are made up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "policy")]
pub enum Policy {
    /// Chunks from anywhere.
    Random,
    /// Neighbouring chunks of one document; where documents are shorter than a group or end within one,
    /// it goes on with another document.
    Document,
    /// Runs of neighbouring chunks from several documents.
    Mixed {
        /// How many documents; the group size is a multiple of it.
        documents: usize,
    },
    /// A chunk and its BM25 neighbours, without copies.
    Bm25 {
        /// How chunks are split into terms.
        analyser: Analyser,
        /// How many of a chunk's most telling terms look for neighbours.
        query_terms: usize,
    },
}

impl Policy {
    /// BM25 neighbours by each chunk's 12 most telling terms.
    pub fn bm25(analyser: Analyser) -> Self {
        Self::Bm25 { analyser, query_terms: 12 }
    }
}

/// How a corpus is grouped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Grouping {
    /// How groups are made up.
    pub policy: Policy,
    /// Chunks in each group, at least 2.
    pub group_size: usize,
    /// How often the corpus is gone through, each time in another way.
    pub passes: usize,
    /// Fixes everything.
    pub seed: Seed,
    /// A neighbour that shares this much or more of its runs of three words with a chunk of the group is a copy
    /// of it and passed over: the share of those of the one that has fewer, above 0 and at most 1. Where not
    /// given, copies are welcome.
    #[serde(default)]
    pub copies: Option<f32>,
}

/// Half of what one chunk says is in the other: the usual bound of [`Grouping::copies`].
pub const COPY: f32 = 0.5;

/// Numbers of the chunks of each group, in the order in which groups should be trained on.
pub type Groups = Vec<Vec<u32>>;

/// Groups, and how they came about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grouped {
    /// The groups.
    pub groups: Groups,
    /// Neighbours that were passed over as copies.
    pub copies: u64,
    /// Places that no neighbour filled, which went to other chunks.
    pub unrelated: u64,
}

impl Grouping {
    /// Groups a corpus. No chunk is twice in one group.
    ///
    /// # Errors
    /// [`Error::Option`] for a group size below 2, no passes, or a corpus too small to fill a group;
    /// [`Error::Interrupted`].
    pub fn group(
        &self,
        chunks: &[ChunkView<'_>],
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Grouped, Error> {
        self.check(chunks)?;
        match self.policy {
            Policy::Bm25 { analyser, query_terms } => {
                let index = bm25::Bm25Neighbours::build(chunks, analyser, query_terms, progress, interrupt)?;
                self.group_by(chunks, &index, progress, interrupt)
            }
            _ => Ok(Grouped { groups: self.reorder(chunks, interrupt)?, ..Grouped::default() }),
        }
    }

    /// Groups each chunk with neighbours of any kind, such as a retriever's own ([`DenseNeighbours`]);
    /// the policy is not looked at.
    ///
    /// # Errors
    /// As [`group`](Self::group), and the neighbours' own.
    pub fn group_by(
        &self,
        chunks: &[ChunkView<'_>],
        neighbours: &dyn Neighbours,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Grouped, Error> {
        self.check(chunks)?;
        let mut made = neighbours::assign(self, chunks, neighbours, progress, interrupt)?;
        made.groups.shuffle(&mut self.seed.stream("order of groups"));
        Ok(made)
    }

    fn reorder(&self, chunks: &[ChunkView<'_>], interrupt: &Interrupt) -> Result<Groups, Error> {
        let mut groups = Vec::new();
        for pass in 0..self.passes {
            interrupt.check()?;
            let mut stream = self.seed.derive("pass").stream(&pass.to_string());
            let order = match self.policy {
                Policy::Document => order::documents(chunks, &mut stream),
                Policy::Mixed { documents } => {
                    order::runs(chunks, self.group_size / documents, documents, &mut stream)
                }
                Policy::Random | Policy::Bm25 { .. } => order::random(chunks, &mut stream),
            };
            let mut pass = order::cut(&order, self.group_size);
            pass.shuffle(&mut stream);
            groups.append(&mut pass);
        }
        Ok(groups)
    }

    fn check(&self, chunks: &[ChunkView<'_>]) -> Result<(), Error> {
        let wrong =
            |option, value: usize, rule| Err(Error::Option { option, value: value.to_string(), rule });
        if self.group_size < 2 {
            return wrong("group_size", self.group_size, "a group needs at least 2 chunks to compare");
        }
        if self.passes == 0 {
            return wrong("passes", 0, "the corpus is gone through at least once");
        }
        if u32::try_from(chunks.len()).is_err() {
            return wrong("chunks", chunks.len(), "at most 2^32 - 1 can be grouped; use a part");
        }
        if chunks.len() < self.group_size {
            return wrong(
                "chunks",
                chunks.len(),
                "the corpus is smaller than one group; add text or use smaller groups or chunks",
            );
        }
        if self.copies.is_some_and(|bound| !(bound > 0.0 && bound <= 1.0)) {
            let value = self.copies.unwrap_or_default().to_string();
            let rule = "a share of what two chunks say is above 0 and at most 1";
            return Err(Error::Option { option: "copies", value, rule });
        }
        if let Policy::Mixed { documents } = self.policy {
            if documents == 0 || !self.group_size.is_multiple_of(documents) {
                return wrong("documents", documents, "the group size must be a multiple of it");
            }
            if order::count_documents(chunks) < documents {
                return wrong("documents", documents, "the corpus has fewer documents");
            }
        }
        if let Policy::Bm25 { query_terms: 0, .. } = self.policy {
            return wrong("query_terms", 0, "neighbours are looked for by at least one term");
        }
        Ok(())
    }
}

impl<'a> DenseNeighbours<'a> {
    /// The rows with the largest dot products, one row per chunk.
    pub fn new(rows: Rows<'a>) -> Self {
        Self { rows }
    }
}

#[cfg(test)]
mod tests;
