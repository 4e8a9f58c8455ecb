//! A node in this process, from settings as an operator writes them.

use serde_json::{Value, json};
use service_kit::clock;
use service_kit::http::ListenAddr;
use service_kit::lifecycle::Lifecycle;
use service_kit::settings::Environment;
use service_kit::tokens::{Claims, mint};
use signal_node::config::{Config, SCHEMA};
use signal_node::node::Node;

use super::redis::TestRedis;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A running node; it ends with this value.
pub(crate) struct TestNode {
    pub(crate) life: Lifecycle,
    public: String,
    admin: String,
    startup_token: Option<String>,
}

impl TestNode {
    /// Starts a node on free ports, with these settings besides.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let common =
            [("LISTEN", "127.0.0.1:0"), ("ADMIN_LISTEN", "127.0.0.1:0"), ("DRAIN_DELAY", "0s")];
        let all = common.iter().chain(settings);
        let environment: Environment =
            all.map(|(name, value)| (format!("SIGNAL_NODE_{name}"), (*value).to_owned())).collect();
        let matches = SCHEMA.command().get_matches_from(["signal-node"]);
        let config = Config::read(&SCHEMA.resolve(&matches, &environment)).unwrap();
        let life = Lifecycle::new();
        let node = Node::start(config, &life).await.unwrap();
        let startup_token = node.startup_token.map(|token| token.reveal().to_owned());
        Self { life, public: tcp(&node.public), admin: tcp(&node.admin), startup_token }
    }

    /// A node without keys, that lets in whoever has its startup token.
    pub(crate) async fn open() -> Self {
        Self::start(&[]).await
    }

    /// A node that wants tokens signed with [`SECRET`].
    pub(crate) async fn closed() -> Self {
        Self::start(&[("JWT_SECRET", SECRET)]).await
    }

    /// Two nodes over one Redis.
    pub(crate) async fn two(redis: &TestRedis) -> [Self; 2] {
        let url = redis.url();
        let settings = [("BACKEND", "redis"), ("REDIS_URL", &url), ("JWT_SECRET", SECRET)];
        [Self::start(&settings).await, Self::start(&settings).await]
    }

    /// The `hello` of a client that has no token of its own.
    pub(crate) fn hello(&self) -> Value {
        match &self.startup_token {
            Some(token) => json!({"type": "hello", "token": token}),
            None => json!({"type": "hello"}),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.public
    }

    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.admin);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    /// Returns the address of the admin listener.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("http://{}{path}", self.public)).await.unwrap()
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.life.soft.cancel();
        self.life.hard.cancel();
    }
}

fn tcp(address: &ListenAddr) -> String {
    match address {
        ListenAddr::Tcp(address) => address.to_string(),
        ListenAddr::Unix(path) => panic!("{} is no port", path.display()),
    }
}

/// Claims that open every room for an hour.
pub(crate) fn claims(sub: &str) -> Claims {
    let mut claims = Claims::new(sub, clock::unix_seconds() + 3_600);
    claims.rooms = vec!["*".to_owned()];
    claims
}

/// A token that opens every room for an hour.
pub(crate) fn token(sub: &str) -> String {
    mint(&claims(sub), SECRET.as_bytes())
}
