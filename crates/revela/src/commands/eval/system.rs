//! Systems under test: from flags to a run, with the settings that decide what is found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use revela_base::checksum::{Checksum, Fingerprint};
use revela_base::embed::Embedder;
use revela_eval::{Hit, Run};
use revela_index::{Collection, CollectionBuilder, Searcher, Structure, VectorOptions};
use revela_model::contract::Contract;
use revela_model::cpu::Matmul;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;
use revela_search::fusion::Fusion;
use revela_search::{Effort, Mode, Passage, Query, Retriever, Store};
use serde_json::{Value, json};

use super::super::store::{self, Partial};
use super::SystemArgs;
use super::cache::{self, Cache};
use super::endpoint::{Endpoint, EndpointConfig};
use crate::Context;
use crate::evaluation::HeldOut;

/// Queries that are searched for between two looks at the interrupt flag.
const QUERY_BLOCK: usize = 32;

/// A file of a collection that changes with everything in it.
const COLLECTION_MANIFEST: &str = "manifest.jsonl";

/// Everything that goes into a result's `settings`.
pub(super) type Settings = BTreeMap<String, Value>;

/// How dense rankings are found.
enum Search {
    /// Comparing with every vector in memory.
    Exact,
    /// A graph over the data, built for this.
    Graph,
    /// A collection that is there.
    Collection(PathBuf),
    /// A store that is open, under its location.
    Store(Arc<dyn Store>),
}

/// What is put before texts instead of what the encoder says.
pub(super) struct Prefixes {
    pub(super) query: Option<String>,
    pub(super) passage: Option<String>,
}

/// A system whose flags make sense together.
pub(super) struct System {
    mode: Mode,
    embedder: Option<Arc<dyn Embedder>>,
    search: Search,
    effort: Effort,
    analyser: revela_index::bm25::Analyser,
    /// Of an encoder that is not elsewhere.
    matmul: Option<Matmul>,
}

impl System {
    /// Opens what the flags name.
    pub(super) fn open(args: &SystemArgs, prefixes: Prefixes) -> Result<Self> {
        let embedder = if args.mode == Mode::Bm25 { None } else { Some(embedder(args, prefixes)?) };
        let search = match (&args.store, &args.collection, args.exact || args.mode == Mode::Bm25) {
            (Some(url), ..) => Search::Store(store::open(url, Partial::default())?),
            (None, Some(dir), _) => Search::Collection(dir.clone()),
            (None, None, true) => Search::Exact,
            (None, None, false) => Search::Graph,
        };
        let matmul = args.encoder.as_ref().map(|_| args.matmul);
        let effort = if args.exact { Effort::Exact } else { Effort::Ef(args.ef) };
        Ok(Self { mode: args.mode, embedder, search, effort, analyser: args.analyser, matmul })
    }

