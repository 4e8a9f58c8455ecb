//! Test support: the service in this process, tokens, and real servers.

pub(crate) mod coturn;
pub(crate) mod janus;
pub(crate) mod nat;
pub(crate) mod redis;

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use service_kit::clock;
use service_kit::lifecycle::Lifecycle;
use service_kit::settings::Environment;
use service_kit::tokens::{Claims, Right, mint};
use turn_cred_service::{Config, RunningService, SCHEMA, Service};

use self::redis::Redis;

pub(crate) const TURN_SECRET: &str = "canary-turn-secret-of-thirty-two-bytes";
pub(crate) const API_KEY: &str = "canary-api-key-of-thirty-two-bytes-or-more";
pub(crate) const JWT_SECRET: &str = "canary-token-key-of-thirty-two-bytes";

/// The service on free ports; stopped on drop.
pub(crate) struct TestService {
    pub(crate) running: RunningService,
    pub(crate) life: Lifecycle,
    client: reqwest::Client,
    redis: Option<String>,
}

impl TestService {
    /// Starts the service with usable settings, overridden by `more`.
    pub(crate) async fn start<const N: usize>(more: [(&str, &str); N]) -> Self {
        let relays = "stun:127.0.0.1:3478,turn:127.0.0.1:3478?transport=udp";
        let own = [("TURN_CRED_URIS", relays), ("TURN_CRED_SECRET", TURN_SECRET)];
        Self::serve(&[], own.into_iter().chain(more)).await
    }

    /// Starts the service with its secrets in Redis.
    pub(crate) async fn with_redis(redis: &Redis, uris: &str, more: &[(&str, &str)]) -> Self {
        let url = redis.url();
        let own = [
            ("TURN_CRED_URIS", uris),
            ("TURN_CRED_REDIS_URL", url.as_str()),
            ("TURN_CRED_REALM", "turn.test"),
            // Tests repeat a request until its response changes.
            ("TURN_CRED_RATE_PER_SUBJECT", "100000/s"),
            ("TURN_CRED_RATE_PER_IP", "100000/s"),
        ];
        Self::serve(&[], own.into_iter().chain(more.iter().copied())).await
    }

    /// Starts the service with a configuration file, overridden by `more`.
    pub(crate) async fn with_file<const N: usize>(text: &str, more: [(&str, &str); N]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let flags = ["--config", file.path().to_str().unwrap()];
        let own = [("TURN_CRED_SECRET", TURN_SECRET)];
        Self::serve(&flags, own.into_iter().chain(more)).await
    }

    async fn serve<'a>(flags: &[&str], settings: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut variables = BTreeMap::from([
            ("TURN_CRED_LISTEN", "127.0.0.1:0"),
            ("TURN_CRED_ADMIN_LISTEN", "127.0.0.1:0"),
            ("TURN_CRED_JWT_SECRET", JWT_SECRET),
            ("TURN_CRED_PROBE_EVERY", "0s"),
        ]);
        variables.extend(settings);
        // An empty value unsets a variable.
        variables.retain(|_, value| !value.is_empty());
        let arguments = [&[SCHEMA.program], flags].concat();
        let matches = SCHEMA.command().try_get_matches_from(arguments).unwrap();
        let resolved =
            SCHEMA.resolve(&matches, &variables.clone().into_iter().collect::<Environment>());
        let config = Config::read(&resolved).unwrap();
        let life = Lifecycle::new();
        let running = Service::start(config, &life).await.unwrap();
        // The service closes connections that are idle for five seconds.
        let client = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(2));
        let redis = variables.get("TURN_CRED_REDIS_URL").map(ToString::to_string);
        Self { running, life, client: client.build().unwrap(), redis }
    }

    /// Waits until the service is subscribed to usage reports; earlier ones would be missed.
    pub(crate) async fn wait_until_counting(&self) {
        let is_heard = async |redis: &str| {
            let client = ::redis::Client::open(redis).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            let count: u64 =
                ::redis::cmd("PUBSUB").arg("NUMPAT").query_async(&mut connection).await.unwrap();
            count > 0
        };
        let redis = self.redis.clone().expect("it was started over a Redis");
        while !is_heard(&redis).await {}
    }

    pub(crate) fn url(&self) -> String {
        self.at("/v1/ice-servers")
    }

    /// URL of a path of the public listener.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.addresses.public)
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.addresses.admin)
    }

    /// Requests ICE servers on the public listener with a token for `sub`.
    pub(crate) fn ice_servers(&self, sub: &str) -> RequestBuilder {
        self.client.post(self.url()).bearer_auth(token(sub))
    }
}

impl Drop for TestService {
    fn drop(&mut self) {
        self.life.soft.cancel();
    }
}

/// A token valid for ten minutes.
pub(crate) fn token(sub: &str) -> String {
    mint(&Claims::new(sub, clock::unix_seconds() + 7_200), JWT_SECRET.as_bytes())
}

/// A token with the right `admin`, valid for ten minutes.
pub(crate) fn admin_token(sub: &str) -> String {
    let claims = Claims::new(sub, clock::unix_seconds() + 7_200);
    let can = vec![Right::Signal, Right::Admin];
    mint(&Claims { can, ..claims }, JWT_SECRET.as_bytes())
}

/// A response with its body.
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl ApiResponse {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        Self::try_of(request).await.unwrap()
    }

    /// Sends a request; an error if the connection fails.
    pub(crate) async fn try_of(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let json = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        Ok(Self { status, headers, json })
    }

    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The entry of `iceServers` with the credential.
    pub(crate) fn relay(&self) -> &Value {
        self.json["iceServers"].as_array().unwrap().last().unwrap()
    }

    /// Username and credential of that entry.
    pub(crate) fn credential(&self) -> (&str, &str) {
        let text = |name: &str| self.relay()[name].as_str().unwrap();
        (text("username"), text("credential"))
    }
}
