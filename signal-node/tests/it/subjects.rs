//! Tokens as identity providers issue them: any subject, any `kid`, as long as they are.

use reqwest::{Client, Method};
use serde_json::{Value, json};
use service_kit::tokens::{Right, mint};
use signal_protocol::encode;

use crate::support::node::{SECRET, TestNode, claims, token};
use crate::support::peer::{TestPeer, knock, refused, request};
use crate::support::redis::TestRedis;

/// Auth0, Google, e-mail, Matrix, URN, a distinguished name, and what would break a line or a script.
const SUBJECTS: [&str; 8] = [
    "auth0|5f7c8ec7c33c6c004bbafe82",
    "google-oauth2|103547991597142817347",
    "user@example.org",
    "@user:example.org",
    "urn:user:7",
    "CN=Ana Lovelace,O=Example",
    "~",
    "Jörg\n\"%25\\ {x}/é",
];

async fn call(node: &TestNode, method: Method, path: &str) -> (u16, Value) {
    let mut admin = claims("backend");
    admin.can = vec![Right::Admin];
    let url = format!("http://{}{path}", node.address());
    let request = Client::new().request(method, url).bearer_auth(mint(&admin, SECRET.as_bytes()));
    let response = request.json(&json!({})).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

/// Takes one subject through everything that names it.
async fn lives(one: &TestNode, two: &TestNode, room: &str, sub: &str) {
    let mut guest = TestPeer::holder(two, "guest").await;
    guest.join(room, "guest").await;
    let mut ana = TestPeer::holder(one, sub).await;
    let joined = ana.join(room, "ana").await;
    assert_eq!(joined["peers"][0]["user"], "guest");
    assert_eq!(guest.expect("peer_joined").await["peer"]["user"], sub);
    let (_, view) = call(one, Method::GET, &format!("/v1/rooms/{room}")).await;
    assert_eq!(view["peers"][1]["user"], sub, "{view}");

    // It comes back over the other node.
    let mut back = TestPeer::holder(two, sub).await;
    back.resume(room, "ana", 2, joined["seq"].as_u64()).await;
    assert_eq!(back.until("joined").await["recovery"], "replay");

    let path = format!("/v1/rooms/{room}/peers/{}?ban=60", back.id);
    assert_eq!(call(one, Method::DELETE, &path).await.0, 204);
    assert_eq!(back.closed().await, 4203);
    let mut banned = TestPeer::holder(one, sub).await;
    banned.try_join(room, "again").await;
    banned.expect_error("forbidden").await;

    let path = format!("/v1/revocations/sub/{}", encode(sub));
    let (status, revoked) = call(one, Method::PUT, &path).await;
    assert_eq!((status, &revoked["name"]), (200, &json!(sub)), "{revoked}");
    assert_eq!(banned.closed().await, 4100);
    let (_, list) = call(two, Method::GET, "/v1/revocations").await;
    assert!(list["revocations"].as_array().unwrap().iter().any(|one| one["name"] == sub), "{list}");
    assert_eq!(call(two, Method::DELETE, &path).await.0, 204);
}

#[tokio::test]
async fn any_text_is_a_subject_in_rosters_bans_and_revocations() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    for (number, sub) in SUBJECTS.iter().enumerate() {
        lives(&one, &two, &format!("redis-{number}"), sub).await;
    }
    let alone = TestNode::closed().await;
    for (number, sub) in SUBJECTS.iter().enumerate() {
        lives(&alone, &alone, &format!("memory-{number}"), sub).await;
    }
}

#[tokio::test]
async fn a_token_of_sixteen_kib_opens_and_a_longer_one_is_told_so() {
    let node = TestNode::closed().await;
    let long = |groups: usize| {
        let mut claims = claims("ana");
        claims.aud = vec!["g".repeat(groups)];
        mint(&claims, SECRET.as_bytes())
    };
    let mut ana = TestPeer::with_token(&node, &long(12_000)).await;
    ana.join("demo", "ana").await;
    let mut bo = TestPeer::dial(node.address(), &long(13_000)).await;
    let error = bo.expect_error("unauthorized").await;
    assert!(error["message"].as_str().unwrap().contains("too long"), "{error}");
    assert_eq!(bo.closed().await, 4100);
}

#[tokio::test]
async fn what_a_browser_says_to_a_proxy_does_not_hide_its_token() {
    let node = TestNode::closed().await;
    let with = |header: &str, protocols: &str| {
        let mut request = request(&node);
        request.headers_mut().insert("authorization", header.parse().unwrap());
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        request
    };
    let offered = format!("signal.v1, bearer.{}", token("ana"));
    for header in ["Basic YTpi", "basic YTpi", "Digest username=a", "Negotiate YII="] {
        let mut ana = knock(with(header, &offered)).await.unwrap().0;
        ana.expect("welcome").await;
        let mut bo = knock(with(header, "signal.v1")).await.unwrap().0;
        bo.say(json!({"type": "hello", "token": token("bo")})).await;
        bo.expect("welcome").await;
    }
    assert_eq!(refused(with("Token abc", &offered)).await, (401, "unauthorized".to_owned()));
}
