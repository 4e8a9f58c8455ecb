//! The settings of a verifier, the same in every service that takes tokens.

use std::path::PathBuf;

use super::Verifier;
use crate::secrets::SecretSource;
use crate::settings::{Kind, Reader, Setting};

/// The setting for shared keys; for a service's schema.
pub const JWT_SECRET: Setting = Setting {
    name: "jwt_secret",
    group: "tokens",
    value: "KEYS",
    default: None,
    help: "HS256 keys that sign tokens, one per line, 32 bytes or more each; all verify",
    kind: Kind::Secret,
};

/// The setting for public keys fetched from an identity provider; for a service's schema.
pub const JWKS_URL: Setting = plain(
    "jwks_url",
    "URL",
    "Where RS256, ES256 and EdDSA keys are fetched and refreshed: https, or http on loopback",
);

/// The setting for public keys on disk; for a service's schema.
pub const JWKS_FILE: Setting =
    plain("jwks_file", "FILE", "A JWKS document with RS256, ES256 and EdDSA keys, followed");

/// The setting for the issuer; for a service's schema.
pub const JWT_ISSUER: Setting = plain("jwt_issuer", "TEXT", "The `iss` every token must have");

/// The setting for the audience; for a service's schema.
pub const JWT_AUDIENCE: Setting = plain("jwt_audience", "TEXT", "The `aud` every token must name");

const fn plain(name: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { name, group: "tokens", value, default: None, help, kind: Kind::Plain }
}

/// Where the keys of a verifier come from and what it asks of tokens.
#[derive(Clone, Debug, Default)]
pub struct TokenSettings {
    /// Shared keys for HS256.
    pub secret: Option<SecretSource>,
    /// A JWKS document on disk, followed.
    pub jwks_file: Option<PathBuf>,
    /// A JWKS document at an identity provider, refreshed by [`Verifier::refresh`].
    pub jwks_url: Option<String>,
    /// The `iss` a token must have.
    pub issuer: Option<String>,
    /// The `aud` a token must name.
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

    /// Builds the verifier and reports what cannot be used under the name of its setting.
    ///
    /// Returns nothing when there was a fault; a verifier without any key refuses every token.
    pub fn verifier(self, reader: &mut Reader<'_>) -> Option<Verifier> {
        Verifier::new(self).map_err(|error| reader.fault(error.setting(), error)).ok()
    }
}

/// Why a verifier cannot be built.
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
