//! How shards keep their vectors.

use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use serde::{Deserialize, Serialize};

use crate::codes::{Codes, MOST_DIMENSIONS};
use crate::error::Error;
use crate::heads;
use crate::hnsw::{self, GraphOptions};
use crate::metric::Metric;
use crate::row_order::RowOrder;
use crate::shard::ShardVectors;
use crate::signs::Signs;
use crate::vectors::{Dtype, Rows};

/// Rows from which on a graph pays: below, a scan of the codes takes about as long as a walk.
const GRAPH_PAYS: usize = 30_000;

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
        let mut codes = match (with_graph, self.coding) {
            (false, Coding::None) => return Ok(vectors),
            (true, _) | (false, Coding::Int8) => Codes::of(rows),
        };
        if with_graph {
            let order = RowOrder::local(codes.view(), progress, interrupt)?;
            codes = codes.arranged(&order);
            let places = order.inverse();
            vectors.graph = Some(hnsw::build(codes.view(), &places, self.graph, progress, interrupt)?);
            // Signs and beginnings save walks comparisons; a scan needs none.
            match self.coding {
                Coding::Int8 => vectors.signs = Signs::of(rows).map(|signs| signs.arranged(&order)),
                Coding::None => vectors.head_error = self.head_error(rows, metric),
            }
            vectors.order = Some(order);
        }
        vectors.codes = Some(codes).filter(|_| self.coding == Coding::Int8);
        Ok(vectors)
    }

    /// Beginnings are made for rows of length 1 that are stored as they are.
    fn head_error(&self, rows: Rows<'_>, metric: Metric) -> Option<f32> {
        match (metric, self.dtype) {
            (Metric::Cosine, Dtype::F32) => heads::usual_error(rows),
            _ => None,
        }
    }
}
