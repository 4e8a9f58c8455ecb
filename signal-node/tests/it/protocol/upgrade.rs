//! Who gets in: everything up to `welcome`.

use serde_json::json;
use service_kit::tokens::mint;
use tokio_tungstenite::tungstenite::http::Request;

use crate::support::node::{SECRET, TestNode, claims, token};
use crate::support::peer::{TestPeer, key, knock, refused, request};

fn with_header(node: &TestNode, name: &'static str, value: &str) -> Request<()> {
    let mut request = request(node);
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

#[tokio::test]
async fn only_signal_v1_is_ever_echoed() {
    let node = TestNode::closed().await;
    let offered = format!("signal.v1, bearer.{}", token("ana"));
    let (_, response) =
        knock(with_header(&node, "sec-websocket-protocol", &offered)).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "signal.v1");
}

#[tokio::test]
async fn compression_is_never_agreed_to() {
    let node = TestNode::open().await;
    let offer = "permessage-deflate; client_max_window_bits";
    let (_, response) = knock(with_header(&node, "sec-websocket-extensions", offer)).await.unwrap();
    assert_eq!(response.headers().get("sec-websocket-extensions"), None);
}

#[tokio::test]
async fn a_client_without_the_subprotocol_is_refused() {
    let node = TestNode::open().await;
    let request = with_header(&node, "sec-websocket-protocol", "chat");
    assert_eq!(refused(request).await, (400, "bad_request".to_owned()));
}

#[tokio::test]
async fn a_page_that_forgot_the_subprotocol_is_told_and_closed_4200() {
    let node = TestNode::open().await;
    let mut request = request(&node);
    request.headers_mut().remove("sec-websocket-protocol");
    let (mut peer, response) = knock(request).await.unwrap();
    assert_eq!(response.headers().get("sec-websocket-protocol"), None);
    let error = peer.expect_error("bad_request").await;
    assert!(error["message"].as_str().unwrap().contains("signal.v1"), "{error}");
    assert_eq!(peer.closed().await, 4200);
}

#[tokio::test]
async fn a_token_in_the_url_is_refused() {
    let node = TestNode::closed().await;
    let mut request = request(&node);
    *request.uri_mut() =
        format!("ws://{}/v1/ws?token={}", node.address(), token("ana")).parse().unwrap();
    assert_eq!(refused(request).await, (400, "bad_request".to_owned()));
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_is_closed_4204_and_our_own_is_not() {
    let node = TestNode::open().await;
    for foreign in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let (mut peer, _) = knock(with_header(&node, "origin", foreign)).await.unwrap();
        let error = peer.expect_error("forbidden").await;
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(foreign) && message.contains("ALLOWED_ORIGINS"), "{message}");
        assert_eq!(peer.closed().await, 4204, "{foreign}");
    }
    let own = format!("http://{}", node.address());
    assert!(knock(with_header(&node, "origin", &own)).await.is_ok());
    assert!(node.metrics().await.contains(r#"signal_upgrade_rejected_total{reason="origin"} 3"#));
}

#[tokio::test]
async fn the_page_of_the_node_may_connect_beside_listed_origins_unless_it_is_locked_out() {
    for (setting, allowed) in
        [("https://app.example", true), ("https://app.example,no-same-origin", false)]
    {
        let node = TestNode::start(&[("ALLOWED_ORIGINS", setting)]).await;
        let own = format!("http://{}", node.address());
        for (origin, allowed) in [(own.as_str(), allowed), ("https://app.example", true)] {
            let (mut peer, _) = knock(with_header(&node, "origin", origin)).await.unwrap();
            peer.say(node.hello()).await;
            if allowed {
                peer.expect("welcome").await;
            } else {
                assert_eq!(peer.closed().await, 4204, "{setting}: {origin}");
            }
        }
    }
}

/// Tokens that open nothing, with the code each is answered with.
fn bad_tokens() -> Vec<(&'static str, String, &'static str, u16)> {
    let mut expired = claims("ana");
    expired.exp -= 7_200;
    let mut early = claims("ana");
    early.nbf = Some(early.exp);
    let mut elsewhere = claims("ana");
    elsewhere.aud = vec!["elsewhere".to_owned()];
    let good = |claims| mint(&claims, SECRET.as_bytes());
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbmEiLCJleHAiOjk5OTk5OTk5OTl9.";
    let unsigned = token("ana").rsplit_once('.').unwrap().0.to_owned() + ".";
    vec![
        ("expired", good(expired), "token_expired", 4101),
        ("another key", mint(&claims("ana"), &[7; 32]), "unauthorized", 4100),
        ("alg none", none.to_owned(), "unauthorized", 4100),
        ("no signature", unsigned, "unauthorized", 4100),
        ("another audience", good(elsewhere), "unauthorized", 4100),
        ("not yet valid", good(early), "unauthorized", 4100),
        ("no token at all", "abc".to_owned(), "unauthorized", 4100),
    ]
}

async fn strict_node() -> TestNode {
    TestNode::start(&[("JWT_SECRET", SECRET), ("JWT_AUDIENCE", "here")]).await
}

#[tokio::test]
async fn a_bad_token_in_the_authorization_header_is_a_401() {
    let node = strict_node().await;
    for (what, token, code, _) in bad_tokens() {
        let request = with_header(&node, "authorization", &format!("Bearer {token}"));
        assert_eq!(refused(request).await, (401, code.to_owned()), "{what}");
    }
}

#[tokio::test]
async fn a_bad_token_as_subprotocol_is_upgraded_and_then_closed() {
    let node = strict_node().await;
    for (what, token, code, close) in bad_tokens() {
        let offered = format!("signal.v1, bearer.{token}");
        let request = with_header(&node, "sec-websocket-protocol", &offered);
        let (mut peer, _) = knock(request).await.unwrap();
        peer.expect_error(code).await;
        assert_eq!(peer.closed().await, close, "{what}");
    }
}

#[tokio::test]
async fn tokens_that_are_refused_are_counted_however_they_came() {
    let node = TestNode::closed().await;
    let bad = mint(&claims("ana"), &[7; 32]);
    let by_header = with_header(&node, "authorization", &format!("Bearer {bad}"));
    assert_eq!(refused(by_header).await.0, 401);
    let offered = format!("signal.v1, bearer.{bad}");
    let by_subprotocol = with_header(&node, "sec-websocket-protocol", &offered);
    let (mut peer, _) = knock(by_subprotocol).await.unwrap();
    assert_eq!(peer.closed().await, 4100);
    for hello in [json!({"type": "hello", "token": bad}), json!({"type": "hello"})] {
        let mut peer = TestPeer::connect(&node).await;
        peer.say(hello).await;
        assert_eq!(peer.closed().await, 4100);
    }
    let rejected = r#"signal_upgrade_rejected_total{reason="token"} 4"#;
    assert!(node.metrics().await.contains(rejected));
}

#[tokio::test]
async fn a_page_of_any_origin_may_read_why_it_could_not_connect() {
    let node = TestNode::open().await;
    for (path, code) in [("/v1/ws", "bad_request"), ("/ws", "not_found")] {
        let answer = node.get(path).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], "*", "{path}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], code, "{path}");
    }
}

