//! Proves a secret by allocating with it, on every relay.

use std::time::Duration;

use service_kit::clock;
use tokio::task::JoinSet;

use crate::credential::{Credential, Subject};
use crate::health::call;
use crate::pool::{IceUri, Name, Pools};
use crate::relay::{Dialing, RelayError};

/// How long the credential lives that a secret is proved with.
const TTL: Duration = Duration::from_secs(60);

/// How often a relay is asked that refuses: its Redis may be a replica that is a moment behind.
const ATTEMPTS: u32 = 5;

/// Pause between two of these.
const PAUSE: Duration = Duration::from_millis(200);

/// What the relays say of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every relay that answers accepts it.
    Accepted,
    /// This one does not.
    Refused { relay: Name, code: u16 },
    /// No relay answers.
    Unknown,
}

/// Asks all relays at once. One that does not answer says nothing: it will read the same set when it is back.
pub(super) async fn prove(secret: &str, pools: &Pools, dialing: &Dialing) -> Verdict {
    let subject: Subject = "prover".parse().expect("it is a subject");
    let expiry = clock::unix_seconds() + TTL.as_secs();
    let credential = Credential::issue(secret.as_bytes(), &subject, expiry);
    let mut tries = JoinSet::new();
    for relay in pools.relays() {
        for uri in &relay.uris {
            let (name, uri) = (relay.name.clone(), uri.clone());
            let (credential, dialing) = (credential.clone(), dialing.clone());
            tries.spawn(async move { (name, patiently(&uri, &dialing, &credential).await) });
        }
    }
    judge(tries.join_all().await)
}

/// Tries a URL again where the relay does not know the secret yet.
async fn patiently(
    uri: &IceUri,
    dialing: &Dialing,
    credential: &Credential,
) -> Result<(), RelayError> {
    for _ in 1..ATTEMPTS {
        match call(uri, dialing, credential).await {
            Err(error) if error.code() == Some(401) => tokio::time::sleep(PAUSE).await,
            tried => return tried,
        }
    }
    call(uri, dialing, credential).await
}

fn judge(tries: Vec<(Name, Result<(), RelayError>)>) -> Verdict {
    let mut verdict = Verdict::Unknown;
    for (relay, tried) in tries {
        match tried.map_err(|error| error.code()) {
            // Full, or draining: it has seen that the credential is good.
            Ok(()) | Err(Some(403 | 486 | 508)) => verdict = Verdict::Accepted,
            Err(Some(code)) => return Verdict::Refused { relay, code },
            Err(None) => {}
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_outweighs_all_and_silence_says_nothing() {
        let tried = |tried| ("a".parse().unwrap(), tried);
        let refused = |code| tried(Err(RelayError::Refused(code)));
        let silent = || tried(Err(RelayError::Silent));
        assert_eq!(judge(vec![silent()]), Verdict::Unknown);
        assert_eq!(judge(vec![tried(Ok(())), silent()]), Verdict::Accepted);
        assert_eq!(judge(vec![silent(), refused(486)]), Verdict::Accepted);
        let relay: Name = "a".parse().unwrap();
        let verdict = judge(vec![tried(Ok(())), refused(401)]);
        assert_eq!(verdict, Verdict::Refused { relay, code: 401 });
    }
}
