//! Tokens that are void before their end, on every node.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use service_kit::tokens::{Right, mint};

use crate::support::node::{SECRET, TestNode, claims, token};
use crate::support::peer::{TestPeer, knock, request};
use crate::support::redis::TestRedis;

/// Every node knows within this.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

fn ask(node: &TestNode, method: Method, path: &str) -> RequestBuilder {
    let mut admin = claims("backend");
    admin.can = vec![Right::Admin];
    let url = format!("http://{}/v1/revocations{path}", node.address());
    Client::new().request(method, url).bearer_auth(mint(&admin, SECRET.as_bytes()))
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

async fn revoke(node: &TestNode, path: &str) {
    let (status, body) = answer(ask(node, Method::PUT, path).json(&json!({"for": 60}))).await;
    assert_eq!(status, 200, "{body}");
}

fn token_with_id(sub: &str, id: &str) -> String {
    let mut claims = claims(sub);
    claims.jti = Some(id.to_owned());
    mint(&claims, SECRET.as_bytes())
}

/// Comes in, and is told why not.
async fn is_refused(node: &TestNode, token: &str) {
    let mut request = request(node);
    let offered = format!("signal.v1, bearer.{token}").parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", offered);
    let mut peer = knock(request).await.unwrap().0;
    let error = peer.until("error").await;
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("unauthorized"), &json!("the token was revoked"))
    );
    assert_eq!(peer.closed().await, 4100);
}

#[tokio::test]
async fn a_revoked_subject_is_out_on_every_node_and_stays_out() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut ana = TestPeer::holder(&two, "ana").await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    let began = Instant::now();
    revoke(&one, "/sub/ana").await;
    assert_eq!(ana.closed().await, 4100);
    assert!(began.elapsed() <= KNOWN_WITHIN, "it took {:?}", began.elapsed());
    for node in [&one, &two] {
        is_refused(node, &token("ana")).await;
    }
    // Nobody else notices, and who starts later knows.
    bo.say(json!({"type": "ping"})).await;
    bo.until("pong").await;
    let [three, _four] = TestNode::two(&redis).await;
    is_refused(&three, &token("ana")).await;
}

#[tokio::test]
async fn one_token_is_revoked_and_the_next_of_its_subject_opens() {
    let node = TestNode::closed().await;
    let mut leaked = TestPeer::with_token(&node, &token_with_id("ana", "t1")).await;
    let mut other = TestPeer::with_token(&node, &token_with_id("ana", "t2")).await;
    revoke(&node, "/jti/t1").await;
    assert_eq!(leaked.closed().await, 4100);
    is_refused(&node, &token_with_id("ana", "t1")).await;
    other.say(json!({"type": "ping"})).await;
    other.expect("pong").await;
    // Over the same connection too, nobody gets in with it.
    other.say(json!({"type": "auth", "id": 3, "token": token_with_id("ana", "t1")})).await;
    assert_eq!(other.expect_error("unauthorized").await["id"], 3);
}

#[tokio::test]
async fn the_list_is_told_and_lifted_and_ends_by_itself() {
    let node = TestNode::closed().await;
    revoke(&node, "/sub/ana").await;
    let (status, list) = answer(ask(&node, Method::GET, "")).await;
    assert_eq!((status, &list["revocations"][0]["by"]), (200, &json!("sub")));
    assert_eq!(list["revocations"][0]["name"], "ana");
    assert!(node.metrics().await.contains("signal_revocations 1"));
    assert_eq!(answer(ask(&node, Method::DELETE, "/sub/ana")).await.0, 204);
    assert_eq!(answer(ask(&node, Method::DELETE, "/sub/ana")).await.0, 404);
    let mut ana = TestPeer::holder(&node, "ana").await;
    ana.join("demo", "ana").await;
    let second = ask(&node, Method::PUT, "/sub/ana").json(&json!({"for": 1}));
    assert_eq!(answer(second).await.0, 200);
    assert_eq!(ana.closed().await, 4100);
    while answer(ask(&node, Method::GET, "")).await.1["revocations"] != json!([]) {}
    TestPeer::holder(&node, "ana").await;
}

