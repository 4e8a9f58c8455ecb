//! Proves a staged secret by an allocation on every relay.

use std::time::Duration;

use service_kit::clock;
use tokio::task::JoinSet;

use crate::credential::{Credential, Pseudonym};
use crate::health::simulate_call;
use crate::pool::{IceUri, Name, Pools};
use crate::relay::{ConnectOptions, RelayError};

/// TTL of the credential used for the proof.
const CREDENTIAL_TTL: Duration = Duration::from_secs(60);

/// Attempts per relay after a 401: its Redis may be a replica that lags behind.
const ATTEMPTS: u32 = 5;

/// Pause between these attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// The combined answer of the relays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProofResult {
    /// At least one relay accepted the secret and none rejected it.
    Accepted,
    /// One relay rejected it.
    Rejected { relay: Name, code: u16 },
    /// No relay answers.
    NoAnswer,
}

/// Tries every URL of every relay concurrently. A relay that does not answer neither accepts nor
/// rejects: once it is back, it reads the same set.
pub(super) async fn prove(
    secret: &str,
    pools: &Pools,
    connect_options: &ConnectOptions,
) -> ProofResult {
    let user: Pseudonym = "prover".parse().expect("the literal is a valid pseudonym");
    let expiry = clock::unix_seconds() + CREDENTIAL_TTL.as_secs();
    let credential = Credential::issue(secret.as_bytes(), &user, expiry);
    let mut tries = JoinSet::new();
    for relay in pools.relays() {
        for uri in &relay.uris {
            let (name, uri) = (relay.name.clone(), uri.clone());
            let (credential, connect_options) = (credential.clone(), connect_options.clone());
            tries.spawn(async move {
                (name, allocate_with_retries(&uri, &connect_options, &credential).await)
            });
        }
    }
    combine(tries.join_all().await)
}

/// Repeats an attempt while the relay does not know the secret.
async fn allocate_with_retries(
    uri: &IceUri,
    connect_options: &ConnectOptions,
    credential: &Credential,
) -> Result<(), RelayError> {
    for _ in 1..ATTEMPTS {
        match simulate_call(uri, connect_options, credential).await {
            Err(error) if error.code() == Some(401) => tokio::time::sleep(RETRY_PAUSE).await,
            tried => return tried,
        }
    }
    simulate_call(uri, connect_options, credential).await
}

fn combine(tries: Vec<(Name, Result<(), RelayError>)>) -> ProofResult {
    let mut result = ProofResult::NoAnswer;
    for (relay, tried) in tries {
        match tried.map_err(|error| error.code()) {
            // Quota, capacity or policy: the relay checked the credential before it refused.
            Ok(()) | Err(Some(403 | 486 | 508)) => result = ProofResult::Accepted,
            Err(Some(code)) => return ProofResult::Rejected { relay, code },
            Err(None) => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_outweighs_all_and_silence_says_nothing() {
        let tried = |tried| ("a".parse().unwrap(), tried);
        let refused = |code| tried(Err(RelayError::ErrorResponse(code)));
        let silent = || tried(Err(RelayError::TimedOut));
        assert_eq!(combine(vec![silent()]), ProofResult::NoAnswer);
        assert_eq!(combine(vec![tried(Ok(())), silent()]), ProofResult::Accepted);
        assert_eq!(combine(vec![silent(), refused(486)]), ProofResult::Accepted);
        let relay: Name = "a".parse().unwrap();
        let result = combine(vec![tried(Ok(())), refused(401)]);
        assert_eq!(result, ProofResult::Rejected { relay, code: 401 });
    }
}
