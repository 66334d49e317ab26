//! Building a graph with hnsw_rs, which enters the project here and nowhere else.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hnsw_rs::prelude::{Distance, Hnsw};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use serde::{Deserialize, Serialize};

use super::graph::Graph;
use super::pool::MOST_NODES;
use super::refine;
use crate::codes::CodesView;
use crate::error::Error;
use crate::recall::Recall;

/// Points that are inserted one after the other, whatever the order: the first ones find little to link to,
/// and threads that insert them at once would find even less.
const SERIAL_START: usize = 100;

/// Points between two looks at the interrupt.
const BLOCK: usize = 4096;

/// Levels that hnsw_rs makes at most.
pub(super) const MOST_LEVELS: usize = 16;

/// How points are inserted into a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InsertOrder {
    /// By all threads at once: fast, and a slightly different graph every time.
    #[default]
    Parallel,
    /// One after the other: the same input always gives the same graph.
    Serial,
}

/// Options of graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GraphOptions {
    /// M of the HNSW paper: neighbours per node above the lowest level, where there are up to three times
    /// as many. 4 to 64.
    pub m: u32,
    /// Nodes that an insertion looks at; more make a better graph and take longer. `m` to 2,000.
    pub ef_construction: u32,
    /// How points are inserted.
    pub order: InsertOrder,
    /// The recall of the 10 nearest that walks with 40 candidates should have; a graph is improved while it has less, as long as
    /// that helps. 0 improves none.
    #[serde(default = "usual_recall")]
    pub recall: Recall,
}

fn usual_recall() -> Recall {
    Recall::USUAL
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self { m: 16, ef_construction: 100, order: InsertOrder::Parallel, recall: Recall::USUAL }
    }
}

impl GraphOptions {
    /// Checks that a graph can be built so.
    ///
    /// # Errors
    /// [`Error::Option`].
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |option, value: u32, rule| Err(Error::Option { option, value: value.to_string(), rule });
        if !(4..=64).contains(&self.m) {
            return wrong("m", self.m, "it must be 4 to 64");
        }
        if !(self.m..=2000).contains(&self.ef_construction) {
            return wrong("ef_construction", self.ef_construction, "it must be m to 2000");
        }
        Ok(())
    }

    /// Nodes that an insertion looks at. The candidates come from the searches after it, so this need not
    /// be more than what makes a graph that can be searched.
    fn first_ef(&self) -> usize {
        (self.ef_construction / 4).max(self.m) as usize
    }

    /// Slots for neighbours on the lowest level.
    pub(super) fn slots(&self) -> u32 {
        3 * self.m
    }
}

/// Points are row numbers; their distance is looked up among the codes, so that no vector is copied.
#[derive(Clone, Copy)]
pub(super) struct RowDistance<'a> {
    pub(super) codes: CodesView<'a>,
    /// At least any dot product, so that distances are not negative.
    largest: f32,
}

impl<'a> RowDistance<'a> {
    fn of(codes: CodesView<'a>) -> Self {
        Self { codes, largest: codes.longest() * codes.longest() }
    }

    pub(super) fn between(&self, a: u32, b: u32) -> f32 {
        (self.largest - self.codes.dot(a, b)).max(0.0)
    }
}

impl Distance<u32> for RowDistance<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        match (a.first(), b.first()) {
            (Some(&a), Some(&b)) => self.between(a, b),
            _ => f32::MAX,
        }
    }
}

/// What hnsw_rs found: for each node its neighbours on each of its levels.
pub(super) struct Inserted {
    pub(super) lists: Vec<Vec<Vec<u32>>>,
    pub(super) entry: u32,
}

/// Builds a graph over coded rows, which are its nodes. `sequence` holds every node once, in the order in
/// which they are inserted; neighbours should not follow each other in it.
///
/// # Errors
/// [`Error::Option`] for impossible options, [`Error::Shape`] for no rows or too many,
/// [`Error::Interrupted`], [`Error::Graph`] when the builder fails.
pub(crate) fn build(
    codes: CodesView<'_>,
    sequence: &[u32],
    options: GraphOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Graph, Error> {
    options.check()?;
    if !(1..=MOST_NODES as usize).contains(&codes.len()) || sequence.len() != codes.len() {
        let (rows, inserted) = (codes.len(), sequence.len());
        let detail = format!("{rows} rows, of which {inserted} are inserted; a graph has 1 to {MOST_NODES}");
        return Err(Error::Shape { what: "a graph".to_owned(), detail });
    }
    let distance = RowDistance::of(codes);
    // hnsw_rs ends a thread where it finds its own state impossible; that must not end the caller's.
    let inserted =
        catch_unwind(AssertUnwindSafe(|| insert(distance, sequence, options, progress, interrupt)));
    let inserted = inserted.unwrap_or_else(|_| Err(Error::Graph("inserting a vector failed".to_owned())))?;
    refine::refine(inserted, distance, options, progress, interrupt)
}

/// Improves a graph over coded rows by looking for `ef` candidates for each node.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) fn improve(
    graph: &mut Graph,
    codes: CodesView<'_>,
    ef: usize,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    refine::again(graph, RowDistance::of(codes), ef, progress, interrupt)
}

fn insert(
    distance: RowDistance<'_>,
    sequence: &[u32],
    options: GraphOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Inserted, Error> {
    let count = sequence.len();
    let task = progress.task("graph", "vectors", Some(count as u64));
    let (m, ef) = (options.m as usize, options.first_ef());
    let graph = Hnsw::<u32, _>::new(m, count, MOST_LEVELS, ef, distance);
    let (first, rest) = sequence.split_at(SERIAL_START.min(count));
    let point = |row: &u32| *row as usize;
    first.iter().for_each(|row| graph.insert_slice((std::slice::from_ref(row), point(row))));
    task.advance(first.len() as u64);
    for block in rest.chunks(BLOCK) {
        interrupt.check()?;
        let points = block.iter().map(|row| (std::slice::from_ref(row), point(row)));
        match options.order {
            InsertOrder::Parallel => graph.parallel_insert_slice(&points.collect()),
            InsertOrder::Serial => points.for_each(|point| graph.insert_slice(point)),
        }
        task.advance(block.len() as u64);
    }
    export(&graph, count)
}

/// Copies the lists out. Lists of levels above a node's own, which hnsw_rs keeps too, are left out.
fn export(graph: &Hnsw<'_, u32, RowDistance<'_>>, count: usize) -> Result<Inserted, Error> {
    let points = graph.get_point_indexation();
    let mut lists = vec![Vec::new(); count];
    for point in points {
        let levels = usize::from(point.get_point_id().0) + 1;
        let neighbours = point.get_neighborhood_id().into_iter().take(levels);
        let nodes = neighbours.map(|list| list.iter().map(|to| to.d_id as u32).collect());
        if let Some(lists) = lists.get_mut(point.get_origin_id()) {
            *lists = nodes.collect();
        }
    }
    let top = usize::from(points.get_max_level_observed());
    let entry = points.get_layer_iterator(top).next().map(|point| point.get_origin_id() as u32);
    match entry {
        Some(entry) if lists.iter().all(|levels| !levels.is_empty()) => Ok(Inserted { lists, entry }),
        _ => Err(Error::Graph("the builder has lost a vector".to_owned())),
    }
}

#[cfg(test)]
pub(super) mod tests;
