//! `mint`: prints one credential, for testing a relay by hand.

use serde::Serialize;
use service_kit::clock;

use super::CommandError;
use crate::config::CredentialSettings;
use crate::credential::{Credential, Subject};
use crate::key_store::KeyStore;
use crate::pool::Pools;

/// A credential with the field names of `RTCIceServer`, and its expiry.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MintedCredential {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    username: String,
    credential: String,
    ttl: u64,
    expires_at: String,
}

/// Issues a credential for `subject` as one line of JSON with the URLs of all relays.
///
/// # Errors
/// When the secret is in a Redis that cannot be reached.
pub async fn mint(settings: CredentialSettings, subject: &Subject) -> Result<String, CommandError> {
    let KeyStore { keys, .. } = KeyStore::open(&settings).await?;
    let ttl = settings.ttl_settings.default.as_secs();
    let expiry = clock::unix_seconds() + ttl;
    let secrets = keys.signing.current();
    let Credential { username, password } =
        Credential::issue(secrets.signing(), &keys.pseudonym_of(subject), expiry);
    let relays = settings.pools.iter().flat_map(Pools::relays);
    let minted = MintedCredential {
        urls: relays.flat_map(|relay| &relay.uris).map(ToString::to_string).collect(),
        username,
        credential: password,
        ttl,
        expires_at: clock::rfc3339(expiry),
    };
    Ok(serde_json::to_string(&minted).expect("strings serialize") + "\n")
}
