//! A server on loopback, a collection, an encoder without a model, and a client that can misbehave.

#![allow(
    dead_code,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of several tests, none of which uses all"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_base::rerank::Reranker;
use revela_index::testing::HashEmbedder;
use revela_index::{Collection, CollectionBuilder, Duplicates, Passage};
use revela_search::Store;
use revela_serve::{CollectionConfig, Config, ServeError, Server, TextEncoder};
use serde_json::Value;

pub(crate) const DIMENSION: usize = 64;

pub(crate) const TEXTS: [(&str, &str); 6] = [
    ("guide#0", "Leases are renewed by the keeper of the lock."),
    ("guide#1", "A lease that is not renewed ends after ten seconds."),
    ("guide#2", "Größe: der Schlüssel 🔑 opens the archive."),
    ("net/socket#0", "Open a socket and listen for connections."),
    ("net/socket#1", "A connection that stays silent is closed."),
    ("plain", "Bread is baked from flour and water."),
];

pub(crate) fn passage(id: &str, text: &str) -> Passage {
    Passage { id: id.into(), title: String::new(), text: text.into() }
}

/// Embeds by hashing; a token is a byte, and so is a token id. May be told to wait before each batch.
pub(crate) struct ByteEncoder {
    inner: HashEmbedder,
    gate: Option<Mutex<mpsc::Receiver<()>>>,
}

impl ByteEncoder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { inner: HashEmbedder::new(DIMENSION), gate: None })
    }

    /// One that embeds a batch for every word that comes, and freely once the other end is gone.
    pub(crate) fn gated() -> (Arc<Self>, mpsc::Sender<()>) {
        let (open, gate) = mpsc::channel();
        let gate = Some(Mutex::new(gate));
        (Arc::new(Self { inner: HashEmbedder::new(DIMENSION), gate }), open)
    }
}

impl Embedder for ByteEncoder {
    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    fn fingerprint(&self) -> Checksum {
        self.inner.fingerprint()
    }

    fn metric(&self) -> Metric {
        self.inner.metric()
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        if let Some(gate) = &self.gate {
            let _ = gate.lock().unwrap().recv();
        }
        assert!(!texts.contains(&"make it panic"), "as asked");
        let mut rows = self.inner.embed(kind, texts)?;
        for row in rows.chunks_mut(DIMENSION) {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter_mut().for_each(|x| *x /= length);
        }
        Ok(rows)
    }
}

impl TextEncoder for ByteEncoder {
    fn tokens(&self, _kind: TextKind, text: &str) -> Result<usize, EmbedError> {
        Ok(text.len())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, EmbedError> {
        let bytes = ids.iter().map(|&id| u8::try_from(id)).collect::<Result<Vec<u8>, _>>();
        let bytes = bytes.map_err(|error| EmbedError(Box::new(error)))?;
        String::from_utf8(bytes).map_err(|error| EmbedError(Box::new(error)))
    }

    fn max_tokens(&self) -> usize {
        512
    }
}

/// Builds a collection of these texts; without an encoder it has no vectors.
pub(crate) fn build(path: &Path, texts: &[(&str, &str)], encoder: Option<&dyn Embedder>) -> Collection {
    let passages = texts.iter().map(|(id, text)| Ok::<_, std::io::Error>(passage(id, text)));
    let builder = CollectionBuilder::new(path).chunker(serde_json::json!({"kind": "test"}));
    builder.duplicates(Duplicates::LastWins).build(passages, encoder, &Silent, &Interrupt::new()).unwrap()
}

/// A running server with its folder.
pub(crate) struct Running {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    interrupt: Interrupt,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Running {
    /// Serves the collection `wiki` of [`TEXTS`].
    pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_encoder(Some(ByteEncoder::new()), change)
    }

    pub(crate) fn with_encoder(
        encoder: Option<Arc<dyn TextEncoder>>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let running = Self::unready(change, move |_| Ok(encoder));
        running.wait_until_ready();
        running
    }

