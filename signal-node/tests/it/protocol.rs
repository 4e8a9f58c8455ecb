//! `docs/PROTOCOL.md` sentence by sentence, over real sockets.

use serde_json::json;
use service_kit::tokens::{Right, mint};
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::support::node::{SECRET, TestNode, claims, token};
use crate::support::peer::{TestPeer, key, knock, refused, request};
use crate::support::redis::TestRedis;

fn with_header(
    node: &TestNode,
    name: &'static str,
    value: &str,
) -> tokio_tungstenite::tungstenite::http::Request<()> {
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
async fn a_client_without_the_subprotocol_is_refused() {
    let node = TestNode::open().await;
    let request = with_header(&node, "sec-websocket-protocol", "chat");
    assert_eq!(refused(request).await, (400, "bad_request".to_owned()));
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
async fn a_foreign_origin_is_refused_and_our_own_is_not() {
    let node = TestNode::open().await;
    for foreign in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let request = with_header(&node, "origin", foreign);
        assert_eq!(refused(request).await, (403, "forbidden".to_owned()), "{foreign}");
    }
    let own = format!("http://{}", node.address());
    assert!(knock(with_header(&node, "origin", &own)).await.is_ok());
    assert!(node.metrics().await.contains(r#"signal_upgrade_rejected_total{reason="origin"} 3"#));
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
async fn nobody_is_anonymous_through_a_proxy_or_under_another_name() {
    let node = TestNode::open().await;
    for (name, value) in [("x-forwarded-for", "127.0.0.1"), ("host", "evil.example")] {
        let (mut peer, _) = knock(with_header(&node, name, value)).await.unwrap();
        peer.say(json!({"type": "hello"})).await;
        assert_eq!(peer.closed().await, 4100, "{name}");
    }
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
async fn malformed_input_is_named_and_the_connection_lives() {
    let node = TestNode::open().await;
    let mut peer = TestPeer::anonymous(&node).await;
    for text in ["", "{", "[]", "\"hello\"", "{\"type\":7}", "{\"type\":\"join\",\"id\":1}", "nul"]
    {
        peer.say_text(text).await;
        peer.expect_error("bad_request").await;
    }
    peer.say(json!({"type": "dance", "id": 9})).await;
    assert_eq!(peer.expect_error("unsupported").await["id"], 9);
    peer.expect_nothing().await;
}

#[tokio::test]
async fn a_larger_frame_than_64_kib_is_closed_1009() {
    let node = TestNode::open().await;
    let mut peer = TestPeer::anonymous(&node).await;
    let mut largest = json!({"type": "ping", "x": ""}).to_string();
    let at = largest.len() - 2;
    largest.insert_str(at, &"x".repeat(65_536 - largest.len()));
    peer.say_text(&largest).await;
    peer.expect("pong").await;
    peer.send(Message::text("x".repeat(65_537))).await;
    assert_eq!(peer.closed().await, 1009);
}

#[tokio::test]
async fn a_binary_frame_is_closed_1003_and_bad_utf8_1007() {
    let node = TestNode::open().await;
    let mut peer = TestPeer::anonymous(&node).await;
    peer.send(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(peer.closed().await, 1003);
    let mut peer = TestPeer::anonymous(&node).await;
    let frame = tokio_tungstenite::tungstenite::protocol::frame::Frame::message(
        vec![0xff, 0xfe],
        tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode::Data(
            tokio_tungstenite::tungstenite::protocol::frame::coding::Data::Text,
        ),
        true,
    );
    peer.send(Message::Frame(frame)).await;
    assert_eq!(peer.closed().await, 1007);
}

#[tokio::test]
async fn the_newcomer_offers_and_is_polite() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let joined = ana.join("demo", "ana").await;
    assert_eq!((&joined["self"]["n"], &joined["peers"]), (&json!(1), &json!([])));
    assert_eq!(
        (&joined["recovery"], &joined["mid"], &joined["ice"]),
        (&json!("new"), &json!(0), &json!(null))
    );
    let mut bo = TestPeer::anonymous(&node).await;
    let joined = bo.join("demo", "bo").await;
    let told =
        json!([{"id": ana.id, "n": 1, "polite": true, "away": false, "meta": {"name": "ana"}}]);
    assert_eq!(joined["peers"], told);
    let news = ana.expect("peer_joined").await;
    assert_eq!(news["peer"], json!({"id": bo.id, "n": 2, "polite": false, "meta": {"name": "bo"}}));
    assert_eq!(news["seq"], joined["seq"]);
}

#[tokio::test]
async fn a_signal_reaches_whom_it_is_for_with_its_true_sender() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    let mut cy = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    cy.join("demo", "cy").await;
    for _ in 0..2 {
        ana.expect("peer_joined").await;
    }
    bo.expect("peer_joined").await;
    let data = json!({"description": {"type": "offer", "sdp": "v=0\r\n"}});
    ana.say(json!({"type": "signal", "mid": 1, "room": "demo", "to": bo.id, "from": cy.id, "data": data})).await;
    ana.say(json!({"type": "signal", "mid": 2, "room": "demo", "data": "to all"})).await;
    let signal = bo.expect("signal").await;
    assert_eq!(
        (&signal["from"], &signal["to"], &signal["data"]),
        (&json!(ana.id), &json!(bo.id), &data)
    );
    for peer in [&mut bo, &mut cy] {
        let signal = peer.expect("signal").await;
        assert_eq!((&signal["data"], signal.get("to")), (&json!("to all"), None));
    }
    let ack = ana.expect("ack").await;
    assert_eq!((&ack["mid"], &ack["room"]), (&json!(2), &json!("demo")));
    cy.expect_nothing().await;
}

#[tokio::test]
async fn a_volatile_signal_has_no_number_and_no_ack() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    ana.expect("peer_joined").await;
    ana.say(json!({"type": "signal", "room": "demo", "volatile": true, "data": {"x": 1}})).await;
    let told = bo.expect("signal").await;
    assert_eq!(
        told,
        json!({"type": "signal", "room": "demo", "volatile": true, "from": ana.id, "data": {"x": 1}})
    );
    ana.expect_nothing().await;
}

#[tokio::test]
async fn acks_come_at_least_every_32_messages() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    for mid in 1..=100 {
        ana.say(json!({"type": "signal", "mid": mid, "room": "demo", "data": mid})).await;
    }
    let mut settled = 0;
    while settled < 100 {
        let ack = ana.expect("ack").await;
        let mid = ack["mid"].as_u64().unwrap();
        assert!(mid > settled && mid - settled <= 128, "{settled} then {mid}");
        settled = mid;
    }
}

#[tokio::test]
async fn a_repeated_message_is_acknowledged_again_and_a_later_one_refused() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    ana.expect("peer_joined").await;
    let say = |mid| json!({"type": "signal", "mid": mid, "room": "demo", "data": mid});
    for mid in [1, 1, 3] {
        ana.say(say(mid)).await;
    }
    let error = ana.expect_error("out_of_order").await;
    assert_eq!(
        (&error["mid"], &error["expected"], &error["room"]),
        (&json!(3), &json!(2), &json!("demo"))
    );
    assert_eq!((&error["retry"], error.get("id")), (&json!(true), None));
    assert_eq!(ana.expect("ack").await["mid"], 1);
    ana.say(say(2)).await;
    assert_eq!(bo.expect("signal").await["data"], 1);
    assert_eq!(bo.expect("signal").await["data"], 2);
}

#[tokio::test]
async fn a_refusal_for_good_consumes_its_number_in_its_turn() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    let nobody = "p_0000000000000000000000";
    ana.say(json!({"type": "signal", "mid": 1, "room": "demo", "to": nobody, "data": 1})).await;
    ana.say(json!({"type": "update", "mid": 2, "room": "demo", "meta": {"x": "y".repeat(4096)}}))
        .await;
    ana.say(json!({"type": "update", "mid": 3, "room": "demo", "meta": 7})).await;
    ana.say(json!({"type": "signal", "mid": 4, "room": "demo", "to": ana.id, "data": 1})).await;
    for (mid, code) in
        [(1, "peer_not_found"), (2, "too_large"), (3, "bad_request"), (4, "bad_request")]
    {
        assert_eq!(ana.expect_error(code).await["mid"], mid);
    }
    assert_eq!(ana.expect("ack").await["mid"], 4);
}

