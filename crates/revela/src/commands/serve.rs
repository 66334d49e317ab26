//! `revela serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use revela_base::rerank::Reranker;
use revela_model::cpu::Matmul;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;
use revela_search::Store;
use revela_serve::{
    Access, CollectionConfig, Config, Joining, LogFormat, LogLevel, NewKey, RerankConfig, Server,
    TextEncoder, TlsConfig,
};

use super::index::parse_named;
use super::say;
use super::store::{self, Partial};
use crate::Context;
use crate::reranking::ModelArgs;

/// Serve collections over HTTP: search, embeddings, reranking, documents, and a page to search on.
///
/// Every flag here is also a key of the file (there with many more), and a flag wins over the environment, which
/// wins over the file.
#[derive(Args)]
pub(crate) struct Serve {
    /// Folders of collections: PATH, or NAME=PATH.
    #[arg(value_name = "COLLECTION")]
    collections: Vec<String>,
    /// Serve this store, too: postgresql://USER@HOST:PORT/DATABASE#TABLE under its table's name, or NAME=URL.
    #[arg(long = "store", value_name = "URL")]
    store: Vec<String>,
    #[command(flatten)]
    partial: Partial,
    /// A file of settings in TOML.
    #[arg(long, env = "REVELA_CONFIG")]
    config: Option<PathBuf>,
    /// The encoder's folder [default: `encoder` beside the first collection, where there is one]
    #[arg(long, env = "REVELA_ENCODER")]
    encoder: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, env = "REVELA_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Let documents be added and deleted.
    #[arg(long, env = "REVELA_WRITABLE")]
    writable: bool,
    /// The model's name in the embeddings API [default: the name of the encoder's folder]
    #[arg(long, env = "REVELA_MODEL_NAME")]
    model_name: Option<String>,
    /// Whether texts of several requests are embedded together: budget (as many as fit) or off.
    #[arg(long, env = "REVELA_BATCHING", value_parser = parse_named::<Joining>)]
    batching: Option<Joining>,
    /// Milliseconds that a query waits for others while queries come together [default: 2]
    #[arg(long, env = "REVELA_BATCH_WAIT_MS")]
    batch_wait_ms: Option<u64>,
    /// Rerank by this model: a folder in Hugging Face's layout, or a name on the hub. It answers /v1/rerank and /rerank,
    /// and ranks again what searches find.
    #[arg(long, env = "REVELA_RERANK", value_name = "MODEL", help_heading = "Reranking")]
    rerank: Option<PathBuf>,
    /// How many hits of a search are ranked again where the request says nothing; 0 leaves searches as they are
    /// [default: 100]
    #[arg(long, env = "REVELA_RERANK_DEPTH", help_heading = "Reranking")]
    rerank_depth: Option<usize>,
    #[command(flatten)]
    reranker: ModelArgs,
    /// A certificate in PEM, for HTTPS.
    #[arg(long, env = "REVELA_TLS_CERTIFICATE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Its private key in PEM.
    #[arg(long, env = "REVELA_TLS_KEY", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// The form of the log: text or json.
    #[arg(long, env = "REVELA_LOG_FORMAT", value_parser = parse_named::<LogFormat>)]
    log_format: Option<LogFormat>,
    /// What is logged: off, error, warn, info (every request) or debug.
    #[arg(long, env = "REVELA_LOG_LEVEL", value_parser = parse_named::<LogLevel>)]
    log_level: Option<LogLevel>,
    /// Draw a key for a client of this name, print it and what to put into the file, and end.
    #[arg(long, value_name = "NAME")]
    new_key: Option<String>,
}

impl Serve {
    /// The file's settings, with those of flags and environment over them.
    fn settings(&self) -> Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        if !self.collections.is_empty() {
            config.collections =
                self.collections.iter().map(|text| collection(text)).collect::<Result<_>>()?;
        }
        set(&mut config.listen, self.listen);
        set(&mut config.batching.join, self.batching);
        set(&mut config.batching.wait_ms, self.batch_wait_ms);
        set(&mut config.log.format, self.log_format);
        set(&mut config.log.level, self.log_level);
        if self.writable {
            config.access = Access::ReadWrite;
        }
        if self.model_name.is_some() {
            config.embeddings.name.clone_from(&self.model_name);
        }
        if let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) {
            config.tls = Some(TlsConfig { certificate: certificate.clone(), key: key.clone() });
        }
        self.set_reranker(&mut config.rerank);
        if self.encoder.is_some() {
            config.encoder.clone_from(&self.encoder);
        }
        if config.encoder.is_none() {
            let beside = |collection: &CollectionConfig| collection.path.with_file_name("encoder");
            config.encoder = config.collections.first().map(beside).filter(|path| path.is_dir());
        }
        Ok(config)
    }
}