#[tokio::test]
async fn a_bad_token_in_hello_is_named_and_closed() {
    let node = strict_node().await;
    for (what, token, code, close) in bad_tokens() {
        let mut peer = TestPeer::connect(&node).await;
        peer.say(json!({"type": "hello", "token": token})).await;
        peer.expect_error(code).await;
        assert_eq!(peer.closed().await, close, "{what}");
    }
}

#[tokio::test]
async fn a_good_token_opens_by_header_and_by_hello() {
    let node = TestNode::closed().await;
    let request = with_header(&node, "authorization", &format!("Bearer {}", token("ana")));
    let (mut by_header, _) = knock(request).await.unwrap();
    by_header.expect("welcome").await;
    let mut by_hello = TestPeer::connect(&node).await;
    by_hello.say(json!({"type": "hello", "token": token("ana")})).await;
    let welcome = by_hello.expect("welcome").await;
    assert_eq!(welcome["limits"]["unacked"], 256);
}

#[tokio::test]
async fn nobody_is_anonymous_where_keys_are_configured() {
    let node = TestNode::closed().await;
    let mut peer = TestPeer::connect(&node).await;
    peer.say(json!({"type": "hello"})).await;
    peer.expect_error("unauthorized").await;
    assert_eq!(peer.closed().await, 4100);
}

#[tokio::test]
async fn without_keys_only_the_token_that_the_node_printed_lets_in() {
    let node = TestNode::open().await;
    let with_token = |token: &str| json!({"type": "hello", "token": token});
    for hello in
        [json!({"type": "hello"}), with_token(""), with_token("x"), with_token(&token("ana"))]
    {
        // As a proxy on this machine writes it that takes over our own name and adds nothing.
        let mut peer = TestPeer::connect(&node).await;
        peer.say(hello.clone()).await;
        let error = peer.expect_error("unauthorized").await;
        assert!(error["message"].as_str().unwrap().contains("address"), "{hello}: {error}");
        assert_eq!(peer.closed().await, 4100, "{hello}");
    }
    let other = TestNode::open().await.hello();
    let mut peer = TestPeer::connect(&node).await;
    peer.say(other).await;
    assert_eq!(peer.closed().await, 4100, "the token of another start");
    let mut ana = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
}

#[tokio::test]
async fn always_needs_no_startup_token() {
    let node = TestNode::start(&[("ANONYMOUS", "always")]).await;
    assert_eq!(node.hello(), json!({"type": "hello"}));
    TestPeer::anonymous(&node).await;
}

#[tokio::test]
async fn a_connection_that_says_no_hello_is_closed_after_five_seconds() {
    let node = TestNode::open().await;
    let mut peer = TestPeer::connect(&node).await;
    peer.say(json!({"type": "join", "id": 4, "room": "demo", "key": key("ana"), "try": 1})).await;
    assert_eq!(peer.expect_error("unauthorized").await["id"], 4);
    assert_eq!(peer.closed().await, 4201);
}

#[tokio::test]
async fn a_token_is_renewed_without_reconnecting_but_not_for_another_subject() {
    let node = TestNode::closed().await;
    let mut short = claims("ana");
    short.exp = service_kit::clock::unix_seconds() + 2;
    let mut renewing = TestPeer::with_token(&node, &mint(&short, SECRET.as_bytes())).await;
    let mut expiring = TestPeer::with_token(&node, &mint(&short, SECRET.as_bytes())).await;
    renewing.say(json!({"type": "auth", "id": 6, "token": token("bo")})).await;
    renewing.expect_error("forbidden").await;
    renewing.say(json!({"type": "auth", "id": 7, "token": token("ana")})).await;
    assert_eq!(renewing.expect("ok").await["id"], 7);
    assert_eq!(expiring.closed().await, 4101);
    renewing.expect_nothing().await;
}