#[tokio::test]
async fn joining_twice_and_speaking_before_joining_are_named() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    ana.say(json!({"type": "signal", "mid": 1, "room": "demo", "data": 1})).await;
    assert_eq!(ana.expect_error("not_joined").await["mid"], 1);
    ana.say(json!({"type": "leave", "id": 2, "room": "demo"})).await;
    assert_eq!(ana.expect_error("not_joined").await["id"], 2);
    ana.join("demo", "ana").await;
    ana.try_join("demo", "ana").await;
    ana.expect_error("already_joined").await;
    ana.say(json!({"type": "signal", "mid": 1, "room": "other", "data": 1})).await;
    ana.expect_error("not_joined").await;
    ana.say(json!({"type": "join", "id": 3, "room": "no/such", "key": key("ana"), "try": 1})).await;
    assert_eq!(ana.expect_error("bad_request").await["id"], 3);
}

#[tokio::test]
async fn a_signal_never_leaves_its_room() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    ana.join("one", "ana").await;
    bo.join("two", "bo").await;
    ana.say(json!({"type": "signal", "mid": 1, "room": "one", "to": bo.id, "data": 1})).await;
    ana.expect_error("peer_not_found").await;
    bo.expect_nothing().await;
}

#[tokio::test]
async fn an_update_is_told_and_stands_in_the_roster() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    bo.say(json!({"type": "update", "mid": 1, "room": "demo", "meta": {"muted": true}})).await;
    ana.expect("peer_joined").await;
    let told = ana.expect("peer_updated").await;
    assert_eq!(told["peer"], json!({"id": bo.id, "meta": {"muted": true}}));
    let mut cy = TestPeer::anonymous(&node).await;
    let joined = cy.join("demo", "cy").await;
    assert_eq!(joined["peers"][1]["meta"], json!({"muted": true}));
}

