//! Certificates.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsConfig;
use crate::error::ServeError;

/// Reads certificate and key, and checks that they belong together.
pub(crate) fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, ServeError> {
    let wrong = |path: &Path, detail: String| ServeError::Tls { path: path.to_owned(), detail };
    let chain = CertificateDer::pem_file_iter(&config.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(&config.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(&config.certificate, "it holds no certificate in PEM".to_owned()));
    }
    let key =
        PrivateKeyDer::from_pem_file(&config.key).map_err(|error| wrong(&config.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ServeError::system("set up TLS"))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&config.certificate, error.to_string()))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}
