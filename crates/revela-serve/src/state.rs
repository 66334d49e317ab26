//! What the routes share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use revela_base::checksum::Checksum;
use revela_base::embed::TextKind;
use revela_search::Store;
use tokio::sync::Semaphore;

use crate::auth::Gate;
use crate::batching::{self, Batcher, Counted, Models, PairBatcher};
use crate::collection::{Live, Origin};
use crate::config::{Access, CollectionConfig, Config};
use crate::door::Door;
use crate::error::{ApiError, ServeError};
use crate::hosts::Hosts;
use crate::metrics::{Metrics, resident_bytes};
use crate::pool::Pool;
use crate::request_id::RequestIds;
use crate::routes::Rights;
use crate::writer::Writer;

/// Texts of more bytes than this are counted off the threads that serve connections.
const LARGE: usize = 16 << 10;

/// A store and the name by which clients know it.
pub(crate) type NamedStore = (String, Arc<dyn Store>);

/// A collection with its writer, where it may be written.
pub(crate) struct Served {
    pub(crate) live: Arc<Live>,
    pub(crate) writer: Option<Writer>,
}

/// What is there once everything is loaded.
pub(crate) struct Services {
    // In this order, since fields are dropped so: writers finish what they have, for which they need the
    // encoder.
    pub(crate) collections: Vec<Served>,
    pub(crate) model: Option<Model>,
    pub(crate) ranker: Option<Ranker>,
    /// The encoder's fingerprint, which takes long to compute for some.
    pub(crate) encoder: Option<Checksum>,
}

/// The encoder and its name.
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) batcher: Batcher,
}

/// The reranker and its name.
pub(crate) struct Ranker {
    pub(crate) name: String,
    pub(crate) batcher: PairBatcher,
}

/// A server's state.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) gate: Gate,
    pub(crate) rights: Rights,
    pub(crate) hosts: Hosts,
    /// Where searches come in, and batches of them.
    pub(crate) searches: Arc<Door>,
    pub(crate) batches: Arc<Door>,
    /// Kilobytes of bodies that may still be read.
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) pool: Pool,
    pub(crate) ids: RequestIds,
    /// Seconds since 1970.
    pub(crate) started: u64,
    services: OnceLock<Services>,
    ending: AtomicBool,
}

impl App {
    pub(crate) fn new(config: Config) -> Result<Self, ServeError> {
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let metrics = Arc::new(Metrics::default());
        let search = &config.search;
        let (bounds, patience) =
            ((search.threads, search.threads + search.queue), Duration::from_millis(search.max_wait_ms));
        let door = |what| Arc::new(Door::new(what, bounds, patience, metrics.clone()));
        Ok(Self {
            hosts: Hosts::new(&config),
            searches: door("the search"),
            batches: door("the search of batches"),
            bodies: Arc::new(Semaphore::new(config.limits.bodies_bytes.div_ceil(1024))),
            metrics: metrics.clone(),
            gate: Gate::new(&config),
            rights: Rights::new(),
            pool: Pool::new(&config.search),
            ids: RequestIds::new()?,
            started,
            services: OnceLock::new(),
            ending: AtomicBool::new(false),
            config,
        })
    }

    /// Opens the collections and starts the models' thread.
    pub(crate) fn start(&self, models: Models, stores: Vec<NamedStore>) -> Result<(), ServeError> {
        let fingerprint = models.encoder.as_ref().map(|encoder| encoder.fingerprint());
        let (texts, pairs) = batching::start(models, &self.config.batching, self.metrics.clone())?;
        let (encoder, reranker) = (&self.config.encoder, &self.config.rerank);
        let name = name_of(&self.config.embeddings.name, encoder, "encoder");
        let model = texts.map(|batcher| Model { name, batcher });
        let name = name_of(&reranker.name, &reranker.model, "reranker");
        let ranker = pairs.map(|batcher| Ranker { name, batcher });
        let mut collections = Vec::new();
        let folder = |collection: &CollectionConfig| {
            (collection.name.clone(), Origin::Folder(collection.path.clone()))
        };
        let stores = stores.into_iter().map(|(name, store)| (name, Origin::Store(store)));
        for (name, origin) in self.config.collections.iter().map(folder).chain(stores) {
            let live = Arc::new(Live::open(&name, origin, fingerprint, self.metrics.clone())?);
            let writer = match self.config.access {
                Access::ReadOnly => None,
                Access::ReadWrite => {
                    let embedder = model.as_ref().map(|model| model.batcher.blocking());
                    let (writing, metrics) = (&self.config.writing, self.metrics.clone());
                    Some(Writer::start(live.clone(), embedder, writing, metrics)?)
                }
            };
            collections.push(Served { live, writer });
        }
        let services = Services { collections, model, ranker, encoder: fingerprint };
        self.services.set(services).map_err(|_| ServeError::option("services", "are started twice"))
    }

