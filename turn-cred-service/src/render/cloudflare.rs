//! Response formats of Cloudflare's TURN service: a list of ICE servers, and the older single one.

use serde::Serialize;
use signal_protocol::IceServer;
use utoipa::ToSchema;

use super::native::ice_servers;
use crate::issuer::IssuedCredential;

/// Response of `…/credentials/generate-ice-servers`.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CloudflareIceServers)]
pub struct CloudflareIceServers {
    ice_servers: Vec<IceServer>,
}

/// Response of `…/credentials/generate`: one server with all URLs.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CloudflareIceServer)]
pub struct CloudflareIceServer {
    ice_servers: IceServer,
}

impl From<&IssuedCredential> for CloudflareIceServers {
    fn from(issued: &IssuedCredential) -> Self {
        Self { ice_servers: ice_servers(issued) }
    }
}

impl From<&IssuedCredential> for CloudflareIceServer {
    fn from(issued: &IssuedCredential) -> Self {
        let urls = ice_servers(issued).into_iter().flat_map(|server| server.urls).collect();
        let username = Some(issued.credential.username.clone());
        let credential = Some(issued.credential.password.clone());
        Self { ice_servers: IceServer { urls, username, credential } }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::issued;
    use super::*;

    const URIS: &str = "stun:a,turn:b?transport=udp,turn:b?transport=tcp";

    #[test]
    fn a_list_keeps_stun_apart_and_has_no_ttl() {
        assert_eq!(
            serde_json::to_value(CloudflareIceServers::from(&issued(&[("eu", URIS)]))).unwrap(),
            json!({
                "iceServers": [
                    { "urls": ["stun:a"] },
                    {
                        "urls": ["turn:b?transport=udp", "turn:b?transport=tcp"],
                        "username": "1599491771:ana",
                        "credential": "8uVfTVljE2aHse8hyI5KPok3yRE=",
                    },
                ],
            })
        );
    }

    #[test]
    fn the_older_answer_is_an_object_with_every_url() {
        assert_eq!(
            serde_json::to_value(CloudflareIceServer::from(&issued(&[("eu", URIS)]))).unwrap(),
            json!({
                "iceServers": {
                    "urls": ["stun:a", "turn:b?transport=udp", "turn:b?transport=tcp"],
                    "username": "1599491771:ana",
                    "credential": "8uVfTVljE2aHse8hyI5KPok3yRE=",
                },
            })
        );
    }
}
