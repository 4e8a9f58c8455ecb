//! Settings of a token verifier, shared by both services.

use std::path::PathBuf;

use super::Verifier;
use crate::secrets::SecretSource;
use crate::settings::{Kind, Reader, Setting};

/// Setting of the shared keys, for a service's schema.
pub const JWT_SECRET: Setting = Setting {
    name: "jwt_secret",
    group: "tokens",
    value: "KEYS",
    default: None,
    help: "HS256 keys that sign tokens, one per line, 32 bytes or more each; all verify",
    kind: Kind::Secret,
};

/// Setting of the URL of public keys, for a service's schema.
pub const JWKS_URL: Setting = plain(
    "jwks_url",
    "URL",
    "URL from which RS256, ES256 and EdDSA keys are fetched and refreshed: https, or http on \
     loopback",
);

/// Setting of the file of public keys, for a service's schema.
pub const JWKS_FILE: Setting = plain(
    "jwks_file",
    "FILE",
    "JWKS file with RS256, ES256 and EdDSA keys; reloaded when it \
                                changes",
);

/// Setting of the issuer, for a service's schema.
pub const JWT_ISSUER: Setting = plain("jwt_issuer", "TEXT", "Required `iss` of every token");

/// Setting of the audience, for a service's schema.
pub const JWT_AUDIENCE: Setting = plain("jwt_audience", "TEXT", "Required `aud` of every token");

const fn plain(name: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { name, group: "tokens", value, default: None, help, kind: Kind::Plain }
}

/// Keys and requirements of a verifier.
#[derive(Clone, Debug, Default)]
pub struct TokenSettings {
    /// Shared keys for HS256.
    pub secret: Option<SecretSource>,
    /// A JWKS document on disk, reloaded when it changes.
    pub jwks_file: Option<PathBuf>,
    /// A JWKS document of an identity provider, refreshed by [`Verifier::refresh`].
    pub jwks_url: Option<String>,
    /// Required `iss`.
    pub issuer: Option<String>,
    /// Required `aud`.
    pub audience: Option<String>,
}

impl TokenSettings {
    /// Reads the settings above, which the schema must declare.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            secret: reader.secrets(JWT_SECRET.name),
            jwks_file: reader.optional_parse(JWKS_FILE.name),
            jwks_url: reader.optional_text(JWKS_URL.name),
            issuer: reader.optional_text(JWT_ISSUER.name),
            audience: reader.optional_text(JWT_AUDIENCE.name),
        }
    }

    /// Creates the verifier; reports an unusable key source as a fault of its setting.
    ///
    /// `None` after a fault. A verifier without any key rejects every token.
    pub fn verifier(self, reader: &mut Reader<'_>) -> Option<Verifier> {
        Verifier::new(self).map_err(|error| reader.fault(error.setting(), error)).ok()
    }
}

/// Reasons why a verifier cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum VerifierError {
    /// The JWKS file cannot be used.
    #[error("cannot be used: {0}")]
    File(String),
    /// The JWKS URL cannot be used.
    #[error("{0}")]
    Url(String),
}

impl VerifierError {
    fn setting(&self) -> &'static str {
        match self {
            Self::File(_) => JWKS_FILE.name,
            Self::Url(_) => JWKS_URL.name,
        }
    }
}
