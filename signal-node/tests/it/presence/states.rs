//! What watchers are told, and when.

use serde_json::json;

use super::{go_online, say_online, watch, watcher, watching};
use crate::support::node::TestNode;
use crate::support::peer::TestPeer;
use crate::support::redis::TestRedis;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

/// Closes a connection as a browser does whose page is closed or loaded again.
async fn close_page(mut peer: TestPeer) {
    let close = CloseFrame { code: CloseCode::Away, reason: "".into() };
    peer.send(Message::Close(Some(close))).await;
    peer.closed().await;
}

#[tokio::test]
async fn a_user_is_seen_from_another_node_with_all_devices_and_their_states() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let (mut ana, now) = watching(one.address()).await;
    assert_eq!(now, json!({"type": "presence", "user": "bo", "state": "offline", "devices": []}));

    let mut phone = TestPeer::holder(&two, "bo").await;
    let online = go_online(&mut phone, "phone", 1, json!({"meta": {"name": "Phone"}})).await;
    let seen = ana.expect("presence").await;
    assert_eq!((&seen["user"], &seen["state"]), (&json!("bo"), &json!("online")));
    assert_eq!(seen["devices"][0]["id"], online["device"]);
    assert_eq!(seen["devices"][0]["meta"], json!({"name": "Phone"}));
    assert!(seen["since"].as_u64() > Some(1_700_000_000_000), "{seen}");

    go_online(&mut phone, "phone", 2, json!({"state": "away"})).await;
    let seen = ana.expect("presence").await;
    assert_eq!((&seen["state"], &seen["devices"][0]["state"]), (&json!("away"), &json!("away")));
    assert_eq!(seen["devices"][0].get("meta"), None, "it replaces what was told before");

    let mut laptop = TestPeer::holder(&one, "bo").await;
    go_online(&mut laptop, "laptop", 1, json!({"state": "in a meeting"})).await;
    let seen = ana.expect("presence").await;
    assert_eq!(
        (&seen["state"], seen["devices"].as_array().unwrap().len()),
        (&json!("in a meeting"), 2)
    );

    for device in [&mut laptop, &mut phone] {
        device.say(json!({"type": "offline", "id": 9})).await;
        device.expect("ok").await;
    }
    let mut seen = ana.expect("presence").await;
    if seen["state"] == "away" {
        seen = ana.expect("presence").await;
    }
    assert_eq!((&seen["state"], &seen["devices"]), (&json!("offline"), &json!([])));
    assert!(seen["since"].as_u64() > Some(1_700_000_000_000), "{seen}");
}

#[tokio::test]
async fn a_page_that_is_loaded_again_is_not_seen() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    go_online(&mut bo, "tab", 1, json!({"state": "busy", "meta": {"name": "Bo"}})).await;
    let (mut ana, before) = watching(one.address()).await;
    for attempt in 2..6 {
        close_page(bo).await;
        bo = TestPeer::holder(if attempt % 2 == 0 { &one } else { &two }, "bo").await;
        let besides = json!({"resume": true, "state": "ignored"});
        go_online(&mut bo, "tab", attempt, besides).await;
    }
    go_online(&mut bo, "tab", 6, json!({"state": "free"})).await;
    let next = ana.expect("presence").await;
    assert_eq!((&before["state"], &next["state"]), (&json!("busy"), &json!("free")), "{next}");
}

#[tokio::test]
async fn a_closed_page_is_seen_offline_once_after_five_seconds() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    go_online(&mut bo, "tab", 1, json!({})).await;
    let (mut ana, _) = watching(one.address()).await;
    let closed = std::time::Instant::now();
    close_page(bo).await;
    assert_eq!(ana.expect("presence").await["state"], "offline");
    assert!(closed.elapsed().as_secs_f64() > 4.9, "{:?}", closed.elapsed());
    ana.expect_nothing().await;
}