    /// What decides the run besides program and data.
    pub(super) fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::from([("mode".to_owned(), self.mode.name().into())]);
        if let Some(embedder) = &self.embedder {
            settings.insert("encoder".into(), serde_json::to_value(embedder.fingerprint())?);
            let search = match (&self.search, self.effort) {
                (Search::Exact, _) | (_, Effort::Exact) => json!("exact"),
                (_, Effort::Ef(ef)) => json!({ "ef": ef }),
                (_, other) => serde_json::to_value(other)?,
            };
            settings.insert("search".into(), search);
        }
        if let Some(matmul) = self.matmul {
            settings.insert("matmul".into(), serde_json::to_value(matmul)?);
        }
        match &self.search {
            Search::Collection(dir) => {
                let manifest = Checksum::of_file(&dir.join(COLLECTION_MANIFEST))?;
                settings.insert("collection".into(), serde_json::to_value(manifest)?);
            }
            Search::Store(store) => {
                settings.insert("store".into(), store.describe().location.clone().into());
            }
            Search::Exact | Search::Graph if self.mode != Mode::Dense => {
                settings.insert("analyser".into(), serde_json::to_value(self.analyser)?);
            }
            Search::Exact | Search::Graph => {}
        }
        Ok(settings)
    }

    /// What the system finds, from the cache where it is there.
    pub(super) fn run(&self, held_out: &HeldOut, cache: Option<&Cache>, context: &Context) -> Result<Run> {
        // What a store holds may change between two runs, and no fingerprint tells.
        let cache = cache.filter(|_| !matches!(self.search, Search::Store(_)));
        let data = held_out.fingerprint();
        let key = cache::program()?
            .part("data", data.to_string())
            .part("depth", held_out.search_depth().to_le_bytes())
            .part("settings", serde_json::to_string(&self.settings()?)?)
            .finish();
        if let Some(run) = cache.and_then(|cache| cache.find(key)) {
            context.progress.line("this was measured before; what was found is taken from the cache");
            return Ok(held_out.counting(run));
        }
        let run = match &self.search {
            Search::Exact => self.in_memory(held_out, context)?,
            Search::Collection(dir) => self.over(folder(Collection::open(dir)?), held_out, context)?,
            Search::Store(store) => self.over(store.clone(), held_out, context)?,
            Search::Graph => self.over_graph(data, held_out, cache, context)?,
        };
        if let Some(cache) = cache {
            cache.keep(key, &run);
        }
        Ok(held_out.counting(run))
    }

    fn in_memory(&self, held_out: &HeldOut, context: &Context) -> Result<Run> {
        let dense = match &self.embedder {
            Some(embedder) => Some(held_out.dense(&**embedder, &context.progress, &context.interrupt)?),
            None => None,
        };
        let bm25 = match self.mode {
            Mode::Dense | Mode::Auto => None,
            Mode::Bm25 | Mode::Hybrid => Some(held_out.bm25(self.analyser)?),
        };
        let rankings = match (dense, bm25) {
            (Some(dense), Some(bm25)) => held_out.fused(Fusion::default(), &[(&dense, 1.0), (&bm25, 1.0)]),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => bail!("--mode {} measures nothing", self.mode.name()),
        };
        Ok(held_out.run(&rankings)?)
    }

    /// Builds a graph over the data, or opens the one that the cache holds.
    fn over_graph(
        &self,
        data: Checksum,
        held_out: &HeldOut,
        cache: Option<&Cache>,
        context: &Context,
    ) -> Result<Run> {
        let embedder = self.embedder.as_deref().context("a graph needs an encoder")?;
        let key = cache::program()?
            .part("data", data.to_string())
            .part("encoder", embedder.fingerprint().to_string())
            .part("matmul", serde_json::to_string(&self.matmul)?)
            .part("analyser", serde_json::to_string(&self.analyser)?)
            .finish();
        let Some(path) = cache.and_then(|cache| cache.index_path(key)) else {
            let scratch = Scratch::new(key)?;
            let collection = self.build(scratch.path(), embedder, held_out, context)?;
            return self.over(folder(collection), held_out, context);
        };
        let collection = match path.join(COLLECTION_MANIFEST).exists() {
            true => Collection::open(&path)?,
            false => self.build(&path, embedder, held_out, context)?,
        };
        self.over(folder(collection), held_out, context)
    }

    fn build(
        &self,
        path: &Path,
        embedder: &dyn Embedder,
        held_out: &HeldOut,
        context: &Context,
    ) -> Result<Collection> {
        let passage = |document: &revela_eval::dataset::Document| {
            let (id, title, text) = (document.id.clone(), document.title.clone(), document.text.clone());
            Ok::<_, std::io::Error>(Passage { id, title, text })
        };
        let vectors = VectorOptions { structure: Structure::Graph, ..VectorOptions::default() };
        let builder = CollectionBuilder::new(path).analyser(self.analyser).vectors(vectors);
        let passages = held_out.documents().iter().map(passage);
        Ok(builder.build(passages, Some(embedder), &context.progress, &context.interrupt)?)
    }

    /// Searches a store for every query.
    fn over(&self, store: Arc<dyn Store>, held_out: &HeldOut, context: &Context) -> Result<Run> {
        let mut retriever = Retriever::new(store);
        if let Some(embedder) = &self.embedder {
            retriever = retriever.with_embedder(embedder.clone())?;
        }
        let depth = held_out.search_depth();
        let queries = &held_out.split().queries;
        let task = revela_base::progress::Progress::task(
            &context.progress,
            "searching",
            "queries",
            Some(queries.len() as u64),
        );
        let mut run = Run::new();
        for block in queries.chunks(QUERY_BLOCK) {
            context.interrupt.check()?;
            let asked = |query: &revela_eval::dataset::Query| {
                Query::text(&query.text).k(depth).depth(depth).mode(self.mode).effort(self.effort)
            };
            let asked: Vec<Query> = block.iter().map(asked).collect();
            for (query, hits) in block.iter().zip(retriever.search_batch(&asked)?.hits) {
                run.insert(&query.id, hits.into_iter().map(|hit| Hit::new(hit.id, hit.score)).collect())?;
            }
            task.advance(block.len() as u64);
        }
        Ok(run)
    }
}

fn folder(collection: Collection) -> Arc<dyn Store> {
    Arc::new(Searcher::new(collection))
}

/// The encoder or the endpoint.
fn embedder(args: &SystemArgs, prefixes: Prefixes) -> Result<Arc<dyn Embedder>> {
    if let Some(dir) = &args.encoder {
        let mut encoder = Encoder::open(dir, Precision::F32, &DeviceChoice::Cpu.open()?)?;
        let Prefixes { query, passage } = prefixes;
        let contract = encoder.contract.clone();
        encoder.contract = Contract {
            query_prompt: query.unwrap_or(contract.query_prompt),
            passage_prompt: passage.unwrap_or(contract.passage_prompt),
            ..contract
        };
        return Ok(Arc::new(encoder.with_matmul(args.matmul)));
    }
    let (Some(url), Some(model)) = (&args.endpoint, &args.model) else {
        bail!("--mode {} needs --encoder DIR, or --endpoint URL with --model NAME", args.mode.name());
    };
    Ok(Arc::new(Endpoint::open(EndpointConfig {
        url: url.clone(),
        model: model.clone(),
        key: std::env::var(&args.key_variable).ok().filter(|key| !key.is_empty()),
        query_prefix: prefixes.query.unwrap_or_default(),
        passage_prefix: prefixes.passage.unwrap_or_default(),
    })?))
}

/// A folder that is removed when it is no longer needed.
struct Scratch(PathBuf);

impl Scratch {
    fn new(key: Checksum) -> Result<Self> {
        let name =
            Fingerprint::new().part("key", key.to_string()).part("pid", std::process::id().to_le_bytes());
        let path = std::env::temp_dir().join(format!("revela-eval-{}", name.finish().short()));
        if path.exists() {
            std::fs::remove_dir_all(&path).with_context(|| format!("cannot clear {}", path.display()))?;
        }
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
