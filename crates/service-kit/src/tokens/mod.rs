//! Verifies JSON web tokens (RFC 7519, RFC 8725).
//!
//! Only configured keys verify a token: HS256 with the shared secrets; RS256, ES256 and `EdDSA`
//! with the public key named by `kid`, each key for exactly one algorithm. A token without `kid` is verified by the
//! only key of its algorithm. Keys in the header (`jwk`, `jku`, `x5u`, `x5c`) are ignored, and a token with `crit` is
//! rejected.

mod claim_reader;
mod claims;
mod jwks;
mod remote;
mod settings;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, crypto};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::jwks::{KeySet, PublicKey};
use self::remote::RemoteKeys;
use crate::secrets::SecretSource;
use crate::watched_file::WatchedFile;

pub use claims::{Claims, Right, SUBJECT_BYTES, opens};
pub use settings::{
    JWKS_FILE, JWKS_URL, JWT_AUDIENCE, JWT_ISSUER, JWT_SECRET, TokenSettings, VerifierError,
};

/// Tolerated difference between the clocks of issuer and verifier.
pub const LEEWAY: Duration = Duration::from_secs(30);
/// Bound on a token, checked before it is parsed: providers put groups and roles into tokens.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;

/// Reasons to reject a token.
#[expect(missing_docs, reason = "the error texts say the rest")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a compact JWS, or an unsupported header.
    #[error(
        "the token is malformed: it must be a JWS of three parts in base64url, with a header in JSON"
    )]
    Malformed,
    #[error("the token is too long: it has {bytes} bytes, and {MAX_TOKEN_BYTES} may be")]
    TooLong { bytes: usize },
    /// A header with `crit` (RFC 7515 §4.1.11).
    #[error("the header of the token has crit: no extension is supported")]
    Critical,
    /// An algorithm without a configured key.
    #[error(
        "the token is signed with an algorithm that is not accepted: HS256 is with JWT_SECRET; RS256, ES256 and EdDSA \
         are with JWKS_URL or JWKS_FILE, each key for the one of its type"
    )]
    Algorithm,
    /// No configured public key has this `kid`.
    #[error(
        "the token is signed with an unknown key: the set of JWKS_URL or JWKS_FILE has none with its kid"
    )]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("the signature of the token is wrong")]
    Signature,
    #[error("claim exp: the token has expired")]
    Expired,
    #[error("claim nbf: the token is not valid yet")]
    NotYetValid,
    #[error(
        "claim aud: the token is for another audience: it names {count}, and not that of JWT_AUDIENCE"
    )]
    Audience { count: usize },
    #[error(
        "claim iss: the token is from another issuer: it {shape}, and not the text of JWT_ISSUER"
    )]
    Issuer { shape: String },
    /// A claim is missing, of a wrong type or out of range.
    #[error("{what}")]
    Claim {
        /// The claim and its fault.
        what: String,
    },
}

impl TokenError {
    /// Returns whether a fresh token would have been accepted.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        *self == Self::Expired
    }
}

/// Verifies tokens. Share it behind an [`Arc`].
#[derive(Debug)]
pub struct Verifier {
    secrets: Option<SecretSource>,
    file: Option<WatchedFile<KeySet>>,
    remote: Option<RemoteKeys>,
    issuer: Option<String>,
    audience: Option<String>,
}

/// The header fields that are read (RFC 7515 §4.1).
#[derive(Deserialize)]
struct JoseHeader {
    alg: String,
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// Tells that a field is there, whatever its value: `"crit": null` is no less critical.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl Verifier {
    /// Opens the keys; [`Verifier::refresh`] fetches those behind a URL.
    ///
    /// # Errors
    /// When the file cannot be used, or the URL is not trustworthy.
    pub fn new(settings: TokenSettings) -> Result<Self, VerifierError> {
        let open = |path: PathBuf| {
            let file = WatchedFile::open(&path, KeySet::parse)?;
            file.current()
                .check_usable()
                .map_err(|reason| format!("{}: {reason}", path.display()))?;
            Ok(file)
        };
        let fetch = |url: String| RemoteKeys::new(&url);
        Ok(Self {
            secrets: settings.secret,
            file: settings.jwks_file.map(open).transpose().map_err(VerifierError::File)?,
            remote: settings.jwks_url.map(fetch).transpose().map_err(VerifierError::Url)?,
            issuer: settings.issuer,
            audience: settings.audience,
        })
    }

