//! Connections: accepted within bounds, served, and brought to an end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use revela_base::interrupt::Interrupt;
use revela_base::rerank::Reranker;
use revela_search::Store;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::batching::Models;
use crate::config::Config;
use crate::encoder::TextEncoder;
use crate::error::ServeError;
use crate::impatient::Impatient;
use crate::middleware::Peer;
use crate::state::{App, NamedStore};
use crate::{reload, routes, tls};

/// An error of whoever embeds the server.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How often the wish to end is looked for.
const LOOK_FOR_END: Duration = Duration::from_millis(50);

/// How long accepting rests after the system refused, for want of file descriptors say.
const REST: Duration = Duration::from_millis(50);

/// A server that listens but does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    tls: Option<TlsAcceptor>,
    load_reranker: Option<RerankerLoader>,
    stores: Vec<NamedStore>,
}

/// Loads the reranker that the configuration names.
type RerankerLoader = Box<dyn FnOnce(&Config) -> Result<Option<Arc<dyn Reranker>>, BoxError> + Send>;

impl Server {
    /// Checks the configuration and listens.
    ///
    /// # Errors
    /// [`ServeError`] when a setting, the address or the certificate cannot be used.
    pub fn bind(config: Config) -> Result<Self, ServeError> {
        Self::bind_with(config, Vec::new())
    }

    /// The same with stores that are open already, each under its name, beside the collections of the
    /// configuration.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with(config: Config, stores: Vec<(String, Arc<dyn Store>)>) -> Result<Self, ServeError> {
        let names = stores.iter().map(|(name, _)| name.as_str());
        config.check(&names.collect::<Vec<_>>())?;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let listen = |source| ServeError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, address, app: Arc::new(App::new(config)?), tls, stores, load_reranker: None })
    }

    /// The same server with a reranker, which is loaded after the encoder.
    #[must_use]
    pub fn with_reranker<L>(self, load: L) -> Self
    where
        L: FnOnce(&Config) -> Result<Option<Arc<dyn Reranker>>, BoxError> + Send + 'static,
    {
        Self { load_reranker: Some(Box::new(load)), ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a browser on this machine finds it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until it is asked to stop. It answers from the start on, with 503 where it must wait for the
    /// encoder and the collections. When asked to stop, it finishes what is in flight.
    ///
    /// # Errors
    /// [`ServeError`] when the encoder or a collection cannot be loaded.
    pub fn run<L>(self, load: L, interrupt: &Interrupt) -> Result<(), ServeError>
    where
        L: FnOnce(&Config) -> Result<Option<Arc<dyn TextEncoder>>, BoxError> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("revela-serve")
            .build()
            .map_err(ServeError::system("start threads"))?;
        // Closing a store may block, which the runtime's threads must not: the last hold is given up after it.
        let stores = self.stores.clone();
        let ended = runtime.block_on(self.serve(load, interrupt));
        // What is still running then was given its time.
        runtime.shutdown_timeout(Duration::from_millis(500));
        drop(stores);
        ended
    }

    async fn serve<L>(self, load: L, interrupt: &Interrupt) -> Result<(), ServeError>
    where
        L: FnOnce(&Config) -> Result<Option<Arc<dyn TextEncoder>>, BoxError> + Send + 'static,
    {
        let url = self.url();
        let Self { listener, app, tls, load_reranker, stores, .. } = self;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(ServeError::system("listen"))?;
        tracing::info!(url, "listening");
        warn_of_openness(&app.config);
        let (end, ending) = watch::channel(false);
        let acceptor = Acceptor { router: routes::router(&app), app: app.clone(), tls, ending };
        let accepting = tokio::spawn(acceptor.accept(listener));
        let watching = tokio::spawn(reload::watch(app.clone()));
        let loading = app.clone();
        let mut loaded = tokio::task::spawn_blocking(move || load_all(&loading, load, load_reranker, stores));
        let outcome = tokio::select! {
            outcome = &mut loaded => match outcome {
                Ok(Ok(())) => {
                    tracing::info!("ready");
                    requested(interrupt).await;
                    Ok(())
                }
                Ok(Err(error)) => Err(error),
                Err(panicked) => Err(ServeError::Encoder(panicked.into())),
            },
            () = requested(interrupt) => Ok(()),
        };
        app.end();
        tracing::info!("shutting down");
        end.send_replace(true);
        watching.abort();
        let time = Duration::from_secs(app.config.shutdown_seconds);
        match tokio::time::timeout(time, accepting).await {
            Ok(_) => tracing::info!("all requests were answered"),
            Err(_) => tracing::warn!("some requests were not answered in time"),
        }
        outcome
    }
}

async fn requested(interrupt: &Interrupt) {
    while !interrupt.requested() {
        tokio::time::sleep(LOOK_FOR_END).await;
    }
}

fn load_all<L>(
    app: &App,
    load: L,
    load_reranker: Option<RerankerLoader>,
    stores: Vec<NamedStore>,
) -> Result<(), ServeError>
where
    L: FnOnce(&Config) -> Result<Option<Arc<dyn TextEncoder>>, BoxError>,
{
    let encoder = load(&app.config).map_err(ServeError::Encoder)?;
    let reranker = load_reranker.map(|load| load(&app.config)).transpose().map_err(ServeError::Reranker)?;
    app.start(Models { encoder, reranker: reranker.flatten() }, stores)
}

fn warn_of_openness(config: &Config) {
    if config.keys.is_empty() && !config.listen.ip().is_loopback() {
        tracing::warn!("other machines can connect and no key is asked for; see `revela serve --new-key`");
    }
}

/// Waits for the end; a server that is gone has ended.
async fn end_of(ending: &mut watch::Receiver<bool>) {
    let _ = ending.wait_for(|end| *end).await;
}

/// What every connection needs.
#[derive(Clone)]
struct Acceptor {
    router: Router,
    app: Arc<App>,
    tls: Option<TlsAcceptor>,
    ending: watch::Receiver<bool>,
}

impl Acceptor {
    /// Accepts until the end, then waits until every connection is done.
    async fn accept(self, listener: tokio::net::TcpListener) {
        let most = self.app.config.limits.connections;
        let places = Arc::new(Semaphore::new(most));
        let mut ending = self.ending.clone();
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await;
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                accepted = accepted => accepted,
                () = end_of(&mut ending) => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let acceptor = self.clone();
                    tokio::spawn(async move {
                        acceptor.connection(stream, peer).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(REST).await;
                }
            }
        }
        drop(listener);
        // All places are free once all connections are closed.
        let _ = places.acquire_many(u32::try_from(most).unwrap_or(u32::MAX)).await;
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr) {
        let metrics = self.app.metrics.clone();
        let _open = metrics.connection();
        // Answers are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let stream = Impatient::new(stream, Duration::from_millis(self.app.config.limits.write_ms));
        match self.tls.clone() {
            None => self.http(stream, peer).await,
            Some(tls) => {
                let time = Duration::from_millis(self.app.config.limits.header_ms);
                match tokio::time::timeout(time, tls.accept(stream)).await {
                    Ok(Ok(stream)) => self.http(stream, peer).await,
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
                    Err(_) => tracing::debug!(%peer, "TLS took too long"),
                }
            }
        }
    }

    async fn http(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: SocketAddr) {
        let limits = &self.app.config.limits;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(limits.header_ms))
            .max_headers(limits.headers)
            .max_buf_size(limits.header_bytes);
        let routes = TowerToHyperService::new(self.router);
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(Peer(peer));
            routes.call(request)
        });
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = end_of(&mut self.ending) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection failed");
        }
    }
}