#[tokio::test]
async fn leaving_is_answered_and_told() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    bo.say(json!({"type": "leave", "id": 5, "room": "demo"})).await;
    assert_eq!(bo.expect("ok").await["id"], 5);
    ana.expect("peer_joined").await;
    let left = ana.expect("peer_left").await;
    assert_eq!((&left["peer"], &left["reason"]), (&json!(bo.id), &json!("left")));
    bo.join("demo", "bo").await;
}

#[tokio::test]
async fn a_lost_socket_is_away_and_comes_back_as_itself() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    ana.expect("peer_joined").await;
    let id = bo.id.clone();
    drop(bo);
    let away = ana.expect("peer_updated").await;
    assert_eq!(away["peer"], json!({"id": id, "away": true}));
    let mut back = TestPeer::anonymous(&node).await;
    back.say(json!({"type": "join", "id": 1, "room": "demo", "key": key("bo"), "try": 2, "seq": away["seq"]})).await;
    let joined = back.expect("joined").await;
    assert_eq!((&joined["self"]["id"], &joined["self"]["n"]), (&json!(id), &json!(2)));
    assert_eq!(joined["recovery"], "snapshot");
    assert_eq!(ana.expect("peer_updated").await["peer"], json!({"id": id, "away": false}));
}

#[tokio::test]
async fn a_newer_socket_of_the_same_client_replaces_the_older() {
    let node = TestNode::open().await;
    let mut old = TestPeer::anonymous(&node).await;
    old.join("demo", "ana").await;
    let mut new = TestPeer::anonymous(&node).await;
    new.say(json!({"type": "join", "id": 1, "room": "demo", "key": key("ana"), "try": 2})).await;
    assert_eq!(new.expect("joined").await["recovery"], "snapshot");
    assert_eq!(old.expect("left").await["reason"], "replaced");
    assert_eq!(old.closed().await, 4202);
    let mut stale = TestPeer::anonymous(&node).await;
    stale.say(json!({"type": "join", "id": 1, "room": "demo", "key": key("ana"), "try": 1})).await;
    assert_eq!(stale.expect("left").await["reason"], "replaced");
}