#[tokio::test]
async fn a_list_that_redis_has_lost_is_put_back() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    revoke(&one, "/sub/ana").await;
    redis.run::<()>(&["DEL", "revoked"]).await;
    while !redis.run::<bool>(&["HEXISTS", "revoked", "sub:ana"]).await {}
    is_refused(&two, &token("ana")).await;
}

/// The version was a counter: one change after the loss of another made it the same again, and nobody noticed.
#[tokio::test]
async fn a_revocation_that_redis_has_lost_is_put_back_although_another_one_followed() {
    let redis = TestRedis::start().await;
    let settings = [("BACKEND", "redis"), ("REDIS_URL", &redis.url()), ("JWT_SECRET", SECRET)];
    let one = TestNode::start(&settings).await;
    revoke(&one, "/sub/ana").await;
    let kept: Vec<u8> = redis.run(&["DUMP", "revoked"]).await;
    revoke(&one, "/sub/bo").await;
    redis.put_back(&[("revoked".to_owned(), kept)]).await;
    revoke(&one, "/sub/cy").await;
    for who in ["ana", "bo", "cy"] {
        while !redis.run::<bool>(&["HEXISTS", "revoked", &format!("sub:{who}")]).await {}
        is_refused(&one, &token(who)).await;
    }
}

/// A lifted revocation was put back by nodes that had not read the lift yet, or after a loss.
#[tokio::test]
async fn what_is_lifted_stays_so_after_a_loss_and_what_is_over_is_removed() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    revoke(&one, "/sub/ana").await;
    is_refused(&two, &token("ana")).await;
    let kept: Vec<u8> = redis.run(&["DUMP", "revoked"]).await;
    assert_eq!(answer(ask(&one, Method::DELETE, "/sub/ana")).await.0, 204);
    redis.put_back(&[("revoked".to_owned(), kept)]).await;
    let lifted = |text: String| text.starts_with('-');
    while !lifted(redis.run(&["HGET", "revoked", "sub:ana"]).await) {}
    TestPeer::holder(&one, "ana").await;
    redis.run::<u64>(&["HSET", "revoked", "sub:old", "5", "jti:old", "-5"]).await;
    revoke(&one, "/sub/bo").await;
    let left: Vec<String> = redis.run(&["HKEYS", "revoked"]).await;
    assert!(!left.iter().any(|name| name.ends_with("old")), "{left:?}");
}

/// A node of version 0.1.0 counts changes, and deletes what it lifts.
#[tokio::test]
async fn what_a_node_of_an_older_version_changes_is_known() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    revoke(&one, "/sub/ana").await;
    is_refused(&two, &token("ana")).await;
    redis.run::<u64>(&["HSET", "revoked", "sub:bo", "9999999999"]).await;
    redis.run::<u64>(&["HDEL", "revoked", "sub:ana"]).await;
    redis.run::<u64>(&["HINCRBY", "revoked", "version", "1"]).await;
    for node in [&one, &two] {
        while answer(ask(node, Method::GET, "")).await.1["revocations"][0]["name"] != "bo" {}
        is_refused(node, &token("bo")).await;
        TestPeer::holder(node, "ana").await;
    }
}

#[tokio::test]
async fn who_may_not_revoke_and_what_is_no_name_is_refused() {
    let node = TestNode::closed().await;
    let mut narrow = claims("backend");
    (narrow.can, narrow.rooms) = (vec![Right::Admin], vec!["team-*".to_owned()]);
    let url = format!("http://{}/v1/revocations/sub/ana", node.address());
    let narrow = Client::new().put(url).bearer_auth(mint(&narrow, SECRET.as_bytes()));
    let put = |path: &str, body: Value| ask(&node, Method::PUT, path).json(&body);
    let cases = [
        (narrow.json(&json!({})), 403, "forbidden"),
        (put("/iss/ana", json!({})), 400, "bad_request"),
        (put(&format!("/sub/{}", "a".repeat(1021)), json!({})), 400, "bad_request"),
        (put("/sub/ana", json!({"for": 0})), 400, "bad_request"),
        (put("/sub/ana", json!({"for": 400 * 86_400})), 400, "bad_request"),
        (put("/sub/ana", json!({"until": 5})), 400, "bad_request"),
    ];
    for (request, status, code) in cases {
        let (told, body) = answer(request).await;
        assert_eq!((told, &body["code"]), (status, &json!(code)), "{body}");
    }
}