    /// What is loaded; an answer of 503 until then and from the end on.
    pub(crate) fn services(&self) -> Result<&Services, ApiError> {
        let loading =
            || ApiError::unavailable("collections and encoder are being loaded; ask again in a moment");
        self.services.get().ok_or_else(loading)
    }

    /// Whether new requests should come here.
    pub(crate) fn ready(&self) -> Result<(), ApiError> {
        if self.ending.load(Ordering::Relaxed) {
            return Err(ApiError::unavailable("the server is shutting down"));
        }
        self.services().map(drop)
    }

    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
        for served in self.services.get().iter().flat_map(|services| &services.collections) {
            if let Some(writer) = &served.writer {
                writer.hurry();
            }
        }
    }

    /// The collection of this name, or the first.
    pub(crate) fn collection(&self, name: Option<&str>) -> Result<&Served, ApiError> {
        let collections = &self.services()?.collections;
        let found = match name {
            Some(name) => collections.iter().find(|served| served.live.name == name),
            None => collections.first(),
        };
        found.ok_or_else(|| {
            let names: Vec<_> = collections.iter().map(|served| served.live.name.as_str()).collect();
            let message = format!("there is no collection of this name; there are: {}", names.join(", "));
            ApiError::not_found(message)
        })
    }

    /// The encoder.
    pub(crate) fn model(&self) -> Result<&Model, ApiError> {
        let none = || {
            let message = "this server has no encoder; start it with --encoder, or send vectors";
            ApiError::new(crate::error::Code::Unsupported, message)
        };
        self.services()?.model.as_ref().ok_or_else(none)
    }

    /// The reranker.
    pub(crate) fn ranker(&self) -> Result<&Ranker, ApiError> {
        let none = || {
            let message = "this server has no reranker; start it with --rerank MODEL";
            ApiError::new(crate::error::Code::Unsupported, message)
        };
        self.services()?.ranker.as_ref().ok_or_else(none)
    }

    /// Counts the tokens of pairs as [`count`](Self::count) does those of texts.
    pub(crate) async fn count_pairs(&self, query: String, texts: Vec<String>) -> Result<Counted, ApiError> {
        let batcher = &self.ranker()?.batcher;
        batcher.check_room()?;
        if texts.iter().map(|text| text.len() + query.len()).sum::<usize>() <= LARGE {
            return Ok(Counted::pairs(&**batcher.reranker(), query, texts)?);
        }
        let reranker = batcher.reranker().clone();
        Ok(self.pool.run(&self.metrics, move || Counted::pairs(&*reranker, query, texts)).await??)
    }

    /// Counts tokens, where that takes long on a thread of the pool; refuses at once what cannot wait.
    pub(crate) async fn count(&self, kind: TextKind, texts: Vec<String>) -> Result<Counted, ApiError> {
        let batcher = &self.model()?.batcher;
        batcher.check_room(kind)?;
        if texts.iter().map(String::len).sum::<usize>() <= LARGE {
            return Ok(Counted::new(&**batcher.encoder(), kind, texts)?);
        }
        let encoder = batcher.encoder().clone();
        Ok(self.pool.run(&self.metrics, move || Counted::new(&*encoder, kind, texts)).await??)
    }

    /// The metrics' text.
    pub(crate) fn metrics_text(&self) -> String {
        let mut gauges = vec![("revela_waiting{queue=\"search\"}".to_owned(), self.pool.waiting() as f64)];
        if let Ok(services) = self.services() {
            if let Some(model) = &services.model {
                let [queries, passages] = model.batcher.waiting();
                gauges.push(("revela_waiting{queue=\"embed_query\"}".to_owned(), queries as f64));
                gauges.push(("revela_waiting{queue=\"embed_passage\"}".to_owned(), passages as f64));
            }
            if let Some(ranker) = &services.ranker {
                let pairs = ranker.batcher.waiting() as f64;
                gauges.push(("revela_waiting{queue=\"rerank\"}".to_owned(), pairs));
            }
            for served in &services.collections {
                let name = served.live.name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let passages = served.live.now().count.passages;
                gauges
                    .push((format!("revela_collection_passages{{collection=\"{name}\"}}"), passages as f64));
            }
        }
        let doors = [("search", self.searches.inside()), ("batch", self.batches.inside())];
        gauges.extend(
            doors.map(|(kind, (inside, _))| (format!("revela_inside{{kind=\"{kind}\"}}"), inside as f64)),
        );
        gauges.extend(
            doors.map(|(kind, (_, most))| (format!("revela_inside_limit{{kind=\"{kind}\"}}"), most as f64)),
        );
        gauges.extend(resident_bytes().map(|bytes| ("process_resident_memory_bytes".to_owned(), bytes)));
        self.metrics.text(&gauges)
    }
}

/// A model's name: the one that is set, or its folder's.
fn name_of(set: &Option<String>, folder: &Option<PathBuf>, otherwise: &str) -> String {
    let of_folder = || Some(folder.as_ref()?.file_name()?.to_string_lossy().into_owned());
    set.clone().or_else(of_folder).unwrap_or_else(|| otherwise.to_owned())
}
