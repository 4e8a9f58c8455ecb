//! TLS on a listener, for deployments without a TLS-terminating proxy.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use tracing::warn;

use crate::pem;
use crate::settings::{Kind, Reader, Setting};
use crate::watched_file::WatchedFile;

/// Timeout of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Setting of the certificate, for a service's schema.
pub const TLS_CERT_FILE: Setting = Setting {
    name: "tls_cert_file",
    group: "network",
    value: "FILE",
    default: None,
    help: "PEM file of the certificate chain: TLS on the public listener; reloaded when it changes",
    kind: Kind::Plain,
};

/// Setting of its key, for a service's schema.
pub const TLS_KEY_FILE: Setting = Setting {
    name: "tls_key_file",
    group: "network",
    value: "FILE",
    default: None,
    help: "PEM file of the certificate's key; reloaded when it changes",
    kind: Kind::Plain,
};

/// TLS with a certificate and key that are reloaded when their files change.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads [`TLS_CERT_FILE`] and [`TLS_KEY_FILE`], which the schema must declare; `None` if
    /// neither is set.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let cert = reader.optional_text(TLS_CERT_FILE.name);
        let key = reader.optional_text(TLS_KEY_FILE.name);
        match (cert, key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Self::open(cert.as_ref(), key.as_ref())
                .inspect_err(|what| reader.fault(TLS_CERT_FILE.name, what))
                .ok(),
            (Some(_), None) => {
                reader.fault(TLS_KEY_FILE.name, "is needed where tls_cert_file is set");
                None
            }
            (None, Some(_)) => {
                reader.fault(TLS_CERT_FILE.name, "is needed where tls_key_file is set");
                None
            }
        }
    }

    fn open(cert: &Path, key: &Path) -> Result<Self, String> {
        let files = CertificateFiles {
            chain: WatchedFile::open(cert, |text| pem::certificates(text.as_bytes()))
                .map_err(|why| format!("is not usable: {why}"))?,
            key: WatchedFile::open(key, |text| pem::private_key(text.as_bytes()))
                .map_err(|why| format!("goes with {}, which {why}", TLS_KEY_FILE.name))?,
        };
        let pair = files.pair();
        let certified =
            pair.certified().map_err(|error| format!("does not match its key: {error}"))?;
        let resolver =
            CertificateResolver { files, known: Mutex::new((pair, Arc::new(certified))) };
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions")
            .with_no_client_auth();
        let mut config = config.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Performs a handshake; `None` if it fails or times out.
    pub(super) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await.ok()?.ok()
    }
}

struct CertificateFiles {
    chain: WatchedFile<Vec<CertificateDer<'static>>>,
    key: WatchedFile<PrivateKeyDer<'static>>,
}

/// The contents of both files at one moment.
struct CertificatePair {
    chain: Arc<Vec<CertificateDer<'static>>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl CertificateFiles {
    fn pair(&self) -> CertificatePair {
        CertificatePair { chain: self.chain.current(), key: self.key.current() }
    }
}

impl CertificatePair {
    fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chain, &other.chain) && Arc::ptr_eq(&self.key, &other.key)
    }

    /// Builds the signing key. Fails if certificate and key do not belong together.
    fn certified(&self) -> Result<CertifiedKey, rustls::Error> {
        let provider = aws_lc_rs::default_provider();
        CertifiedKey::from_der(self.chain.to_vec(), self.key.clone_key(), &provider)
    }
}

/// Returns the newest pair of files that belong together.
struct CertificateResolver {
    files: CertificateFiles,
    known: Mutex<(CertificatePair, Arc<CertifiedKey>)>,
}

impl fmt::Debug for CertificateResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateResolver")
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.files.pair();
        if !known.0.is_same_as(&found) {
            match found.certified() {
                Ok(certified) => *known = (found, Arc::new(certified)),
                // The two files are replaced one after the other, so a mismatch is normal for a
                // moment: keep the previous pair. Storing `found` logs it once.
                Err(error) => {
                    warn!("the new certificate does not match its key: {error}");
                    known.0 = found;
                }
            }
        }
        Some(known.1.clone())
    }
}
