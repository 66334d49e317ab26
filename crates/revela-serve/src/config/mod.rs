//! Every setting of a server, with its default and what it may be.

mod choices;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use revela_base::checksum::Checksum;
use revela_base::rerank::Form;
use serde::Deserialize;

use crate::error::ServeError;
pub use choices::{Access, Dimensions, Joining, LogFormat, LogLevel, MetricsAccess};

/// A server's settings, as they stand in a TOML file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen; loopback unless told otherwise. Port 0 takes any that is free.
    pub listen: SocketAddr,
    /// What is served.
    pub collections: Vec<CollectionConfig>,
    /// The encoder's folder.
    pub encoder: Option<PathBuf>,
    /// Whether documents can be added and deleted.
    pub access: Access,
    /// Who may do what; nobody is asked when the list is empty.
    pub keys: Vec<KeyConfig>,
    /// What a request may ask for.
    pub limits: Limits,
    /// How queries wait for each other and for the encoder.
    pub batching: Batching,
    /// How many searches run and wait.
    pub search: SearchConfig,
    /// How documents are added.
    pub writing: Writing,
    /// What `/v1/embeddings` offers.
    pub embeddings: EmbeddingsConfig,
    /// The reranker, and which searches it ranks again.
    pub rerank: RerankConfig,
    /// Certificate and key; plain HTTP without.
    pub tls: Option<TlsConfig>,
    /// Web pages of other origins that may call the API.
    pub cors: Cors,
    /// Names by which clients may call the server, beside `localhost` and addresses. They are looked at where
    /// any are given, and where the server listens on loopback without keys: there a web page, whose own name
    /// was made to lead to this machine, could read what is served.
    pub hosts: Vec<String>,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// What is logged and how.
    pub log: LogConfig,
    /// How often collections are looked at for changes; 0 never.
    pub reload_ms: u64,
    /// How long requests in flight may go on when the server is asked to end.
    pub shutdown_seconds: u64,
}

/// A collection and the name by which clients know it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionConfig {
    /// The name.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
}

/// A key that clients may present. The key itself is not here, only its checksum.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Who uses it, for the log.
    pub name: String,
    /// BLAKE3 of the key.
    pub blake3: Checksum,
    /// What it allows.
    #[serde(default)]
    pub access: Access,
    /// Requests per second, in the long run; no limit without.
    #[serde(default)]
    pub rate: Option<f64>,
    /// Requests that may come at once (by default what the rate allows in 2 seconds).
    #[serde(default)]
    pub burst: Option<u32>,
}

/// What a request may ask for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of a query or an id.
    pub query_bytes: usize,
    /// Bytes of a document, and of one text to be embedded.
    pub text_bytes: usize,
    /// Searches of a batch.
    pub batch: usize,
    /// Hits of a search.
    pub k: usize,
    /// Candidates that a walk through a graph may keep.
    pub ef_search: usize,
    /// Ids in a filter.
    pub filter_ids: usize,
    /// Bytes of a snippet.
    pub snippet_bytes: usize,
    /// Inputs of an embeddings request.
    pub inputs: usize,
    /// Documents of a request.
    pub documents: usize,
    /// Time from a request's head to its answer.
    pub request_ms: u64,
    /// Time that a client has to send the head of a request, also while its connection is idle.
    pub header_ms: u64,
    /// Time that a client has to send a body.
    pub body_ms: u64,
    /// Time for which a client may take nothing of its answer.
    pub write_ms: u64,
    /// Bytes of the bodies of all requests together that are being read or parsed.
    pub bodies_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Bytes of a request's head, at least 8192.
    pub header_bytes: usize,
    /// Connections at once; more wait to be accepted.
    pub connections: usize,
}

/// How queries wait for each other and for the encoder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batching {
    /// Whether texts are joined at all.
    pub join: Joining,
    /// How long the first query of a batch waits for others, after a batch in which several requests met.
    pub wait_ms: u64,
    /// Tokens of a batch.
    pub tokens: usize,
    /// Texts that may wait, queries and passages each.
    pub queue: usize,
    /// Queries that would wait longer than this are refused at once.
    pub max_wait_ms: u64,
    /// The same for passages, which come in bulk and have more time.
    pub max_bulk_wait_ms: u64,
}

/// How many searches run and wait.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchConfig {
    /// Searches that run at once.
    pub threads: usize,
    /// Searches that may wait.
    pub queue: usize,
    /// How long searches may wait that come at once. Where too many come for longer than this, only so many
    /// are let in that none takes much longer than on an idle server.
    pub max_wait_ms: u64,
}

/// How documents are added.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Writing {
    /// Requests that may wait, per collection.
    pub queue: usize,
    /// Requests that are made durable together.
    pub together: usize,
    /// Shards from which on a collection is compacted after a change; 0 never.
    pub compact_shards: usize,
}

/// What `/v1/embeddings` offers.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddingsConfig {
    /// The model's name (by default that of the encoder's folder).
    pub name: Option<String>,
    /// Other names that clients may use, for those that insist on one.
    pub aliases: Vec<String>,
    /// Whether vectors can be shortened.
    pub dimensions: Dimensions,
}

/// The reranker, and which searches it ranks again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RerankConfig {
    /// The model's folder; without one nothing is reranked.
    pub model: Option<PathBuf>,
    /// Its name in the API (by default that of its folder).
    pub name: Option<String>,
    /// How many hits of a search are ranked again where the request says nothing; 0 leaves searches as they are.
    pub depth: usize,
    /// How it scores (by default what its folder says).
    pub form: Option<Form>,
    /// Longest pair in tokens (by default the model's own limit, or what its form has).
    pub max_length: Option<usize>,
    /// What a model is asked that answers yes or no.
    pub instruction: Option<String>,
}