#[tokio::test]
async fn many_changes_are_told_together_and_the_last_one_is_told() {
    let node = TestNode::closed().await;
    let (mut ana, _) = watching(node.address()).await;
    let mut bo = TestPeer::holder(&node, "bo").await;
    for attempt in 1..=40 {
        go_online(&mut bo, "tab", attempt, json!({"state": format!("state {attempt}")})).await;
    }
    let mut told = 0;
    while ana.expect("presence").await["state"] != "state 40" {
        told += 1;
    }
    assert!(told < 20, "{told} of 40 changes were told one by one");
    ana.expect_nothing().await;
}

#[tokio::test]
async fn the_same_state_again_is_not_told() {
    let node = TestNode::closed().await;
    let (mut ana, _) = watching(node.address()).await;
    let mut bo = TestPeer::holder(&node, "bo").await;
    go_online(&mut bo, "tab", 1, json!({"meta": {"a": 1}})).await;
    ana.expect("presence").await;
    go_online(&mut bo, "tab", 2, json!({"meta": {"a": 1}})).await;
    let mut pad = TestPeer::holder(&node, "bo").await;
    go_online(&mut pad, "pad", 1, json!({})).await;
    assert_eq!(ana.expect("presence").await["devices"].as_array().unwrap().len(), 2);
    go_online(&mut bo, "tab", 3, json!({"meta": {"a": 2}})).await;
    let next = ana.expect("presence").await;
    assert_eq!(next["devices"][0]["meta"], json!({"a": 2}), "{next}");
}

#[tokio::test]
async fn a_newer_socket_takes_the_device_and_the_older_one_is_told() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut older = TestPeer::holder(&one, "bo").await;
    go_online(&mut older, "tab", 1, json!({})).await;
    let mut newer = TestPeer::holder(&two, "bo").await;
    go_online(&mut newer, "tab", 2, json!({})).await;
    assert_eq!(older.expect("offline").await["reason"], "replaced");
    say_online(&mut older, "tab", 1, &json!({})).await;
    older.expect_error("already_joined").await;
    // The socket goes on, and may take it back.
    go_online(&mut older, "tab", 3, json!({})).await;
    assert_eq!(newer.expect("offline").await["reason"], "replaced");
}

#[tokio::test]
async fn who_watches_no_more_is_told_no_more_and_may_watch_again() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut ana = TestPeer::at(one.address(), &watcher("ana", &["*"])).await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    watch(&mut ana, "bo").await;
    watch(&mut ana, "cy").await;
    for _ in 0..2 {
        ana.say(json!({"type": "unwatch", "id": 4, "users": ["bo", "nobody"]})).await;
        ana.expect("ok").await;
    }
    go_online(&mut bo, "tab", 1, json!({})).await;
    let mut cy = TestPeer::holder(&two, "cy").await;
    go_online(&mut cy, "tab", 1, json!({})).await;
    assert_eq!(ana.expect("presence").await["user"], "cy");
    assert_eq!(watch(&mut ana, "bo").await["state"], "online");
    assert_eq!(watch(&mut ana, "bo").await["state"], "online", "asked again, told again");
    go_online(&mut bo, "tab", 2, json!({"state": "away"})).await;
    ana.expect("presence").await;
    ana.expect_nothing().await;
}

#[tokio::test]
async fn a_user_whose_keys_have_ended_is_seen_to_come_again() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let (mut ana, _) = watching(one.address()).await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    for round in 0..3 {
        go_online(&mut bo, "tab", 10 * round + 1, json!({})).await;
        assert_eq!(ana.expect("presence").await["state"], "online");
        bo.say(json!({"type": "offline", "id": 9})).await;
        bo.expect("ok").await;
        assert_eq!(ana.expect("presence").await["state"], "offline");
        redis.run::<String>(&["FLUSHALL"]).await;
    }
    let mut here = TestPeer::holder(&one, "bo").await;
    go_online(&mut here, "other", 1, json!({})).await;
    assert_eq!(ana.expect("presence").await["state"], "online");
}
