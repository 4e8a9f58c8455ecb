//! ICE servers on their way from a real credential service through the node to its members.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};
use service_kit::lifecycle::Lifecycle;
use service_kit::settings::Environment;
use tempfile::TempDir;
use tokio::net::UnixListener;

use crate::support::node::TestNode;
use crate::support::peer::TestPeer;

/// A credential service beside a node, on a socket file; it ends with this value.
struct Sidecar {
    life: Lifecycle,
    folder: TempDir,
}

impl Sidecar {
    async fn start(ttl: &str) -> Self {
        let (folder, life) = (tempfile::tempdir().unwrap(), Lifecycle::new());
        let sidecar = Self { life, folder };
        sidecar.serve(ttl).await;
        sidecar
    }

    fn url(&self) -> String {
        format!("unix:{}", self.folder.path().join("ice.sock").display())
    }

    fn secret(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    async fn serve(&self, ttl: &str) {
        let (url, secret) = (self.url(), self.secret());
        if !secret.exists() {
            fs::write(&secret, "relay-secret-relay-secret-relay-secret").unwrap();
        }
        let environment: Environment = [
            ("TURN_CRED_LISTEN", "127.0.0.1:0"),
            ("TURN_CRED_ADMIN_LISTEN", "127.0.0.1:0"),
            ("TURN_CRED_INTERNAL_LISTEN", &url),
            ("TURN_CRED_URIS", "turn:relay.example.org:3478?transport=udp"),
            ("TURN_CRED_SECRET_FILE", secret.to_str().unwrap()),
            ("TURN_CRED_PROBE_EVERY", "0s"),
            ("TURN_CRED_TTL", ttl),
        ]
        .into_iter()
        .collect();
        let schema = turn_cred_service::SCHEMA;
        let no_flags = schema.command().get_matches_from(["turn-cred-service"]);
        let config =
            turn_cred_service::Config::read(&schema.resolve(&no_flags, &environment)).unwrap();
        turn_cred_service::Service::start(config, &self.life).await.unwrap();
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
    // What was pushed is what there is: asked now, the service says the same.
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
