//! Our own shape: what `RTCPeerConnection` takes, and when to come back.

use serde::Serialize;
use service_kit::clock;
use signal_protocol::{Enforcement, IceServer, IceServers};

use crate::issuer::Issued;

/// The answer of `POST /v1/ice-servers`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    #[serde(flatten)]
    ice: IceServers,
    expires_at: String,
    region: String,
}

impl Answer {
    /// Writes what was issued as it is seen at `now`, in Unix seconds.
    #[must_use]
    pub fn new(issued: &Issued, now: u64) -> Self {
        let Issued { credential, pool, expires_at, refresh_at } = issued;
        let reflectors: Vec<_> = pool.reflectors().map(ToString::to_string).collect();
        let reflectors = IceServer { urls: reflectors, username: None, credential: None };
        let relays = IceServer {
            urls: pool.relays().map(ToString::to_string).collect(),
            username: Some(credential.username.clone()),
            credential: Some(credential.password.clone()),
        };
        let servers = [reflectors, relays].into_iter().filter(|server| !server.urls.is_empty());
        let ice = IceServers {
            ice_servers: servers.collect(),
            ttl: expires_at.saturating_sub(now),
            refresh_after: refresh_at.saturating_sub(now).max(1),
            enforcement: Enforcement::Allocate,
        };
        Self { ice, expires_at: clock::rfc3339(*expires_at), region: pool.region().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::credential::Credential;
    use crate::pool::Pool;

    fn issued(uris: &str) -> Issued {
        Issued {
            credential: Credential::issue(b"foobar", &"ana".parse().unwrap(), 1_599_491_771),
            pool: Arc::new(Pool::parse("default", uris).unwrap()),
            expires_at: 1_599_491_771,
            refresh_at: 1_599_491_471,
        }
    }

    #[test]
    fn an_answer_is_what_a_peer_connection_takes() {
        let issued = issued("stun:a,turn:b?transport=udp,turn:b?transport=tcp");
        let password = issued.credential.password.clone();
        assert_eq!(
            serde_json::to_value(Answer::new(&issued, 1_599_491_171)).unwrap(),
            json!({
                "iceServers": [
                    { "urls": ["stun:a"] },
                    {
                        "urls": ["turn:b?transport=udp", "turn:b?transport=tcp"],
                        "username": "1599491771:ana",
                        "credential": password,
                    },
                ],
                "ttl": 600,
                "expiresAt": "2020-09-07T15:16:11Z",
                "refreshAfter": 300,
                "enforcement": "allocate",
                "region": "default",
            })
        );
    }

    #[test]
    fn an_answer_given_later_counts_from_then() {
        let json = serde_json::to_value(Answer::new(&issued("turn:b"), 1_599_491_371)).unwrap();
        assert_eq!((&json["ttl"], &json["refreshAfter"]), (&json!(400), &json!(100)));
        assert_eq!(json["iceServers"].as_array().unwrap().len(), 1);
    }
}
