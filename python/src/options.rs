//! Options of new collections.

use std::path::Path;

use revela_base::seed::Seed;
use revela_index::bm25::Analyser;
use revela_index::collection::Dtype;
use revela_index::{
    Coding, CollectionBuilder, Duplicates, GraphOptions, InsertOrder, Metric, Recall, Structure,
    VectorOptions,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Failure;

/// What the program's `index build` has flags for, under the same names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuildOptions {
    analyser: String,
    metric: Option<Metric>,
    duplicates: Duplicates,
    shard_rows: u32,
    dtype: Dtype,
    coding: Coding,
    structure: Structure,
    m: u32,
    ef_construction: u32,
    target_recall: f64,
    order: InsertOrder,
    seed: u64,
    chunker: Option<Value>,
}

impl BuildOptions {
    /// Reads them from JSON.
    ///
    /// # Errors
    /// An option that is unknown or has an impossible value.
    pub(crate) fn parse(json: &str) -> Result<Self, Failure> {
        revela_base::record::from_json(json).map_err(Failure::input)
    }

    pub(crate) fn builder(self, path: &Path) -> Result<CollectionBuilder, Failure> {
        let recall = Recall::try_from(self.target_recall)?;
        let graph =
            GraphOptions { m: self.m, ef_construction: self.ef_construction, order: self.order, recall };
        let (dtype, coding, structure) = (self.dtype, self.coding, self.structure);
        let mut builder = CollectionBuilder::new(path)
            .analyser(analyser(&self.analyser)?)
            .duplicates(self.duplicates)
            .shard_rows(self.shard_rows)
            .vectors(VectorOptions { dtype, coding, structure, graph })
            .seed(Seed(self.seed));
        if let Some(metric) = self.metric {
            builder = builder.metric(metric);
        }
        if let Some(chunker) = self.chunker {
            builder = builder.chunker(chunker);
        }
        Ok(builder)
    }
}

/// How texts are split into terms, by the program's names.
pub(crate) fn analyser(name: &str) -> Result<Analyser, Failure> {
    match name {
        "prose" => Ok(Analyser::Prose),
        "code" => Ok(Analyser::Code),
        other => Err(Failure::input(format!("unknown analyser {other}; choose code or prose"))),
    }
}

/// An option's value by the name that manifests have for it.
pub(crate) fn named<T: DeserializeOwned>(option: &str, name: &str) -> Result<T, Failure> {
    serde_json::from_value(Value::from(name)).map_err(|error| Failure::input(format!("{option}: {error}")))
}
