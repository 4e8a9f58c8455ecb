//! Proves a secret by allocating with it, on every relay.

use std::time::Duration;

use service_kit::clock;
use tokio::task::JoinSet;

use crate::credential::{Credential, Subject};
use crate::health::simulate_call;
use crate::pool::{IceUri, Name, Pools};
use crate::relay::{ConnectOptions, RelayError};

/// How long the credential lives that a secret is proved with.
const CREDENTIAL_TTL: Duration = Duration::from_secs(60);

/// How often a relay is asked that refuses: its Redis may be a replica that is a moment behind.
const ATTEMPTS: u32 = 5;

/// Pause between two of these.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What the relays say of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProofResult {
    /// Every relay that answers accepts it.
    Accepted,
    /// This one does not.
    Rejected { relay: Name, code: u16 },
    /// No relay answers.
    NoAnswer,
}

/// Asks all relays at once. One that does not answer says nothing: it will read the same set when it is back.
pub(super) async fn prove(
    secret: &str,
    pools: &Pools,
    connect_options: &ConnectOptions,
) -> ProofResult {
    let subject: Subject = "prover".parse().expect("it is a subject");
    let expiry = clock::unix_seconds() + CREDENTIAL_TTL.as_secs();
    let credential = Credential::issue(secret.as_bytes(), &subject, expiry);
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

/// Tries a URL again where the relay does not know the secret yet.
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
            // Full, or draining: it has seen that the credential is good.
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
