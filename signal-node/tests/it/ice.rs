//! ICE servers on their way from a real credential service through the node to its members.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use service_kit::lifecycle::Lifecycle;
use service_kit::settings::Environment;
use tempfile::TempDir;
use tokio::net::UnixListener;
use turn_cred_service::RunningService;
use turn_cred_service::credential::Pseudonym;

use crate::doctor::{doctor, has};
use crate::support::node::{SECRET, TestNode, token};
use crate::support::peer::{TestPeer, knock, knock_from, request};
use crate::support::polling::becomes_true;
use crate::support::process::NodeProcess;

const RELAY_SECRET: &[u8] = b"relay-secret-relay-secret-relay-secret";

/// A credential service beside a node, on a socket file; it ends with this value.
struct Sidecar {
    life: Lifecycle,
    folder: TempDir,
}

impl Sidecar {
    fn new() -> Self {
        Self { life: Lifecycle::new(), folder: tempfile::tempdir().unwrap() }
    }

    async fn start(ttl: &str) -> Self {
        let sidecar = Self::new();
        sidecar.serve(ttl).await;
        sidecar
    }

    /// One with a relay in Japan and another one in Germany.
    async fn in_two_regions() -> Self {
        let sidecar = Self::new();
        let pool = |region: &str, country: &str| {
            format!(
                "[[pools]]\nregion = \"{region}\"\ncountries = [\"{country}\"]\n\
                 [[pools.relays]]\nuris = [\"turn:{region}.example.org\"]\n"
            )
        };
        let file = sidecar.folder.path().join("pools.toml");
        fs::write(&file, pool("asia", "JP") + &pool("europe", "DE")).unwrap();
        sidecar.serve_with(&[("TURN_CRED_CONFIG", file.to_str().unwrap())]).await;
        sidecar
    }

    fn url(&self) -> String {
        format!("unix:{}", self.folder.path().join("ice.sock").display())
    }

