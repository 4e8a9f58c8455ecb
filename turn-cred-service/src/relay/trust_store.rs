//! Certificate authorities accepted for TLS relays.

use std::path::Path;
use std::sync::Arc;

use rustls_platform_verifier::Verifier;
use service_kit::settings::Reader;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig};

use super::RelayError;

/// The authorities of the system, and optionally those of a PEM file.
#[derive(Clone, Debug)]
pub struct TrustStore {
    /// A system without authorities is an error only for TLS relays, so the result is kept until
    /// one is connected to.
    config: Result<Arc<ClientConfig>, rustls::Error>,
}

/// Reasons why a file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustStoreError {
    /// Unreadable, or not PEM.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] pem::Error),
    /// PEM without a certificate.
    #[error("holds no certificate: write it in PEM")]
    Empty,
    /// A certificate that cannot be an authority.
    #[error("holds a certificate that cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

impl TrustStore {
    /// Trusts the authorities of the system.
    #[must_use]
    pub fn system() -> Self {
        Self { config: config(Vec::new()) }
    }

    /// Trusts the authorities of the system and the certificates of a PEM file.
    ///
    /// # Errors
    /// When the file cannot be read or has no usable certificate.
    pub fn with_pem_file(path: &Path) -> Result<Self, TrustStoreError> {
        let authorities = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
        if authorities.is_empty() {
            return Err(TrustStoreError::Empty);
        }
        Ok(Self { config: Ok(config(authorities)?) })
    }

    /// Reads the setting `relay_ca_file`, which the schema must declare.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let Some(path) = reader.optional_text("relay_ca_file") else { return Self::system() };
        Self::with_pem_file(Path::new(&path)).unwrap_or_else(|error| {
            reader.fault("relay_ca_file", error);
            Self::system()
        })
    }

    /// Returns the TLS connector and the name to verify for `host`, a name or an address.
    pub(super) fn connector(
        &self,
        host: &str,
    ) -> Result<(TlsConnector, ServerName<'static>), RelayError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| RelayError::Tls(rustls::Error::UnsupportedNameType))?;
        let config = self.config.clone().map_err(RelayError::Tls)?;
        Ok((TlsConnector::from(config), name))
    }
}

fn config(more: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(more, Arc::clone(&provider))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // rustls calls every custom verifier dangerous; this one is the platform's with additional
        // roots.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        assert!(matches!(TrustStore::with_pem_file(&path), Err(TrustStoreError::Unreadable(_))));
        std::fs::write(&path, "no PEM at all\n").unwrap();
        assert!(matches!(TrustStore::with_pem_file(&path), Err(TrustStoreError::Empty)));
        let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, not_a_certificate).unwrap();
        assert!(matches!(TrustStore::with_pem_file(&path), Err(TrustStoreError::Unusable(_))));
    }
}
