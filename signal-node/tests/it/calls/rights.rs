//! Who may call whom, and which room a call opens.

use serde_json::{Value, json};
use service_kit::tokens::mint;

use super::{call, device, step, user};
use crate::support::node::{SECRET, TestNode, claims};
use crate::support::peer::{TestPeer, key};
use crate::support::redis::TestRedis;

/// Joins a room by a call to Bo, and returns the answer.
async fn join_by(peer: &mut TestPeer, room: &Value, who: &str, by: &str) -> Value {
    let grant = json!({"to": "bo", "call": by});
    let join =
        json!({"type": "join", "id": 1, "room": room, "key": key(who), "try": 1, "call": grant});
    peer.say(join).await;
    peer.answer().await
}

#[tokio::test]
async fn only_whom_the_token_names_may_be_called_and_nobody_calls_oneself() {
    let node = TestNode::closed().await;
    let mut claims = claims("ana");
    claims.call = vec!["team-*".to_owned(), "ana".to_owned()];
    claims.rooms = vec!["mine".to_owned()];
    let mut ana = TestPeer::with_token(&node, &mint(&claims, SECRET.as_bytes())).await;
    for (fields, code) in [
        (json!({"to": "bo"}), "forbidden"),
        (json!({"to": "nobody"}), "forbidden"),
        (json!({"to": "ana"}), "bad_request"),
        (json!({"to": "team-1", "timeout": 0}), "bad_request"),
        (json!({"to": "team-1", "timeout": 121}), "bad_request"),
        (json!({"to": "team-1", "room": "theirs"}), "forbidden"),
        (json!({"to": "team-1", "data": {"text": "x".repeat(4_096)}}), "bad_request"),
    ] {
        let mut frame = json!({"type": "call", "id": 3, "call": "c1"});
        frame.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ana.say(frame).await;
        assert_eq!(ana.expect_error(code).await["id"], 3);
    }
    ana.say(json!({"type": "call", "id": 3, "call": "c1", "to": "team-1", "room": "mine"})).await;
    assert_eq!(ana.expect("ringing").await["room"], "mine");
    let open = TestNode::open().await;
    let mut guest = TestPeer::anonymous(&open).await;
    guest.say(json!({"type": "call", "id": 3, "call": "c1", "to": "bo"})).await;
    guest.expect_error("forbidden").await;
}

#[tokio::test]
async fn a_call_opens_its_room_to_both_for_its_life_and_to_nobody_else() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut phone = device(two.address(), "bo", "phone").await;
    let mut ana = user(one.address(), "ana").await;
    let room = call(&mut ana, "bo", "c1").await["room"].clone();
    phone.expect("ring").await;
    assert_eq!(
        join_by(&mut phone, &room, "bo", "c1").await["code"],
        "forbidden",
        "not accepted yet"
    );
    assert_eq!(join_by(&mut ana, &room, "ana", "c1").await["type"], "joined");
    assert_eq!(join_by(&mut ana, &json!("other"), "ana", "c1").await["code"], "forbidden");
    step(&mut phone, "accept", "c1").await;
    ana.until("call_accepted").await;
    let mut cy = user(one.address(), "cy").await;
    assert_eq!(join_by(&mut cy, &room, "cy", "c1").await["code"], "forbidden");
    assert_eq!(join_by(&mut cy, &room, "cy", "c9").await["code"], "forbidden");
    let grant = json!({"call": "c1"});
    let join =
        json!({"type": "join", "id": 1, "room": room, "key": key("bo"), "try": 1, "call": grant});
    phone.say(join).await;
    let joined = phone.answer().await;
    assert_eq!((&joined["type"], joined["peers"].as_array().unwrap().len()), (&json!("joined"), 1));
    ana.until("peer_joined").await;
    step(&mut phone, "decline", "c1").await;
    let mut tablet = device(one.address(), "bo", "tablet").await;
    assert_eq!(
        join_by(&mut tablet, &room, "tablet", "c1").await["code"],
        "forbidden",
        "it is over"
    );
}

#[tokio::test]
async fn sixteen_calls_ring_at_one_user_and_no_more() {
    let node = TestNode::closed().await;
    for number in 0..16 {
        let mut ana = user(node.address(), &format!("ana-{number}")).await;
        call(&mut ana, "bo", &format!("c{number}")).await;
    }
    let mut late = user(node.address(), "late").await;
    super::say_call(&mut late, "bo", "late", 60).await;
    late.expect_error("limit_exceeded").await;
}
