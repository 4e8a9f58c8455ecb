//! The ICE servers a browser is handed (W3C webrtc-pc §4.2.4, `RTCIceServer`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// One entry of `RTCConfiguration.iceServers`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` URLs (RFC 7064, RFC 7065) that share one credential.
    #[cfg_attr(feature = "openapi", schema(example = json!(["turn:relay.example.org:3478"])))]
    pub urls: Vec<String>,
    /// `<unix expiry>:<subject>`; absent on `stun:` entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(example = "1785672600:9f86d081884c7d659a2feaa0c55ad015")
    )]
    pub username: Option<String>,
    /// Base64 of the HMAC-SHA1 over the username; absent on `stun:` entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = "Tpz/nKkyvX/vMSLKvL4sbtBt8Vs="))]
    pub credential: Option<String>,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// When a relay looks at the expiry of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// Only when an allocation is made (coturn): a call outlives its credential.
    Allocate,
    /// At every request: the client restarts ICE before the credential ends.
    Strict,
}

/// ICE servers with the time they are good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct IceServers {
    /// What goes into `RTCConfiguration.iceServers` as it is.
    pub ice_servers: Vec<IceServer>,
    /// Seconds from now until the credentials are refused for new allocations.
    #[cfg_attr(feature = "openapi", schema(example = 600))]
    pub ttl: u64,
    /// Seconds from now after which fresh ones are to be had.
    #[cfg_attr(feature = "openapi", schema(example = 300))]
    pub refresh_after: u64,
    /// When the relay looks at the expiry.
    pub enforcement: Enforcement,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_not_printed_by_debug() {
        let server = IceServer {
            urls: vec!["turn:relay.example:3478".to_owned()],
            username: Some("1:ana".to_owned()),
            credential: Some("c2VjcmV0".to_owned()),
        };
        assert!(!format!("{server:?}").contains("c2VjcmV0"));
    }
}
