//! Response format of draft-uberti-behave-turn-rest-00 §2.2; Matrix, Janus and Nextcloud use the
//! same.

use serde::Serialize;
use utoipa::ToSchema;

use crate::issuer::IssuedCredential;

/// A credential and the relays that accept it.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = DraftAnswer)]
pub struct DraftResponse {
    /// `<unix expiry>:<pseudonym>`.
    #[schema(example = "1785672600:9f86d081884c7d659a2feaa0c55ad015")]
    username: String,
    /// Base64 of the HMAC-SHA1 over the username.
    #[schema(example = "Tpz/nKkyvX/vMSLKvL4sbtBt8Vs=")]
    password: String,
    /// Seconds until relays refuse new allocations with the credential.
    #[schema(example = 600)]
    ttl: u64,
    /// `turn:` and `turns:` URLs only: Janus warns about `stun:`.
    #[schema(example = json!(["turn:relay.example.org:3478?transport=udp"]))]
    uris: Vec<String>,
}

impl DraftResponse {
    /// Renders a credential at `now`, in Unix seconds.
    #[must_use]
    pub fn new(issued: &IssuedCredential, now: u64) -> Self {
        let IssuedCredential { credential, selection, expires_at, .. } = issued;
        let uris = selection.relays.iter().flat_map(|(_, uris)| uris);
        Self {
            username: credential.username.clone(),
            password: credential.password.clone(),
            ttl: expires_at.saturating_sub(now),
            uris: uris.map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::issued;
    use super::*;

    #[test]
    fn an_answer_has_the_four_members_of_the_draft() {
        let issued = issued(&[("eu", "turn:a?transport=udp,stun:a"), ("us", "turns:b:443")]);
        assert_eq!(
            serde_json::to_value(DraftResponse::new(&issued, 1_599_491_171)).unwrap(),
            json!({
                "username": "1599491771:ana",
                "password": "8uVfTVljE2aHse8hyI5KPok3yRE=",
                "ttl": 600,
                "uris": ["turn:a?transport=udp", "turns:b:443"],
            })
        );
    }
}
