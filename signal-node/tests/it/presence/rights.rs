//! Who may watch whom, and how many.

use serde_json::json;

use super::{go_online, say_online, watch, watcher, watching};
use crate::support::node::TestNode;
use crate::support::peer::{TestPeer, key};
use crate::support::redis::TestRedis;

#[tokio::test]
async fn without_the_right_an_answer_does_not_tell_whether_there_is_such_a_user() {
    let node = TestNode::closed().await;
    let mut bo = TestPeer::holder(&node, "bo").await;
    go_online(&mut bo, "tab", 1, json!({})).await;
    let mut answers = Vec::new();
    for (token, users) in [
        (watcher("ana", &["cy", "team-*"]), json!(["bo"])),
        (watcher("ana", &["cy", "team-*"]), json!(["nobody"])),
        (watcher("ana", &["cy", "team-*"]), json!(["cy", "team-1", "bo"])),
        (watcher("ana", &[]), json!(["ana"])),
    ] {
        let mut ana = TestPeer::at(node.address(), &token).await;
        ana.say(json!({"type": "watch", "id": 3, "users": users})).await;
        answers.push(ana.expect_error("forbidden").await);
        ana.expect_nothing().await;
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn an_anonymous_client_is_no_user_and_watches_nobody() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    say_online(&mut ana, "tab", 1, &json!({})).await;
    ana.expect_error("forbidden").await;
    ana.say(json!({"type": "watch", "id": 3, "users": ["bo"]})).await;
    ana.expect_error("forbidden").await;
}

#[tokio::test]
async fn a_connection_watches_as_many_users_as_it_may() {
    let settings = [("JWT_SECRET", crate::support::node::SECRET), ("WATCHES_PER_CONNECTION", "2")];
    let node = TestNode::start(&settings).await;
    let mut ana = TestPeer::dial(node.address(), &watcher("ana", &["*"])).await;
    assert_eq!(ana.expect("welcome").await["limits"]["watches"], 2);
    watch(&mut ana, "bo").await;
    watch(&mut ana, "cy").await;
    watch(&mut ana, "cy").await;
    ana.say(json!({"type": "watch", "id": 3, "users": ["di"]})).await;
    ana.expect_error("limit_exceeded").await;
    ana.say(json!({"type": "unwatch", "id": 4, "users": ["bo"]})).await;
    ana.expect("ok").await;
    watch(&mut ana, "di").await;
    assert!(node.metrics().await.contains("\nsignal_watches 2\n"));
}

#[tokio::test]
async fn a_user_has_sixteen_devices_and_no_more_over_all_nodes() {
    let redis = TestRedis::start().await;
    let nodes = TestNode::two(&redis).await;
    let mut devices = Vec::new();
    for number in 0..16 {
        let mut device = TestPeer::holder(&nodes[number % 2], "bo").await;
        go_online(&mut device, &format!("device{number}x"), 1, json!({})).await;
        devices.push(device);
    }
    let mut late = TestPeer::holder(&nodes[0], "bo").await;
    say_online(&mut late, "late", 1, &json!({})).await;
    late.expect_error("limit_exceeded").await;
    devices[3].say(json!({"type": "offline"})).await;
    devices[3].expect("ok").await;
    go_online(&mut late, "late", 2, json!({})).await;
    let (_, now) = watching(nodes[1].address()).await;
    assert_eq!(now["devices"].as_array().unwrap().len(), 16);
}

#[tokio::test]
async fn a_device_of_another_user_is_forbidden() {
    let node = TestNode::closed().await;
    let mut bo = TestPeer::holder(&node, "bo").await;
    go_online(&mut bo, "tab", 1, json!({})).await;
    let other = json!({"type": "online", "id": 2, "device": key("pad"), "try": 1});
    bo.say(other).await;
    bo.expect_error("already_joined").await;
    // The same key is another device for another user: inboxes have nothing to do with each other.
    let mut cy = TestPeer::holder(&node, "cy").await;
    go_online(&mut cy, "tab", 1, json!({})).await;
    bo.expect_nothing().await;
}

#[tokio::test]
async fn a_new_token_ends_the_watches_that_it_does_not_allow() {
    let node = TestNode::closed().await;
    let mut ana = TestPeer::at(node.address(), &watcher("ana", &["bo", "cy"])).await;
    watch(&mut ana, "bo").await;
    watch(&mut ana, "cy").await;
    ana.say(json!({"type": "auth", "id": 5, "token": watcher("ana", &["cy"])})).await;
    ana.expect("ok").await;
    assert_eq!(ana.expect_error("forbidden").await["user"], "bo");
    for user in ["bo", "cy"] {
        let mut device = TestPeer::holder(&node, user).await;
        go_online(&mut device, "tab", 1, json!({})).await;
    }
    assert_eq!(ana.expect("presence").await["user"], "cy");
}