    /// Returns whether any key is configured; without one every token is rejected.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.secrets.is_some() || self.has_public_keys()
    }

    /// Verifies a compact JWS at `now` (since 1970), without waiting for a fetch.
    ///
    /// # Errors
    /// The first fault. Claims are parsed only after the signature is verified.
    pub fn verify(&self, token: &str, now: Duration) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong { bytes: token.len() });
        }
        let parts = JwsParts::split(token).ok_or(TokenError::Malformed)?;
        self.check_signature(&parts)?;
        let claims = parts.claims()?;
        self.check_claims(&claims, now)?;
        Ok(claims)
    }

    /// Verifies like [`Verifier::verify`]; after an unknown `kid`, waits up to 3 s for a fetch that
    /// may bring the key.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub async fn verify_fresh(&self, token: &str, now: Duration) -> Result<Claims, TokenError> {
        match (self.verify(token, now), &self.remote) {
            (Err(TokenError::UnknownKey), Some(remote)) => {
                remote.wait_idle().await;
                self.verify(token, now)
            }
            (verdict, _) => verdict,
        }
    }

    /// Fetches the keys behind the URL regularly until `shutdown`; returns at once without a URL.
    pub async fn refresh(self: Arc<Self>, shutdown: CancellationToken) {
        if let Some(remote) = &self.remote {
            remote.run(shutdown).await;
        }
    }

    /// Warns of a provider whose tokens for others open this service too: it issues them to all of its tenants.
    pub fn warn_of_any_audience(&self) {
        if self.has_public_keys() && self.audience.is_none() {
            warn!(
                "every token that the keys of JWKS_URL or JWKS_FILE sign is accepted, whomever it is for: if others use \
                 the same provider, set JWT_AUDIENCE to one value for node and credential service"
            );
        }
    }

    fn has_public_keys(&self) -> bool {
        self.file.is_some() || self.remote.is_some()
    }

    fn check_signature(&self, parts: &JwsParts<'_>) -> Result<(), TokenError> {
        let header = parts.header()?;
        match header.alg.as_str() {
            "HS256" => self.check_hmac(parts),
            "RS256" => self.check_public_key(parts, header.kid.as_deref(), Algorithm::RS256),
            "ES256" => self.check_public_key(parts, header.kid.as_deref(), Algorithm::ES256),
            "EdDSA" => self.check_public_key(parts, header.kid.as_deref(), Algorithm::EdDSA),
            _ => Err(TokenError::Algorithm),
        }
    }

    fn check_hmac(&self, parts: &JwsParts<'_>) -> Result<(), TokenError> {
        let secrets = self.secrets.as_ref().ok_or(TokenError::Algorithm)?.current();
        let is_signed =
            |key: &[u8]| parts.is_signed(&DecodingKey::from_secret(key), Algorithm::HS256);
        if secrets.all().any(is_signed) { Ok(()) } else { Err(TokenError::Signature) }
    }

    fn check_public_key(
        &self,
        parts: &JwsParts<'_>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<(), TokenError> {
        if !self.has_public_keys() {
            return Err(TokenError::Algorithm);
        }
        let sets = self.file.iter().map(WatchedFile::current);
        let sets = sets.chain(self.remote.iter().map(RemoteKeys::current));
        for keys in sets {
            match keys.find(kid, algorithm) {
                Some(PublicKey { key, .. }) if parts.is_signed(key, algorithm) => return Ok(()),
                Some(_) => return Err(TokenError::Signature),
                None if kid.is_some_and(|kid| keys.has(kid)) => {
                    return Err(TokenError::Algorithm);
                }
                None => {}
            }
        }
        self.remote.iter().for_each(RemoteKeys::request_fetch);
        Err(TokenError::UnknownKey)
    }

    fn check_claims(&self, claims: &Claims, now: Duration) -> Result<(), TokenError> {
        let begins = Duration::from_secs(claims.nbf.unwrap_or_default());
        if now >= Duration::from_secs(claims.exp) + LEEWAY {
            Err(TokenError::Expired)
        } else if now + LEEWAY < begins {
            Err(TokenError::NotYetValid)
        } else if self.issuer.is_some() && self.issuer != claims.iss {
            let shape = match &claims.iss {
                Some(text) => format!("names one of {} bytes", text.len()),
                None => "names none".to_owned(),
            };
            Err(TokenError::Issuer { shape })
        } else if self.audience.as_ref().is_some_and(|wanted| !claims.aud.contains(wanted)) {
            Err(TokenError::Audience { count: claims.aud.len() })
        } else {
            Ok(())
        }
    }
}

/// The three parts of a compact JWS (RFC 7515 §7.1).
struct JwsParts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// The signed bytes: header and payload with the dot between them.
    message: &'a [u8],
}

impl<'a> JwsParts<'a> {
    fn split(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        (!payload.contains('.')).then_some(Self {
            header,
            payload,
            signature,
            message: message.as_bytes(),
        })
    }

    fn header(&self) -> Result<JoseHeader, TokenError> {
        let bytes = decode(self.header)?;
        let header: JoseHeader =
            serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)?;
        if header.crit { Err(TokenError::Critical) } else { Ok(header) }
    }

    fn claims(&self) -> Result<Claims, TokenError> {
        // serde_json adds the place in the payload, which the client does not see.
        let without_place = |error: serde_json::Error| {
            let text = error.to_string();
            text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
        };
        serde_json::from_slice(&decode(self.payload)?)
            .map_err(|error| TokenError::Claim { what: without_place(error) })
    }

    fn is_signed(&self, key: &DecodingKey, algorithm: Algorithm) -> bool {
        // An error means that key or signature have the wrong length for the algorithm.
        crypto::verify(self.signature, self.message, key, algorithm).unwrap_or(false)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

/// Signs claims with a shared key (HS256).
///
/// # Panics
/// Never: claims always serialize, and HMAC takes a key of any length.
#[must_use]
pub fn mint(claims: &Claims, key: &[u8]) -> String {
    let header = Header::new(Algorithm::HS256);
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(key))
        .expect("claims serialize and HMAC takes any key")
}
