//! Response format of `POST /v1/ice-servers`: `RTCIceServer`s, and when to renew them.

use serde::Serialize;
use service_kit::clock;
use signal_protocol::{IceServer, IceServers};
use utoipa::ToSchema;

use crate::issuer::IssuedCredential;
use crate::pool::IceUri;

/// Response of `POST /v1/ice-servers`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Answer)]
pub struct NativeResponse {
    #[serde(flatten)]
    ice: IceServers,
    /// When relays begin to refuse new allocations (RFC 3339).
    #[schema(format = DateTime, example = "2026-08-02T12:10:00Z")]
    expires_at: String,
    /// The selected region.
    #[schema(example = "eu")]
    region: String,
    /// True if no relay is known to work; absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    degraded: bool,
}

impl NativeResponse {
    /// Renders a credential at `now`, in Unix seconds.
    #[must_use]
    pub fn new(issued: &IssuedCredential, now: u64) -> Self {
        let IssuedCredential { selection, expires_at, refresh_at, .. } = issued;
        let ice = IceServers {
            ice_servers: ice_servers(issued),
            ttl: expires_at.saturating_sub(now),
            refresh_after: refresh_at.saturating_sub(now).max(1),
            enforcement: selection.enforcement,
        };
        let (expires_at, region) = (clock::rfc3339(*expires_at), selection.region.to_string());
        Self { ice, expires_at, region, degraded: selection.degraded }
    }
}

/// Renders `RTCConfiguration.iceServers`: one entry of STUN URLs, and one with the credential per
/// relay.
pub(crate) fn ice_servers(issued: &IssuedCredential) -> Vec<IceServer> {
    let IssuedCredential { credential, selection, .. } = issued;
    let texts = |uris: &[IceUri]| uris.iter().map(ToString::to_string).collect();
    let open = IceServer { urls: texts(&selection.stun), username: None, credential: None };
    let relays = selection.relays.iter().map(|(_, uris)| IceServer {
        urls: texts(uris),
        username: Some(credential.username.clone()),
        credential: Some(credential.password.clone()),
    });
    let open = (!selection.stun.is_empty()).then_some(open);
    open.into_iter().chain(relays).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::issued;
    use super::*;

    #[test]
    fn an_answer_is_what_a_peer_connection_takes() {
        let uris = "stun:a,turn:b?transport=udp,turn:b?transport=tcp";
        let issued = issued(&[("default", uris)]);
        let password = issued.credential.password.clone();
        assert_eq!(
            serde_json::to_value(NativeResponse::new(&issued, 1_599_491_171)).unwrap(),
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
        let issued = issued(&[("default", "turn:b")]);
        let json = serde_json::to_value(NativeResponse::new(&issued, 1_599_491_371)).unwrap();
        assert_eq!((&json["ttl"], &json["refreshAfter"]), (&json!(400), &json!(100)));
        assert_eq!(json["iceServers"].as_array().unwrap().len(), 1);
    }
}