    fn secret(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    async fn serve(&self, ttl: &str) {
        let uri = "turn:relay.example.org:3478?transport=udp";
        self.serve_with(&[("TURN_CRED_URIS", uri), ("TURN_CRED_TTL", ttl)]).await;
    }

    async fn serve_with(&self, settings: &[(&str, &str)]) -> RunningService {
        let (url, secret) = (self.url(), self.secret());
        if !secret.exists() {
            fs::write(&secret, RELAY_SECRET).unwrap();
        }
        let environment: Environment = [
            ("TURN_CRED_LISTEN", "127.0.0.1:0"),
            ("TURN_CRED_ADMIN_LISTEN", "127.0.0.1:0"),
            ("TURN_CRED_INTERNAL_LISTEN", &url),
            ("TURN_CRED_SECRET_FILE", secret.to_str().unwrap()),
            ("TURN_CRED_PROBE_EVERY", "0s"),
        ]
        .iter()
        .chain(settings)
        .copied()
        .collect();
        let schema = turn_cred_service::SCHEMA;
        let no_flags = schema.command().get_matches_from(["turn-cred-service"]);
        let config =
            turn_cred_service::Config::read(&schema.resolve(&no_flags, &environment)).unwrap();
        turn_cred_service::Service::start(config, &self.life).await.unwrap()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.life.soft.cancel();
        self.life.hard.cancel();
    }
}

fn username(ice: &Value) -> &str {
    ice["iceServers"][0]["username"].as_str().expect("a username")
}

#[tokio::test]
async fn joined_brings_ice_servers_of_the_credential_service() {
    let sidecar = Sidecar::start("600s").await;
    let node = TestNode::start(&[("CREDENTIALS_URL", &sidecar.url())]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    let ice = ana.join("demo", "ana").await["ice"].clone();
    assert_eq!((&ice["ttl"], &ice["refreshAfter"]), (&json!(600), &json!(300)));
    assert_eq!(ice["enforcement"], "allocate");
    let server = &ice["iceServers"][0];
    assert_eq!(server["urls"], json!(["turn:relay.example.org:3478?transport=udp"]));
    assert_eq!(server["credential"].as_str().unwrap().len(), 28);
    assert!(node.metrics().await.contains(r#"signal_ice_fetches_total{result="ok"} 1"#));
    ana.say(json!({"type": "ice", "id": 6})).await;
    let answer = ana.expect("ice").await;
    assert_eq!((&answer["id"], &answer["reason"]), (&json!(6), &json!("request")));
    assert!((1..=600).contains(&answer["ice"]["ttl"].as_u64().unwrap()));
}

/// The pseudonym by which a relay knows an anonymous client that connects from an address.
async fn pseudonym_from(node: &TestNode, address: &str, who: &str) -> String {
    let mut peer = knock_from(address.parse().unwrap(), request(node)).await.unwrap().0;
    peer.say(node.hello()).await;
    peer.expect("welcome").await;
    let ice = peer.join("demo", who).await["ice"].clone();
    username(&ice).split_once(':').unwrap().1.to_owned()
}

#[tokio::test]
async fn anonymous_clients_of_one_address_are_one_user_of_a_relay_over_every_node() {
    let sidecar = Sidecar::start("600s").await;
    let node = async || TestNode::start(&[("CREDENTIALS_URL", &sidecar.url())]).await;
    let (one, other) = (node().await, node().await);
    let ana = pseudonym_from(&one, "127.0.0.1", "ana").await;
    assert_eq!(pseudonym_from(&one, "127.0.0.1", "bo").await, ana, "another connection");
    assert_eq!(pseudonym_from(&other, "127.0.0.1", "cy").await, ana, "another node");
    assert_ne!(pseudonym_from(&one, "127.0.0.9", "di").await, ana, "another address");
    assert_eq!(ana, Pseudonym::of_network("127.0.0.1".parse().unwrap(), RELAY_SECRET).to_string());
}

/// The relay that somebody is sent to who comes with this header.
async fn relay_for(node: &TestNode, country: &'static str) -> String {
    let mut request = request(node);
    let offered = format!("signal.v1, bearer.{}", token("ana")).parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", offered);
    request.headers_mut().insert("cf-ipcountry", country.parse().unwrap());
    let mut ana = knock(request).await.unwrap().0;
    ana.expect("welcome").await;
    let ice = ana.join("demo", country).await["ice"].clone();
    ice["iceServers"][0]["urls"][0].as_str().expect("a relay").to_owned()
}

#[tokio::test]
async fn where_a_client_is_counts_from_trusted_proxies_only() {
    let sidecar = Sidecar::in_two_regions().await;
    let url = sidecar.url();
    let node = async |proxies: &str| {
        let (ice, header) = (("CREDENTIALS_URL", &*url), ("REGION_HEADER", "cf-ipcountry"));
        TestNode::start(&[ice, header, ("TRUSTED_PROXIES", proxies), ("JWT_SECRET", SECRET)]).await
    };
    let behind = node("127.0.0.0/8").await;
    assert_eq!(relay_for(&behind, "JP").await, "turn:asia.example.org");
    assert_eq!(relay_for(&behind, "DE").await, "turn:europe.example.org");
    let direct = node("10.0.0.0/8").await;
    assert_eq!(relay_for(&direct, "JP").await, relay_for(&direct, "DE").await);
}

/// Asks for ICE servers as a page does that has no client of ours.
async fn ask(node: &TestNode, headers: &[(&str, &str)]) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut asked = client.get(format!("http://{}/v1/ice", node.address()));
    for (name, value) in headers {
        asked = asked.header(*name, *value);
    }
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_page_without_a_client_of_ours_gets_ice_servers_where_it_may_connect() {
    let sidecar = Sidecar::start("600s").await;
    let url = sidecar.url();
    let open =
        TestNode::start(&[("CREDENTIALS_URL", &url), ("ALLOWED_ORIGINS", "https://ok.example")])
            .await;
    let (status, ice) = ask(&open, &[("origin", "https://ok.example")]).await;
    assert_eq!((status, &ice["ttl"]), (200, &json!(600)));
    let network = Pseudonym::of_network("127.0.0.1".parse().unwrap(), RELAY_SECRET).to_string();
    assert_eq!(username(&ice).split_once(':').unwrap().1, network, "one user of the relay");
    let (status, problem) = ask(&open, &[("origin", "https://other.example")]).await;
    assert_eq!((status, &problem["code"]), (403, &json!("forbidden")));
    let closed = TestNode::start(&[("CREDENTIALS_URL", &url), ("JWT_SECRET", SECRET)]).await;
    let (status, problem) = ask(&closed, &[]).await;
    assert_eq!((status, &problem["code"]), (401, &json!("unauthorized")));
    let (status, _) = ask(&closed, &[("authorization", "Bearer a.b.c")]).await;
    assert_eq!(status, 401);
    let (status, ice) =
        ask(&closed, &[("authorization", &format!("Bearer {}", token("ana")))]).await;
    assert_eq!(status, 200);
    assert_ne!(username(&ice).split_once(':').unwrap().1, network);
}

#[tokio::test]
async fn a_page_that_asks_for_ice_servers_is_told_why_there_are_none() {
    let node = TestNode::open().await;
    let (status, problem) = ask(&node, &[]).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
    let preflight = reqwest::Client::new()
        .request(reqwest::Method::OPTIONS, format!("http://{}/v1/ice", node.address()));
    let answer = preflight.send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-headers"]),
        (204, &"authorization".parse().unwrap())
    );
}

#[tokio::test]
async fn fresh_ice_servers_are_pushed_before_the_former_ones_end() {
    let sidecar = Sidecar::start("4s").await;
    let node = TestNode::start(&[("CREDENTIALS_URL", &sidecar.url())]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    let first = ana.join("demo", "ana").await["ice"].clone();
    let pushed = ana.expect("ice").await;
    assert_eq!((&pushed["reason"], pushed.get("id")), (&json!("refresh"), None));
    assert_ne!(username(&pushed["ice"]), username(&first));
}

#[tokio::test]
async fn another_secret_is_pushed_at_once_and_once() {
    let sidecar = Sidecar::start("600s").await;
    let node = TestNode::start(&[("CREDENTIALS_URL", &sidecar.url())]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    let first = ana.join("demo", "ana").await["ice"].clone();
    let two = "other-secret-other-secret-other-secret\nrelay-secret-relay-secret-relay-secret";
    fs::write(sidecar.secret(), two).unwrap();
    let pushed = ana.expect("ice").await;
    assert_eq!(pushed["reason"], "rotate");
    assert_ne!(pushed["ice"]["iceServers"], first["iceServers"]);
    // The push was up to date: asked now, the service says the same.
    ana.say(json!({"type": "ice", "id": 6})).await;
    let answer = ana.next().await;
    assert_eq!((&answer["type"], &answer["reason"]), (&json!("ice"), &json!("request")));
    assert_eq!(answer["ice"]["iceServers"], pushed["ice"]["iceServers"]);
}

#[tokio::test]
async fn without_the_credential_service_members_join_at_once_and_are_told_when_it_is_back() {
    let mut sidecar = Sidecar::start("600s").await;
    sidecar.life.soft.cancel();
    sidecar.life.finished().await;
    let node = TestNode::start(&[("CREDENTIALS_URL", &sidecar.url())]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    assert_eq!(ana.join("demo", "ana").await["ice"], Value::Null);
    assert!(node.metrics().await.contains(r#"signal_ice_fetches_total{result="unavailable"} 1"#));
    sidecar.life = Lifecycle::new();
    sidecar.serve("600s").await;
    let pushed = ana.expect("ice").await;
    assert_eq!(pushed["ice"]["ttl"], 600);
}

#[tokio::test]
async fn a_join_waits_no_longer_than_half_a_second_for_a_stuck_credential_service() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ice.sock");
    let _never_answers = UnixListener::bind(&path).unwrap();
    let url = format!("unix:{}", path.display());
    let node = TestNode::start(&[("CREDENTIALS_URL", &url)]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    let asked = Instant::now();
    assert_eq!(ana.join("demo", "ana").await["ice"], Value::Null);
    let waited = asked.elapsed().as_millis();
    assert!((500..1_500).contains(&waited), "{waited} ms");
}

const INTERNAL_TOKEN: &str = "internal-token-internal-token-internal";

#[tokio::test]
async fn a_node_that_its_credential_service_rejects_is_ready_and_says_so_until_the_service_accepts_it()
 {
    let sidecar = Sidecar::new();
    let over_tcp = [
        ("TURN_CRED_INTERNAL_LISTEN", "127.0.0.1:0"),
        ("TURN_CRED_INTERNAL_TOKEN", INTERNAL_TOKEN),
        ("TURN_CRED_URIS", "turn:relay.example.org"),
    ];
    let service = sidecar.serve_with(&over_tcp).await;
    let url = format!("http://{}", service.addresses.internal.unwrap());
    let file = sidecar.folder.path().join("token");
    fs::write(&file, "another-token-another-token-another-token").unwrap();
    let settings = [
        ("SIGNAL_NODE_JWT_SECRET", SECRET),
        ("SIGNAL_NODE_CREDENTIALS_URL", &url),
        ("SIGNAL_NODE_CREDENTIALS_TOKEN_FILE", file.to_str().unwrap()),
    ];
    let mut node = NodeProcess::heard(&settings).await;
    let line = node.logs("members get no relay credentials").await;
    assert!(line.contains("401") && line.contains("TURN_CRED_INTERNAL_TOKEN"), "{line}");
    let (status, text) = node.get("/readyz").await;
    assert!(status == 200 && text.starts_with("ready\ndegraded: the credential service"), "{text}");
    assert_eq!(node.metric("signal_credentials_failing").await, 1);
    let cluster = format!("ws://{}", node.address());
    let (code, findings) = doctor(&["--url", &cluster, "--require-ice"], &settings).await;
    assert_eq!(code, Some(1), "{findings:?}");
    has(&findings, "ice", "fail");
    has(&findings, "relays", "fail");

    fs::write(&file, INTERNAL_TOKEN).unwrap();
    let is_well = async || node.get("/readyz").await == (200, "ready\n".to_owned());
    becomes_true("the node says no more of it", Duration::from_secs(60), is_well).await;
    assert_eq!(node.metric("signal_credentials_failing").await, 0);
    let (code, findings) = doctor(&["--url", &cluster, "--require-ice"], &settings).await;
    assert_eq!(code, Some(0), "{findings:?}");
    has(&findings, "ice", "ok");
    has(&findings, "relays", "ok");
}
