//! The certificates of a connection to Redis.

use std::fmt;
use std::sync::Arc;

use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_rustls::rustls::client::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{Error, RootCertStore};

use crate::pem;
use crate::settings::Reader;

/// Certificates in PEM.
#[derive(Clone, Default)]
pub struct Certificates {
    /// The authorities that are trusted, instead of those of the system.
    pub authorities: Option<Vec<u8>>,
    /// A certificate of our own and its key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Prints no key.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

impl Certificates {
    /// Reads the files of certificates; `None` if none is set.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let authorities = read_pem(reader, "redis_ca_file", |pem| pem::certificates(pem).map(drop));
        let cert = read_pem(reader, "redis_cert_file", |pem| pem::certificates(pem).map(drop));
        let key = read_pem(reader, "redis_key_file", |pem| pem::private_key(pem).map(drop));
        let pair = ["redis_cert_file", "redis_key_file"];
        for (one, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            if reader.is_set(one) && !reader.is_set(other) {
                reader.fault(other, format!("is needed where {one} is set"));
            }
        }
        let client = cert.zip(key);
        (authorities.is_some() || client.is_some()).then_some(Self { authorities, client })
    }

    /// Returns the configuration of a client.
    ///
    /// # Errors
    /// When an authority or the key is of a kind that is not supported, or the system has no authorities.
    pub fn client_config(&self) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.authorities {
            None => builder.with_platform_verifier()?,
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for authority in pem::certificates(pem).map_err(Error::General)? {
                    roots.add(authority)?;
                }
                builder.with_root_certificates(roots)
            }
        };
        match &self.client {
            None => Ok(builder.with_no_client_auth()),
            Some((cert, key)) => {
                let cert = pem::certificates(cert).map_err(Error::General)?;
                let key = pem::private_key(key).map_err(Error::General)?;
                builder.with_client_auth_cert(cert, key)
            }
        }
    }
}

fn read_pem(
    reader: &mut Reader<'_>,
    name: &str,
    check: fn(&[u8]) -> Result<(), String>,
) -> Option<Vec<u8>> {
    let path = reader.optional_text(name)?;
    let bytes = std::fs::read(&path).map_err(|error| format!("cannot be read: {error}"));
    let checked = bytes.and_then(|bytes| check(&bytes).map(|()| bytes));
    checked.map_err(|what| reader.fault(name, format!("is not usable: {what}"))).ok()
}
