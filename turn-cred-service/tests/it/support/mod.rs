//! What the tests stand on: a service in this process, tokens for it, and a real relay.

pub(crate) mod coturn;
pub(crate) mod janus;

use std::collections::BTreeMap;

use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use service_kit::clock;
use service_kit::lifecycle::Lifecycle;
use service_kit::settings::Environment;
use service_kit::tokens::{Claims, mint};
use turn_cred_service::{Config, Running, SCHEMA, Service};

pub(crate) const TURN_SECRET: &str = "canary-turn-secret-of-thirty-two-bytes";
pub(crate) const API_KEY: &str = "canary-api-key-of-thirty-two-bytes-or-more";
pub(crate) const JWT_SECRET: &str = "canary-token-key-of-thirty-two-bytes";

/// A service on free ports; it ends with the test.
pub(crate) struct TestService {
    pub(crate) running: Running,
    pub(crate) life: Lifecycle,
}

impl TestService {
    /// Starts with usable settings and `more` over them.
    pub(crate) async fn start<const N: usize>(more: [(&str, &str); N]) -> Self {
        let mut variables = BTreeMap::from([
            ("TURN_CRED_LISTEN", "127.0.0.1:0"),
            ("TURN_CRED_ADMIN_LISTEN", "127.0.0.1:0"),
            ("TURN_CRED_URIS", "stun:127.0.0.1:3478,turn:127.0.0.1:3478?transport=udp"),
            ("TURN_CRED_SECRET", TURN_SECRET),
            ("TURN_CRED_JWT_SECRET", JWT_SECRET),
        ]);
        variables.extend(more);
        let matches = SCHEMA.command().try_get_matches_from([SCHEMA.program]).unwrap();
        let resolved = SCHEMA.resolve(&matches, &variables.into_iter().collect::<Environment>());
        let config = Config::read(&resolved).unwrap();
        let life = Lifecycle::new();
        let running = Service::start(config, &life).await.unwrap();
        Self { running, life }
    }

    pub(crate) fn url(&self) -> String {
        self.at("/v1/ice-servers")
    }

    /// A path of the public listener, with its query.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.addresses.public)
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.addresses.admin)
    }

    /// Asks on the public listener with a token for `sub`.
    pub(crate) fn ask(&self, sub: &str) -> RequestBuilder {
        reqwest::Client::new().post(self.url()).bearer_auth(token(sub))
    }
}

impl Drop for TestService {
    fn drop(&mut self) {
        self.life.soft.cancel();
    }
}

/// A token that is good for ten minutes.
pub(crate) fn token(sub: &str) -> String {
    mint(&Claims::new(sub, clock::unix_seconds() + 600), JWT_SECRET.as_bytes())
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let json = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default();
        Self { status, headers, json }
    }

    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The relay entry of `iceServers`.
    pub(crate) fn relay(&self) -> &Value {
        self.json["iceServers"].as_array().unwrap().last().unwrap()
    }

    /// Username and credential of the relay entry.
    pub(crate) fn credential(&self) -> (&str, &str) {
        let text = |name: &str| self.relay()[name].as_str().unwrap();
        (text("username"), text("credential"))
    }
}
