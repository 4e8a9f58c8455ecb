//! Real clients of each API, with a real relay that accepts the credentials they get.

use std::net::{IpAddr, UdpSocket};
use std::process::Output;

use serde_json::Value;
use tokio::process::Command;
use turn_cred_service::credential::Credential;
use turn_cred_service::relay::TurnClient;

use crate::support::coturn::Coturn;
use crate::support::janus::Janus;
use crate::support::{API_KEY, TURN_SECRET, TestService, token};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// An audio offer of Chromium with one codec, recorded.
const OFFER: &str = include_str!("../clients/offer.sdp");

/// Starts a relay on `ip` and a service that offers it.
async fn relay_and_service(ip: impl Into<IpAddr>, lines: &str) -> (Coturn, TestService) {
    let coturn = Coturn::with_lines(ip, TURN_SECRET, lines).await;
    let uris = coturn.udp().to_string();
    let service =
        TestService::start([("TURN_CRED_URIS", &uris), ("TURN_CRED_API_KEYS", API_KEY)]).await;
    (coturn, service)
}

/// Allocates with one entry of a list of ICE servers.
async fn allocate(coturn: &Coturn, server: &Value) {
    let text = |name: &str| server[name].as_str().unwrap().to_owned();
    let uri = server["urls"][0].as_str().unwrap().parse().unwrap();
    let credential = Credential { username: text("username"), password: text("credential") };
    let mut client = TurnClient::connect(&uri, &coturn.connect_options()).await.unwrap();
    client.allocate(&credential).await.unwrap();
}

async fn metric(service: &TestService, name: &str) -> String {
    let metrics = reqwest::get(service.admin("/metrics")).await.unwrap().text().await.unwrap();
    metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
}

fn read(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn the_matrix_sdk_is_given_what_a_relay_accepts() {
    let (coturn, service) = relay_and_service([127, 0, 0, 1], "").await;
    let output = Command::new("node")
        .args(["matrix.js", &service.at("")])
        .current_dir(FOLDER)
        .env("TOKEN", token("ana"))
        .output()
        .await
        .expect("node cannot be started: install it (deploy/install-test-tools.sh)");
    let servers = read(&output);
    assert_eq!(servers.as_array().unwrap().len(), 1, "{servers}");
    allocate(&coturn, &servers[0]).await;
}

#[tokio::test]
async fn janus_allocates_with_what_it_is_given_by_get_and_by_post() {
    let (_coturn, service) = relay_and_service(own_address(), "").await;
    for (method, times) in [("GET", "1"), ("POST", "2")] {
        let janus = Janus::start(&service.at("/turn"), API_KEY, method).await;
        let answer = janus.echo("ana", OFFER).await;
        let issued = metric(&service, r#"turncred_issued_total{listener="public"}"#).await;
        assert_eq!(issued, times, "{method}");
        assert!(answer.contains(" typ relay "), "{method}: {answer}\n{}", janus.log());
        assert!(!janus.log().contains("[ERR]"), "{}", janus.log());
    }
}

/// This machine's address towards other hosts: Janus gathers no candidates on loopback.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Connecting a UDP socket sends nothing; it only selects the interface.
    socket.connect("203.0.113.1:9").expect("Janus needs an interface beside loopback");
    socket.local_addr().unwrap().ip()
}

#[tokio::test]
async fn curl_as_cloudflare_shows_it_is_given_what_a_relay_accepts() {
    let (coturn, service) = relay_and_service([127, 0, 0, 1], "").await;
    for (endpoint, first) in
        [("generate-ice-servers", "/iceServers/0"), ("generate", "/iceServers")]
    {
        let url = service.at(&format!("/v1/turn/keys/backend/credentials/{endpoint}"));
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body"])
            .args(["-H", &format!("Authorization: Bearer {API_KEY}")])
            .args(["-H", "Content-Type: application/json", "-d", r#"{"ttl": 86400}"#, &url])
            .output()
            .await
            .expect("curl cannot be started: install it (deploy/install-test-tools.sh)");
        let answer = read(&output);
        allocate(&coturn, answer.pointer(first).unwrap()).await;
    }
}