    /// The same with a reranker.
    pub(crate) fn with_reranker(reranker: Arc<dyn Reranker>, change: impl FnOnce(&mut Config)) -> Self {
        let encoder: Arc<dyn TextEncoder> = ByteEncoder::new();
        let running = Self::unready_with(Vec::new(), Some(reranker), change, move |_| Ok(Some(encoder)));
        running.wait_until_ready();
        running
    }

    /// Serves these stores, too.
    pub(crate) fn start_with(
        stores: Vec<(String, Arc<dyn Store>)>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let running = Self::unready_with(stores, None, change, |_| Ok(Some(ByteEncoder::new())));
        running.wait_until_ready();
        running
    }

    pub(crate) fn unready<L>(change: impl FnOnce(&mut Config), load: L) -> Self
    where
        L: FnOnce(&Config) -> Result<Option<Arc<dyn TextEncoder>>, revela_serve::BoxError> + Send + 'static,
    {
        Self::unready_with(Vec::new(), None, change, load)
    }

    fn unready_with<L>(
        stores: Vec<(String, Arc<dyn Store>)>,
        reranker: Option<Arc<dyn Reranker>>,
        change: impl FnOnce(&mut Config),
        load: L,
    ) -> Self
    where
        L: FnOnce(&Config) -> Result<Option<Arc<dyn TextEncoder>>, revela_serve::BoxError> + Send + 'static,
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wiki");
        build(&path, &TEXTS, Some(&HashEmbedder::new(DIMENSION)));
        let collections = vec![CollectionConfig { name: "wiki".into(), path }];
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut config =
            Config { listen, collections, reload_ms: 20, shutdown_seconds: 5, ..Config::default() };
        change(&mut config);
        for collection in &mut config.collections {
            collection.path = dir.path().join(&collection.path);
        }
        let server = Server::bind_with(config, stores).unwrap().with_reranker(move |_| Ok(reranker));
        let (address, interrupt) = (server.address(), Interrupt::new());
        let end = interrupt.clone();
        let thread = Some(std::thread::spawn(move || server.run(load, &end)));
        Self { dir, address, interrupt, thread }
    }

    fn wait_until_ready(&self) {
        let start = Instant::now();
        while self.get("/readyz").status != 200 {
            assert!(start.elapsed() < Duration::from_secs(60), "the server is never ready");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(request.as_bytes()).unwrap();
        // A server that refuses a body may close while it is being sent.
        let _ = stream.write_all(body);
        Answer::read(stream)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// The value of a line of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until something holds.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn ask_to_end(&self) {
        self.interrupt.request();
    }

    pub(crate) fn end(mut self) -> Result<(), ServeError> {
        self.interrupt.request();
        self.thread.take().unwrap().join().unwrap()
    }

    /// Waits for a server that ends by itself.
    pub(crate) fn ended(mut self) -> Result<(), ServeError> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.interrupt.request();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads until the server closes the connection.
    pub(crate) fn read(mut stream: impl Read) -> Self {
        let mut bytes = Vec::new();
        // A connection that is reset after the answer has its answer all the same.
        let _ = stream.read_to_end(&mut bytes);
        Self::parse(&bytes)
    }

    /// Reads one answer from a connection that stays open.
    pub(crate) fn read_one(stream: &mut impl Read) -> Self {
        let (mut bytes, mut byte) = (Vec::new(), [0]);
        while !bytes.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        let mut answer = Self::parse(&bytes);
        answer.body = vec![0; answer.header("content-length").unwrap().parse().unwrap()];
        stream.read_exact(&mut answer.body).unwrap();
        answer
    }

    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            return Self { status: 0, head: String::new(), body: bytes.to_vec() };
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {:?}", self.head, self.text()))
    }

    /// The answer to what must succeed.
    pub(crate) fn fine(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// Checks an error's status, code and form, and that its message holds `part`.
    pub(crate) fn fails(&self, status: u16, code: &str, part: &str) {
        assert_eq!(self.status, status, "{} {}", self.head, self.text());
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(part), "no {part:?} in {message:?}");
        let retry = self.header("retry-after").map(|value| value.parse::<u64>().unwrap());
        assert_eq!(retry.is_some(), matches!(status, 429 | 503), "{}", self.head);
    }
}