impl Serve {
    fn set_reranker(&self, config: &mut RerankConfig) {
        set(&mut config.depth, self.rerank_depth);
        let ModelArgs { form, rerank_max_length, instruction, .. } = &self.reranker;
        config.model = self.rerank.clone().or(config.model.take());
        config.form = form.or(config.form);
        config.max_length = rerank_max_length.or(config.max_length);
        config.instruction = instruction.clone().or(config.instruction.take());
    }
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

/// A collection by flag: its name is what is before `=`, or the folder's own.
fn collection(text: &str) -> Result<CollectionConfig> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) if !name.contains('/') => (Some(name.to_owned()), PathBuf::from(path)),
        _ => (None, PathBuf::from(text)),
    };
    let of_folder = || path.canonicalize().ok()?.file_name().map(|name| name.to_string_lossy().into_owned());
    match name.or_else(of_folder) {
        Some(name) => Ok(CollectionConfig { name, path }),
        None => bail!("there is no folder {}; name the folder of a collection", path.display()),
    }
}

/// A store by flag: its name is what is before `=`, or its table's.
fn named_store(text: &str, partial: Partial) -> Result<(String, Arc<dyn Store>)> {
    let (name, url) = match text.split_once('=') {
        Some((name, url)) if !name.contains('/') => (Some(name.to_owned()), url),
        _ => (None, text),
    };
    let store = store::open(url, partial)?;
    let table = || store.describe().location.rsplit('#').next().unwrap_or("store").to_owned();
    Ok((name.unwrap_or_else(table), store))
}

pub(crate) fn run(args: &Serve, context: &Context) -> Result<()> {
    if let Some(name) = &args.new_key {
        return new_key(name);
    }
    let config = args.settings()?;
    revela_serve::start_log(&config.log)?;
    revela_index::survive_truncated_files().context("cannot watch for files that are cut")?;
    let stores = args.store.iter().map(|text| named_store(text, args.partial)).collect::<Result<_>>()?;
    let matmul = args.reranker.rerank_matmul;
    let server = Server::bind_with(config, stores)?
        .with_reranker(move |config| Ok(load_reranker(&config.rerank, matmul)?));
    server.run(|config| Ok(load(config.encoder.as_deref())?), &context.interrupt)?;
    Ok(())
}

fn load(dir: Option<&Path>) -> Result<Option<Arc<dyn TextEncoder>>> {
    let Some(dir) = dir else { return Ok(None) };
    let encoder = Encoder::open(dir, Precision::F32, &DeviceChoice::Cpu.open()?)?;
    Ok(Some(Arc::new(Served(encoder))))
}

/// The reranker that the settings name. How it multiplies is the machine's business, and so a flag alone.
fn load_reranker(config: &RerankConfig, rerank_matmul: Option<Matmul>) -> Result<Option<Arc<dyn Reranker>>> {
    let Some(dir) = &config.model else { return Ok(None) };
    let RerankConfig { form, max_length, instruction, .. } = config.clone();
    let how = ModelArgs { form, rerank_max_length: max_length, instruction, rerank_matmul };
    Ok(Some(Arc::new(how.open(dir)?)))
}

fn new_key(name: &str) -> Result<()> {
    let drawn = NewKey::draw()?;
    let name = toml::Value::from(name);
    say(format_args!("key, shown only now: {}\n\nin the server's file:\n", drawn.key))?;
    say(format_args!("[[keys]]\nname = {name}\nblake3 = \"{}\"\naccess = \"read-only\"", drawn.blake3))?;
    Ok(())
}

/// An encoder as the server wants it.
struct Served(Encoder);

impl Embedder for Served {
    fn dimension(&self) -> usize {
        self.0.dimension()
    }

    fn fingerprint(&self) -> Checksum {
        self.0.fingerprint()
    }

    fn metric(&self) -> Metric {
        self.0.metric()
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        self.0.embed(kind, texts)
    }
}

impl TextEncoder for Served {
    fn tokens(&self, kind: TextKind, text: &str) -> Result<usize, EmbedError> {
        let ids = self.0.contract.encode(&self.0.tokenizer, kind, text);
        ids.map(|ids| ids.len()).map_err(|error| EmbedError(Box::new(error)))
    }

    fn decode(&self, ids: &[u32]) -> Result<String, EmbedError> {
        let vocabulary = self.0.tokenizer.vocabulary();
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(EmbedError(format!("the tokenizer has {vocabulary} ids, not {id}").into()));
        }
        self.0.tokenizer.decode(ids).map_err(|error| EmbedError(Box::new(error)))
    }

    fn max_tokens(&self) -> usize {
        self.0.contract.max_length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_have_names() {
        let named = collection("wiki=some/path=x").unwrap();
        assert_eq!((named.name.as_str(), named.path), ("wiki", PathBuf::from("some/path=x")));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a=b");
        std::fs::create_dir(&path).unwrap();
        assert_eq!(collection(path.to_str().unwrap()).unwrap().name, "a=b");
        assert!(collection("no/such/folder").unwrap_err().to_string().contains("no/such/folder"));
    }
}