#[tokio::test]
async fn a_full_room_says_so() {
    let node = TestNode::start(&[("ROOM_CAPACITY", "1")]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    let mut bo = TestPeer::anonymous(&node).await;
    bo.try_join("demo", "bo").await;
    let error = bo.expect_error("room_full").await;
    assert_eq!((&error["id"], error.get("after")), (&json!(1), None));
    drop(ana);
    loop {
        bo.try_join("demo", "bo").await;
        let error = bo.expect_error("room_full").await;
        if error.get("after").is_some() {
            break;
        }
    }
}

#[tokio::test]
async fn rooms_per_connection_and_members_per_subject_are_bounded() {
    let settings =
        [("JWT_SECRET", SECRET), ("ROOMS_PER_CONNECTION", "2"), ("MEMBERS_PER_SUB", "1")];
    let node = TestNode::start(&settings).await;
    let mut ana = TestPeer::holder(&node, "ana").await;
    ana.join("one", "a1").await;
    ana.join("two", "a2").await;
    ana.try_join("three", "a3").await;
    ana.expect_error("limit_exceeded").await;
    let mut again = TestPeer::holder(&node, "ana").await;
    again.try_join("one", "a4").await;
    again.expect_error("limit_exceeded").await;
}

#[tokio::test]
async fn a_token_opens_only_its_rooms() {
    let node = TestNode::closed().await;
    let mut claims = claims("ana");
    claims.rooms = vec!["demo".to_owned(), "team-*".to_owned()];
    let mut ana = TestPeer::with_token(&node, &mint(&claims, SECRET.as_bytes())).await;
    ana.try_join("other", "ana").await;
    ana.expect_error("forbidden").await;
    ana.join("demo", "a1").await;
    ana.join("team-blue", "a2").await;
}

#[tokio::test]
async fn what_the_token_says_of_its_holder_cannot_be_changed() {
    let node = TestNode::closed().await;
    let mut said = claims("ana");
    said.name = Some("Ana A.".to_owned());
    let mut ana = TestPeer::with_token(&node, &mint(&said, SECRET.as_bytes())).await;
    ana.join("demo", "impostor").await;
    let mut bo = TestPeer::holder(&node, "bo").await;
    let joined = bo.join("demo", "bo").await;
    assert_eq!(joined["peers"][0]["meta"]["name"], "Ana A.");
    assert_eq!(joined["peers"][0]["user"], "ana");
}

#[tokio::test]
async fn only_a_moderator_kicks_and_a_ban_holds() {
    let node = TestNode::closed().await;
    let mut rights = claims("mo");
    rights.can = vec![Right::Signal, Right::Moderate];
    let mut mo = TestPeer::with_token(&node, &mint(&rights, SECRET.as_bytes())).await;
    let mut eve = TestPeer::holder(&node, "eve").await;
    mo.join("demo", "mo").await;
    eve.join("demo", "eve").await;
    eve.say(json!({"type": "kick", "id": 7, "room": "demo", "peer": mo.id})).await;
    assert_eq!(eve.expect_error("forbidden").await["id"], 7);
    mo.expect("peer_joined").await;
    mo.say(json!({"type": "kick", "id": 8, "room": "demo", "peer": eve.id, "ban": 60})).await;
    let frames = [mo.next().await, mo.next().await];
    assert!(frames.iter().any(|frame| *frame == json!({"type": "ok", "id": 8})), "{frames:?}");
    assert!(frames.iter().any(|frame| frame["reason"] == "kicked"), "{frames:?}");
    assert_eq!(eve.expect("left").await["reason"], "kicked");
    assert_eq!(eve.closed().await, 4203);
    let mut again = TestPeer::holder(&node, "eve").await;
    again.try_join("demo", "eve").await;
    again.expect_error("forbidden").await;
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

#[tokio::test]
async fn too_many_messages_are_refused_with_a_time_to_wait() {
    let node = TestNode::start(&[("RATE", "1/s,burst=3")]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    for _ in 0..2 {
        ana.expect_nothing().await;
    }
    ana.say(json!({"type": "leave", "id": 3, "room": "demo"})).await;
    let error = ana.expect_error("rate_limited").await;
    assert_eq!((&error["id"], &error["retry"]), (&json!(3), &json!(true)));
    assert!(error["after"].as_u64().unwrap() <= 1_000);
}

#[tokio::test]
async fn too_many_connections_are_refused_with_a_time_to_wait() {
    let node = TestNode::start(&[("MAX_CONNECTIONS_PER_IP", "2")]).await;
    let _first = TestPeer::anonymous(&node).await;
    let _second = TestPeer::anonymous(&node).await;
    assert_eq!(refused(request(&node)).await, (429, "rate_limited".to_owned()));
    let node = TestNode::start(&[("MAX_CONNECTIONS", "1")]).await;
    let _only = TestPeer::anonymous(&node).await;
    assert_eq!(refused(request(&node)).await, (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_its_room_goes_on() {
    let node = TestNode::start(&[("RATE", "100000/s")]).await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut slow = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    slow.join("demo", "slow").await;
    bo.join("demo", "bo").await;
    let reading = tokio::spawn(async move {
        let mut heard = 0;
        while heard < 400 {
            heard += u64::from(bo.next().await["type"] == "signal");
        }
        bo
    });
    let data = "x".repeat(60_000);
    for mid in 1..=400 {
        ana.say(json!({"type": "signal", "mid": mid, "room": "demo", "data": data})).await;
        if mid % 32 == 0 {
            while ana.next().await["type"] != "ack" {}
        }
    }
    let mut bo = reading.await.unwrap();
    while bo.next().await["peer"]["away"] != true {}
    assert!(node.metrics().await.contains(r#"signal_connections_closed_total{code="4002"} 1"#));
}

#[tokio::test]
async fn a_stopping_node_closes_its_connections_so_that_they_come_back() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    node.life.soft.cancel();
    assert_eq!(ana.closed().await, 4000);
    node.life.finished().await;
}

#[tokio::test]
async fn two_nodes_are_one_room() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut ana = TestPeer::holder(&one, "ana").await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    ana.join("demo", "ana").await;
    let joined = bo.join("demo", "bo").await;
    assert_eq!(joined["peers"][0]["id"], ana.id.as_str());
    assert_eq!(ana.expect("peer_joined").await["peer"]["user"], "bo");
    for mid in 1..=50 {
        ana.say(json!({"type": "signal", "mid": mid, "room": "demo", "to": bo.id, "data": mid}))
            .await;
        bo.say(json!({"type": "signal", "mid": mid, "room": "demo", "data": mid})).await;
    }
    for peer in [&mut ana, &mut bo] {
        let mut expected = 1;
        while expected <= 50 {
            let frame = peer.next().await;
            if frame["type"] == "signal" {
                assert_eq!(frame["data"], expected);
                expected += 1;
            }
        }
    }
    drop(bo);
    while ana.next().await["peer"]["away"] != true {}
}

#[tokio::test]
async fn a_cut_subscriber_connection_loses_and_doubles_nothing() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut ana = TestPeer::holder(&one, "ana").await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    ana.expect("peer_joined").await;
    redis.cut_subscribers().await;
    for mid in 1..=20 {
        ana.say(json!({"type": "signal", "mid": mid, "room": "demo", "to": bo.id, "data": mid}))
            .await;
        assert_eq!(
            bo.expect("signal").await["data"],
            mid,
            "nothing is missed, nothing comes twice"
        );
    }
}

#[tokio::test]
async fn the_demo_page_and_the_client_come_out_of_the_binary() {
    let node = TestNode::open().await;
    let page = node.get("/").await;
    assert_eq!(page.status(), 200);
    assert!(
        page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'self'")
    );
    assert!(page.text().await.unwrap().contains("<html"));
    let sdk = node.get("/client/index.js").await;
    assert_eq!(sdk.headers()["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(node.get("/client/../Cargo.toml").await.status(), 404);
    assert_eq!(node.get("/nothing").await.status(), 404);
}
