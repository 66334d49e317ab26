//! Groups of a chunk and its neighbours, in which every chunk is used about equally often.

use rand::seq::SliceRandom;
use rayon::prelude::*;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_base::shingles::Shingles;

use super::{ChunkView, Grouped, Grouping};
use crate::error::Error;
use crate::flat;
use crate::vectors::Rows;

/// Says which chunks are near to a chunk.
pub trait Neighbours: Sync {
    /// Up to `limit` chunks, nearest first. The chunk itself may be among them.
    ///
    /// # Errors
    /// Whatever stands in the way of looking.
    fn neighbours(&self, chunk: u32, limit: usize) -> Result<Vec<u32>, Error>;
}

/// Neighbours by the similarity of vectors, found by exact search.
#[derive(Debug, Clone, Copy)]
pub struct DenseNeighbours<'a> {
    pub(super) rows: Rows<'a>,
}

impl Neighbours for DenseNeighbours<'_> {
    fn neighbours(&self, chunk: u32, limit: usize) -> Result<Vec<u32>, Error> {
        let Some(row) = self.rows.get(chunk as usize) else { return Ok(Vec::new()) };
        let query = Rows::new("a chunk", self.rows.dim(), row)?;
        let found = flat::search(self.rows, query, limit, &|_| true)?.pop().unwrap_or_default();
        Ok(found.into_iter().map(|hit| hit.id).collect())
    }
}

/// Neighbours that are looked at for each place in a group.
const CANDIDATES_PER_PLACE: usize = 6;

/// Seeds whose neighbours are looked for in parallel before groups are made of them in order. Fixed, so
/// that the groups don't depend on the number of threads.
const BLOCK: usize = 256;

/// Makes groups until every chunk was used in every pass.
pub(super) fn assign(
    grouping: &Grouping,
    chunks: &[ChunkView<'_>],
    neighbours: &dyn Neighbours,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Grouped, Error> {
    let mut assignment = Assignment {
        group_size: grouping.group_size,
        copies: grouping.copies,
        uses: vec![0; chunks.len()],
        limit: 0,
        made: Grouped::default(),
    };
    let total = (chunks.len() * grouping.passes) as u64;
    let task = progress.task("group", "chunks", Some(total));
    let candidates = CANDIDATES_PER_PLACE * grouping.group_size;
    // Shingles are made block by block, as those of all chunks would take as much memory as their texts.
    let candidate = |chunk: u32| {
        let text = chunks.get(chunk as usize).map_or("", |view| view.text);
        let shingles = if grouping.copies.is_some() { Shingles::of(text) } else { Shingles::default() };
        Candidate { chunk, shingles }
    };
    for pass in 0..grouping.passes {
        assignment.limit = pass as u32 + 1;
        let mut stream = grouping.seed.derive("pass").stream(&pass.to_string());
        let mut seeds: Vec<u32> = (0..chunks.len() as u32).collect();
        seeds.shuffle(&mut stream);
        let mut filler = Filler { order: seeds.clone(), at: 0 };
        let mut waiting = seeds.into_iter().peekable();
        while waiting.peek().is_some() {
            interrupt.check()?;
            let block: Vec<u32> =
                waiting.by_ref().filter(|&seed| assignment.is_due(seed)).take(BLOCK).collect();
            let found: Vec<Vec<Candidate>> = block
                .par_iter()
                .map(|&seed| {
                    Ok(neighbours.neighbours(seed, candidates)?.into_iter().map(candidate).collect())
                })
                .collect::<Result<_, Error>>()?;
            for (seed, found) in block.into_iter().zip(found) {
                if assignment.is_due(seed) {
                    task.advance(assignment.group(candidate(seed), &found, &mut filler));
                }
            }
        }
    }
    Ok(assignment.made)
}

/// A chunk that may come into a group.
struct Candidate {
    chunk: u32,
    /// Empty where copies are welcome.
    shingles: Shingles,
}

struct Assignment {
    group_size: usize,
    copies: Option<f32>,
    uses: Vec<u32>,
    /// How often a chunk should have been used after this pass.
    limit: u32,
    made: Grouped,
}

/// Chunks in random order, for places that no neighbour fills.
struct Filler {
    order: Vec<u32>,
    at: usize,
}

impl Assignment {
    fn uses(&self, chunk: u32) -> u32 {
        self.uses.get(chunk as usize).copied().unwrap_or(u32::MAX)
    }

    /// Whether a chunk was used less often than it should be.
    fn is_due(&self, chunk: u32) -> bool {
        self.uses(chunk) < self.limit
    }

    /// The seed and the nearest of its neighbours that are due; then those that were used once too often
    /// already, but no more; then whatever is due. Returns how many were due.
    fn group(&mut self, seed: Candidate, neighbours: &[Candidate], filler: &mut Filler) -> u64 {
        let mut group = vec![&seed];
        for allowed in [self.limit, self.limit + 1] {
            for candidate in neighbours {
                let has_room = group.len() < self.group_size && self.uses(candidate.chunk) < allowed;
                if has_room && group.iter().all(|other| other.chunk != candidate.chunk) {
                    if self.copies.is_none_or(|bound| is_new(&group, candidate, bound)) {
                        group.push(candidate);
                    } else if allowed == self.limit {
                        self.made.copies += 1;
                    }
                }
            }
        }
        let mut group: Vec<u32> = group.iter().map(|candidate| candidate.chunk).collect();
        self.made.unrelated += (self.group_size - group.len()) as u64;
        self.fill(&mut group, filler);
        let due = group.iter().filter(|&&chunk| self.is_due(chunk)).count() as u64;
        for &chunk in &group {
            if let Some(uses) = self.uses.get_mut(chunk as usize) {
                *uses += 1;
            }
        }
        self.made.groups.push(group);
        due
    }

    /// Fills a group up: with chunks that are due, and when none is left with any others.
    fn fill(&self, group: &mut Vec<u32>, filler: &mut Filler) {
        while group.len() < self.group_size
            && let Some(&chunk) = filler.order.get(filler.at)
        {
            filler.at += 1;
            if self.is_due(chunk) && !group.contains(&chunk) {
                group.push(chunk);
            }
        }
        // The corpus is at least as large as a group, so this ends.
        let missing = self.group_size - group.len();
        let others: Vec<u32> =
            filler.order.iter().copied().filter(|chunk| !group.contains(chunk)).take(missing).collect();
        group.extend(others);
    }
}

/// Whether a chunk shares less than the bound with each of a group.
fn is_new(group: &[&Candidate], candidate: &Candidate, bound: f32) -> bool {
    group.iter().all(|other| other.shingles.containment(&candidate.shingles) < bound)
}
