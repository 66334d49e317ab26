//! Groups of a chunk and its neighbours, in which every chunk is used about equally often.

use rand::seq::SliceRandom;
use rayon::prelude::*;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;

use super::sketch::Sketch;
use super::{ChunkView, Grouping, Groups};
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

/// Estimated Jaccard similarity from which on two chunks are the same to us.
const NEAR_DUPLICATE: f32 = 0.8;

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
) -> Result<Groups, Error> {
    let sketches: Vec<Sketch> = chunks.par_iter().map(|chunk| Sketch::of(chunk.text)).collect();
    let mut assignment =
        Assignment { group_size: grouping.group_size, sketches, uses: vec![0; chunks.len()], limit: 0 };
    let total = (chunks.len() * grouping.passes) as u64;
    let task = progress.task("group", "chunks", Some(total));
    let candidates = CANDIDATES_PER_PLACE * grouping.group_size;
    let mut groups = Vec::new();
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
            let found: Vec<Vec<u32>> = block
                .par_iter()
                .map(|&seed| neighbours.neighbours(seed, candidates))
                .collect::<Result<_, _>>()?;
            for (seed, found) in block.into_iter().zip(found) {
                if assignment.is_due(seed) {
                    let (group, new) = assignment.group(seed, &found, &mut filler);
                    task.advance(new);
                    groups.push(group);
                }
            }
        }
    }
    Ok(groups)
}

struct Assignment {
    group_size: usize,
    sketches: Vec<Sketch>,
    uses: Vec<u32>,
    /// How often a chunk should have been used after this pass.
    limit: u32,
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
    /// already, but no more; then whatever is due. Returns how many were due, too.
    fn group(&mut self, seed: u32, neighbours: &[u32], filler: &mut Filler) -> (Vec<u32>, u64) {
        let mut group = vec![seed];
        for allowed in [self.limit, self.limit + 1] {
            for &chunk in neighbours {
                if group.len() < self.group_size && self.uses(chunk) < allowed && self.is_new(&group, chunk) {
                    group.push(chunk);
                }
            }
        }
        self.fill(&mut group, filler);
        let due = group.iter().filter(|&&chunk| self.is_due(chunk)).count() as u64;
        for &chunk in &group {
            if let Some(uses) = self.uses.get_mut(chunk as usize) {
                *uses += 1;
            }
        }
        (group, due)
    }

    /// Whether a chunk is neither in a group nor nearly the same as one that is.
    fn is_new(&self, group: &[u32], chunk: u32) -> bool {
        let Some(sketch) = self.sketches.get(chunk as usize) else { return false };
        group.iter().all(|&other| {
            let alike = self.sketches.get(other as usize).map_or(0.0, |other| other.similarity(sketch));
            other != chunk && alike < NEAR_DUPLICATE
        })
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
