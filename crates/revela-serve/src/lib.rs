//! Collections as a search service over HTTP.
//!
//! You hand in a [`Config`] and a way to load an encoder, and perhaps a reranker; you get a server that searches, embeds
//! as OpenAI's clients expect it, reranks as Jina's, Cohere's and TEI's do, and, when told so, changes collections.
//!
//! ```no_run
//! use revela_base::interrupt::Interrupt;
//! use revela_serve::{CollectionConfig, Config, Server};
//!
//! # fn main() -> Result<(), revela_serve::ServeError> {
//! let collections = vec![CollectionConfig { name: "wiki".into(), path: "wiki.collection".into() }];
//! let server = Server::bind(Config { collections, ..Config::default() })?;
//! println!("{}", server.url());
//! server.run(|_config| Ok(None), &Interrupt::new())
//! # }
//! ```
//!
//! # How a search comes to its answer
//!
//! connection ([`Server`]: TLS, limits on heads and idleness) → around every request (`middleware`: name, key,
//! deadline, log, errors) → route (`routes`) → is there room (`door`)? → its body is read → its text waits for others and is embedded (`batching`, one thread
//! that owns the encoder) → the search runs on a bounded pool (`pool`) over a snapshot of the collection
//! (`collection`, replaced as a whole by `reload`) → JSON. Changes go through `writer`, one thread per
//! collection.
//!
//! What cannot be done in time is refused at once with 429: a search at the door, before its body is read; the
//! rest by the encoder's queue, by the pool, by the writer.
//! Nothing queues without a bound.
//!
//! It speaks HTTP/1.1; the API is described by `GET /openapi.json` and, for people, `GET /docs`.

mod auth;
mod batching;
mod body;
mod collection;
mod config;
mod door;
mod encoder;
mod error;
mod hosts;
mod impatient;
mod load;
mod logging;
mod metrics;
mod middleware;
mod openapi;
mod pool;
mod reload;
mod request_id;
mod routes;
mod server;
mod state;
mod tls;
mod ui;
mod writer;

pub use auth::NewKey;
pub use config::{
    Access, Batching, CollectionConfig, Config, Cors, Dimensions, EmbeddingsConfig, Joining, KeyConfig,
    Limits, LogConfig, LogFormat, LogLevel, MetricsAccess, RerankConfig, SearchConfig, TlsConfig, Writing,
};
pub use encoder::TextEncoder;
pub use error::ServeError;
pub use logging::start_log;
pub use server::{BoxError, Server};