impl Default for RerankConfig {
    fn default() -> Self {
        Self { model: None, name: None, depth: 100, form: None, max_length: None, instruction: None }
    }
}

/// A certificate in PEM, and its key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Web pages of other origins that may call the API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Their origins, such as `https://search.example.org`.
    pub origins: Vec<String>,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// What is worth one.
    pub level: LogLevel,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            collections: Vec::new(),
            encoder: None,
            access: Access::ReadOnly,
            keys: Vec::new(),
            limits: Limits::default(),
            batching: Batching::default(),
            search: SearchConfig::default(),
            writing: Writing::default(),
            embeddings: EmbeddingsConfig::default(),
            rerank: RerankConfig::default(),
            tls: None,
            cors: Cors::default(),
            hosts: Vec::new(),
            metrics: MetricsAccess::default(),
            log: LogConfig::default(),
            reload_ms: 1000,
            shutdown_seconds: 30,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 << 20,
            query_bytes: 8 << 10,
            text_bytes: 256 << 10,
            batch: 100,
            k: 1000,
            ef_search: 10_000,
            filter_ids: 10_000,
            snippet_bytes: 4096,
            inputs: 2048,
            documents: 1000,
            request_ms: 30_000,
            header_ms: 10_000,
            body_ms: 10_000,
            write_ms: 30_000,
            bodies_bytes: 256 << 20,
            headers: 64,
            header_bytes: 32 << 10,
            connections: 4096,
        }
    }
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            join: Joining::Budget,
            wait_ms: 2,
            tokens: 4096,
            queue: 1024,
            max_wait_ms: 250,
            max_bulk_wait_ms: 10_000,
        }
    }
}

impl Default for SearchConfig {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self { threads, queue: 256, max_wait_ms: 100 }
    }
}

impl Default for Writing {
    fn default() -> Self {
        Self { queue: 64, together: 32, compact_shards: 32 }
    }
}

impl Config {
    /// Reads a TOML file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`ServeError::ConfigFile`], naming the line.
    pub fn read(path: &Path) -> Result<Self, ServeError> {
        let wrong = |detail: String| ServeError::ConfigFile { path: path.to_owned(), detail };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let mut config: Self = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let base = path.parent().unwrap_or(Path::new(""));
        let paths = config.collections.iter_mut().map(|collection| &mut collection.path);
        let tls = config.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        for path in paths.chain(&mut config.encoder).chain(&mut config.rerank.model).chain(tls) {
            *path = base.join(&*path);
        }
        Ok(config)
    }

    /// Checks what a type cannot. `stores` are names of collections that are served beside those of the settings.
    ///
    /// # Errors
    /// [`ServeError::Option`] for the first setting that cannot work.
    pub fn check(&self, stores: &[&str]) -> Result<(), ServeError> {
        self.check_names(stores)?;
        let (limits, batching) = (&self.limits, &self.batching);
        let positive = [
            ("limits.body_bytes", limits.body_bytes),
            ("limits.query_bytes", limits.query_bytes),
            ("limits.text_bytes", limits.text_bytes),
            ("limits.batch", limits.batch),
            ("limits.k", limits.k),
            ("limits.ef_search", limits.ef_search),
            ("limits.filter_ids", limits.filter_ids),
            ("limits.snippet_bytes", limits.snippet_bytes),
            ("limits.inputs", limits.inputs),
            ("limits.documents", limits.documents),
            ("limits.headers", limits.headers),
            ("limits.connections", limits.connections),
            ("limits.request_ms", limits.request_ms as usize),
            ("limits.header_ms", limits.header_ms as usize),
            ("limits.body_ms", limits.body_ms as usize),
            ("limits.write_ms", limits.write_ms as usize),
            ("batching.tokens", batching.tokens),
            ("batching.queue", batching.queue),
            ("search.threads", self.search.threads),
            ("writing.queue", self.writing.queue),
            ("writing.together", self.writing.together),
        ];
        for (option, value) in positive {
            if value == 0 {
                return Err(ServeError::option(option, "must be at least 1"));
            }
        }
        if limits.bodies_bytes < limits.body_bytes {
            return Err(ServeError::option("limits.bodies_bytes", "must be at least limits.body_bytes"));
        }
        if limits.header_bytes < 8192 {
            return Err(ServeError::option("limits.header_bytes", "must be at least 8192"));
        }
        Ok(())
    }

    fn check_names(&self, stores: &[&str]) -> Result<(), ServeError> {
        let folders = self.collections.iter().map(|collection| collection.name.as_str());
        let names: Vec<&str> = folders.chain(stores.iter().copied()).collect();
        if names.is_empty() {
            return Err(ServeError::option("collections", "is empty; name a collection to serve"));
        }
        for (number, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(ServeError::option("collections", "has one without a name"));
            }
            if names.iter().take(number).any(|other| other == name) {
                let rule = format!("has two of the name {name:?}; give them names: NAME=PATH");
                return Err(ServeError::option("collections", rule));
            }
        }
        for key in &self.keys {
            if key.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) || key.burst == Some(0) {
                let rule = format!("{:?} has a rate or burst that lets nothing through", key.name);
                return Err(ServeError::option("keys", rule));
            }
        }
        if self.cors.origins.iter().any(|origin| origin == "*" || !origin.contains("://")) {
            let rule = "are written with their scheme, such as https://search.example.org";
            return Err(ServeError::option("cors.origins", rule));
        }
        Ok(())
    }

    pub(crate) fn request_time(&self) -> Duration {
        Duration::from_millis(self.limits.request_ms)
    }
}
