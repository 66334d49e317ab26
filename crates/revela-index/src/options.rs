//! How shards keep their vectors.

use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use serde::{Deserialize, Serialize};

use crate::codes::{Codes, MOST_DIMENSIONS};
use crate::copies::Copies;
use crate::error::Error;
use crate::heads;
use crate::hnsw::{self, Graph, GraphOptions};
use crate::measure::{Live, Sample};
use crate::metric::Metric;
use crate::recall::Recall;
use crate::row_order::RowOrder;
use crate::shard::ShardVectors;
use crate::signs::Signs;
use crate::vectors::{Dtype, Rows};

/// Rows from which on a graph pays: below, a scan of the codes takes about as long as a walk.
const GRAPH_PAYS: usize = 30_000;

/// Hits and candidates of the searches for which a graph is improved.
const AIMED: (usize, usize) = (10, 40);

/// The most often that a graph is improved. A round takes about a third of what building takes, later ones longer.
const MOST_ROUNDS: usize = 4;

/// What a round must leave at most of what was missed before it, for another to follow.
const HELPS: f64 = 0.8;

/// Which shards get a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Structure {
    /// Those with 30,000 rows or more.
    #[default]
    Auto,
    /// None: every search looks at all vectors and is exact.
    Flat,
    /// All.
    Graph,
}

/// What stands beside the full vectors for quick comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Coding {
    /// One byte per number and a scale per vector; the full vectors decide among the best.
    #[default]
    Int8,
    /// Nothing: the full vectors are always compared.
    None,
}

/// How vectors are stored and made quick to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VectorOptions {
    /// Type of the full vectors' numbers.
    pub dtype: Dtype,
    /// What stands beside them.
    pub coding: Coding,
    /// Which shards get a graph.
    pub structure: Structure,
    /// Options of those graphs.
    pub graph: GraphOptions,
}

impl VectorOptions {
    /// Checks that vectors of this length can be kept so.
    pub(crate) fn check(&self, dim: u32) -> Result<(), Error> {
        if dim as usize > MOST_DIMENSIONS {
            let rule = "vectors have at most 65536 numbers";
            return Err(Error::Option { option: "dimension", value: dim.to_string(), rule });
        }
        self.graph.check()
    }

    /// Makes everything that a shard of these rows needs, which are already as the metric wants them.
    pub(crate) fn prepare<'a>(
        &self,
        rows: Rows<'a>,
        metric: Metric,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<ShardVectors<'a>, Error> {
        let with_graph = match self.structure {
            Structure::Auto => rows.len() >= GRAPH_PAYS,
            Structure::Flat => false,
            Structure::Graph => true,
        };
        let mut vectors = ShardVectors::plain(rows, self.dtype);
        let codes = match (with_graph, self.coding) {
            (false, Coding::None) => return Ok(vectors),
            (true, _) | (false, Coding::Int8) => Codes::of(rows),
        };
        match with_graph {
            true => self.add_graph(&mut vectors, codes, metric, progress, interrupt)?,
            false => vectors.codes = Some(codes),
        }
        Ok(vectors)
    }

    /// Adds a graph over the codes, and what walks through it read; measures and improves it.
    fn add_graph(
        &self,
        vectors: &mut ShardVectors<'_>,
        codes: Codes,
        metric: Metric,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        let rows = vectors.rows;
        let mut order = RowOrder::local(codes.view(), progress, interrupt)?;
        let copies = Copies::gather(rows, &mut order);
        let codes = codes.arranged(&order);
        // Signs and beginnings save walks comparisons; a scan needs none.
        match self.coding {
            Coding::Int8 => vectors.signs = Signs::of(rows).map(|signs| signs.arranged(&order)),
            Coding::None => vectors.head_error = self.head_error(rows, metric),
        }
        // The graph's nodes: all places, or those without copies.
        let picked = copies.as_ref().map(|copies| codes.picked(&copies.originals));
        let (nodes, sequence) = match (&copies, &picked) {
            (Some(copies), Some(picked)) => (picked.view(), order.ranks(&copies.originals)),
            _ => (codes.view(), order.inverse()),
        };
        let mut graph = hnsw::build(nodes, &sequence, self.graph, progress, interrupt)?;
        let among = |graph: &Graph| match &copies {
            Some(copies) => graph.clone().among(&copies.originals, rows.len()),
            None => graph.clone(),
        };
        let coded = Some(&codes).filter(|_| self.coding == Coding::Int8);
        vectors.graph = Some(among(&graph));
        (vectors.order, vectors.copies) = (Some(order), copies.clone());
        let live = Live { count: rows.len() as u32, condition: None };
        let Some(parts) = vectors.parts(coded) else { return Ok(()) };
        let sample = Sample::of_rows(parts, live, progress, interrupt)?;
        let mut before = None;
        for round in 1..=MOST_ROUNDS {
            let Some(parts) = vectors.parts(coded) else { break };
            let measured = sample.measure(parts, live, AIMED.0, AIMED.1).recall;
            let helped = before.is_none_or(|before: Recall| measured.missed() < HELPS * before.missed());
            if measured >= self.graph.recall || !helped {
                break;
            }
            before = Some(measured);
            let ef = self.graph.ef_construction as usize * (1 + round) / 2;
            hnsw::improve(&mut graph, nodes, ef, progress, interrupt)?;
            vectors.graph = Some(among(&graph));
        }
        vectors.recall = match vectors.parts(coded) {
            Some(parts) => sample.curve(parts, live, interrupt)?,
            None => None,
        };
        vectors.codes = Some(codes).filter(|_| self.coding == Coding::Int8);
        Ok(())
    }

    /// Beginnings are made for rows of length 1 that are stored as they are.
    fn head_error(&self, rows: Rows<'_>, metric: Metric) -> Option<f32> {
        match (metric, self.dtype) {
            (Metric::Cosine, Dtype::F32) => heads::usual_error(rows),
            _ => None,
        }
    }
}
