//! What clients may get wrong, and what it costs them.

use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::node::TestNode;
use crate::support::peer::{TestPeer, key};

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
    let frame = Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    peer.send(Message::Frame(frame)).await;
    assert_eq!(peer.closed().await, 1007);
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
    let [mut ana, mut bo] = TestPeer::two(&node).await;
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
async fn a_message_far_ahead_changes_nothing() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    ana.say(json!({"type": "signal", "mid": 900, "room": "demo", "data": 1})).await;
    assert_eq!(ana.expect_error("out_of_order").await["expected"], 1);
    ana.say(json!({"type": "signal", "mid": 1, "room": "demo", "data": 1})).await;
    assert_eq!(ana.expect("ack").await["mid"], 1);
}

#[tokio::test]
async fn a_kept_message_that_cannot_be_read_consumes_its_number() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    ana.say(json!({"type": "signal", "mid": 1, "room": "demo", "to": 17, "data": 1})).await;
    ana.say(json!({"type": "signal", "mid": 2, "room": "demo", "data": 1})).await;
    let error = ana.expect_error("bad_request").await;
    assert_eq!((&error["mid"], &error["room"]), (&json!(1), &json!("demo")));
    assert!(error["message"].as_str().unwrap().contains("expected a string"), "{error}");
    assert_eq!(ana.expect("ack").await["mid"], 2);
    let metrics = node.metrics().await;
    assert!(metrics.contains(r#"signal_errors_total{code="bad_request"} 1"#), "{metrics}");
}
