//! `mint`: a credential to try a relay with by hand.

use serde::Serialize;
use service_kit::clock;

use super::CommandError;
use crate::config::Ground;
use crate::credential::{Credential, Subject};
use crate::opened::Opened;
use crate::pool::Pools;

/// A credential as `RTCIceServer` has it, with its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Minted {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    username: String,
    credential: String,
    ttl: u64,
    expires_at: String,
}

/// Makes a credential for `subject` as a line of JSON, with the URLs of all relays.
///
/// # Errors
/// When the secret is in a Redis that is away.
pub async fn mint(ground: Ground, subject: &Subject) -> Result<String, CommandError> {
    let Opened { keys, .. } = Opened::open(&ground).await?;
    let ttl = ground.lifetimes.default.as_secs();
    let expiry = clock::unix_seconds() + ttl;
    let secrets = keys.signing.current();
    let Credential { username, password } =
        Credential::issue(secrets.signing(), &keys.hide(subject), expiry);
    let relays = ground.pools.iter().flat_map(Pools::relays);
    let minted = Minted {
        urls: relays.flat_map(|relay| &relay.uris).map(ToString::to_string).collect(),
        username,
        credential: password,
        ttl,
        expires_at: clock::rfc3339(expiry),
    };
    Ok(serde_json::to_string(&minted).expect("strings serialize") + "\n")
}
