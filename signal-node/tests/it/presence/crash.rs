//! What watchers see when nodes and Redis fail.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{go_online, watch, watcher, watching};
use crate::support::node::{TestNode, token};
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;

/// Settings under which silence is noticed, and absence ends, as soon as the rules allow.
const QUICK: [(&str, &str); 3] =
    [("SIGNAL_NODE_LEASE", "1s"), ("SIGNAL_NODE_PING", "1s"), ("SIGNAL_NODE_GRACE", "11s")];
const GRACE: Duration = Duration::from_secs(11);

async fn two(redis: &TestRedis) -> [NodeProcess; 2] {
    [NodeProcess::over(redis, &QUICK).await, NodeProcess::over(redis, &QUICK).await]
}

#[tokio::test]
async fn a_device_of_a_killed_node_is_offline_once_after_the_grace_although_nobody_else_has_its_inbox_open()
 {
    let redis = TestRedis::start().await;
    let nodes = two(&redis).await;
    let mut bo = TestPeer::at(nodes[1].address(), &token("bo")).await;
    go_online(&mut bo, "tab", 1, json!({})).await;
    let (mut ana, now) = watching(nodes[0].address()).await;
    assert_eq!(now["state"], "online");
    nodes[1].signal("KILL");
    let killed = Instant::now();
    assert_eq!(ana.expect("presence").await["state"], "offline");
    let took = killed.elapsed();
    assert!(took >= GRACE && took < GRACE + Duration::from_secs(5), "{took:?}");
    ana.expect_nothing().await;
}

#[tokio::test]
async fn a_device_of_a_node_that_was_killed_before_the_watch_is_offline_too() {
    let redis = TestRedis::start().await;
    let nodes = two(&redis).await;
    let mut bo = TestPeer::at(nodes[1].address(), &token("bo")).await;
    go_online(&mut bo, "tab", 1, json!({})).await;
    nodes[1].signal("KILL");
    nodes[0].reaches("signal_nodes_silent", 1, Duration::from_secs(10)).await;
    let (mut ana, now) = watching(nodes[0].address()).await;
    assert_eq!(now["state"], "online", "its grace is not over");
    assert_eq!(ana.expect("presence").await["state"], "offline");
}

#[tokio::test]
async fn a_device_that_comes_back_over_another_node_was_never_offline() {
    let redis = TestRedis::start().await;
    let nodes = [
        NodeProcess::over(&redis, &QUICK).await,
        NodeProcess::over(&redis, &QUICK).await,
        NodeProcess::over(&redis, &QUICK).await,
    ];
    let mut bo = TestPeer::at(nodes[1].address(), &token("bo")).await;
    go_online(&mut bo, "tab", 1, json!({})).await;
    let (mut ana, now) = watching(nodes[0].address()).await;
    nodes[1].signal("KILL");
    nodes[0].reaches("signal_nodes_silent", 1, Duration::from_secs(10)).await;
    let mut back = TestPeer::at(nodes[2].address(), &token("bo")).await;
    go_online(&mut back, "tab", 2, json!({"resume": true})).await;
    go_online(&mut back, "tab", 3, json!({"state": "back"})).await;
    let next = ana.expect("presence").await;
    assert_eq!((&now["state"], &next["state"]), (&json!("online"), &json!("back")));
}

#[tokio::test]
async fn a_loss_in_redis_is_no_absence() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let (mut ana, _) = watching(one.address()).await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    go_online(&mut bo, "tab", 1, json!({})).await;
    assert_eq!(ana.expect("presence").await["state"], "online");
    redis.run::<String>(&["FLUSHALL"]).await;
    // Another device shows both nodes the loss.
    let mut pad = TestPeer::holder(&two, "bo").await;
    go_online(&mut pad, "pad", 1, json!({})).await;
    let next = ana.expect("presence").await;
    assert_eq!((&next["state"], next["devices"].as_array().unwrap().len()), (&json!("online"), 2));
    for device in [bo, pad] {
        drop(device);
    }
    let mut cy = TestPeer::holder(&one, "bo").await;
    go_online(&mut cy, "cy", 1, json!({"state": "third"})).await;
    assert_eq!(ana.expect("presence").await["devices"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_lost_subscription_is_made_good() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let (mut ana, _) = watching(one.address()).await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    for attempt in 1..=10 {
        redis.run::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        let state = format!("state {attempt}");
        go_online(&mut bo, "tab", attempt, json!({"state": state})).await;
        while ana.expect("presence").await["state"] != state.as_str() {}
    }
}

#[tokio::test]
async fn watches_end_with_their_connection_and_inboxes_with_their_watches() {
    let redis = TestRedis::start().await;
    let node = NodeProcess::over(&redis, &QUICK).await;
    let mut ana = TestPeer::at(node.address(), &watcher("ana", &["*"])).await;
    for user in ["bo", "cy", "di"] {
        watch(&mut ana, user).await;
    }
    assert_eq!(node.metric("signal_watches").await, 3);
    assert_eq!((node.metric("signal_inboxes").await, node.metric("signal_rooms").await), (3, 0));
    drop(ana);
    let is_over = async || node.metric("signal_inboxes").await == 0;
    crate::support::polling::becomes_true("no inbox", Duration::from_secs(30), is_over).await;
    assert_eq!(node.metric("signal_watches").await, 0);
}
