//! Silent nodes: their members are suspected, expire, are taken back, and are never delivered twice.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{QUICK, call};
use crate::support::node::token;
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;

const LEASE: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(11);

async fn two(redis: &TestRedis) -> [NodeProcess; 2] {
    [NodeProcess::over(redis, &QUICK).await, NodeProcess::over(redis, &QUICK).await]
}

/// Answers pings until a frame of this type comes.
async fn watch(peer: &mut TestPeer, kind: &str, time: Duration) -> serde_json::Value {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < time, "no {kind} within {time:?}");
        match peer.within(Duration::from_millis(500)).await {
            Some(frame) if frame["type"] == kind => return frame,
            _ => {}
        }
    }
}

#[tokio::test]
async fn ghosts_of_a_killed_node_are_away_after_the_lease_and_gone_after_the_grace() {
    let redis = TestRedis::start().await;
    let nodes = two(&redis).await;
    let [mut ana, bo] = call(&nodes, "demo").await;
    nodes[1].signal("KILL");
    let began = Instant::now();
    let away = watch(&mut ana, "peer_updated", LEASE + Duration::from_secs(3)).await;
    assert_eq!(away["peer"], json!({"id": bo.id, "away": true}));
    let left = watch(&mut ana, "peer_left", LEASE + GRACE + Duration::from_secs(5)).await;
    assert_eq!((&left["peer"], &left["reason"]), (&json!(bo.id), &json!("timeout")));
    assert!(began.elapsed() >= GRACE, "not before the grace is over");
}

#[tokio::test]
async fn a_member_of_a_killed_node_comes_back_elsewhere_and_misses_nothing() {
    let redis = TestRedis::start().await;
    let nodes = two(&redis).await;
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    ana.signal(1, &bo.id, 1).await;
    let position = bo.expect("signal").await["seq"].as_u64();
    nodes[1].signal("KILL");
    for mid in 2..=5 {
        ana.signal(mid, &bo.id, mid).await;
    }
    while ana.until("ack").await["mid"] != 5 {}
    let mut back = TestPeer::at(nodes[0].address(), &token("bo")).await;
    back.resume("demo", "bo", 2, position).await;
    for expected in 2..=5 {
        assert_eq!(back.until("signal").await["data"], expected);
    }
    assert_eq!(back.until("joined").await["recovery"], "replay");
    let frame = ana.until("peer_updated").await;
    assert_eq!(frame["peer"]["away"], false, "at most away and back: {frame}");
}

#[tokio::test]
async fn a_stopped_node_takes_its_living_member_back_when_it_goes_on() {
    let redis = TestRedis::start().await;
    let nodes = two(&redis).await;
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    nodes[1].signal("STOP");
    let away = watch(&mut ana, "peer_updated", LEASE + Duration::from_secs(3)).await;
    assert_eq!(away["peer"]["away"], true);
    ana.signal(1, &bo.id, "while it slept").await;
    nodes[1].signal("CONT");
    assert_eq!(watch(&mut ana, "peer_updated", GRACE).await["peer"]["away"], false);
    assert_eq!(bo.until("signal").await["data"], "while it slept");
    bo.signal(1, &ana.id, "still here").await;
    assert_eq!(ana.until("signal").await["data"], "still here");
}

#[tokio::test]
async fn a_zombie_delivers_nothing_after_the_entry_that_replaced_its_member() {
    let redis = TestRedis::start().await;
    let nodes = two(&redis).await;
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    ana.signal(1, &bo.id, 1).await;
    let position = bo.expect("signal").await["seq"].as_u64();
    nodes[1].signal("STOP");
    ana.signal(2, &bo.id, 2).await;
    while ana.until("ack").await["mid"] != 2 {}
    let mut back = TestPeer::at(nodes[0].address(), &token("bo")).await;
    back.resume("demo", "bo", 2, position).await;
    assert_eq!(back.until("signal").await["data"], 2);
    back.until("joined").await;
    ana.signal(3, &bo.id, 3).await;
    assert_eq!(back.until("signal").await["data"], 3);
    nodes[1].signal("CONT");
    assert_eq!(bo.expect("signal").await["data"], 2);
    assert_eq!(bo.expect("left").await["reason"], "replaced");
    assert_eq!(bo.closed().await, 4202);
    back.signal(1, &ana.id, "mine").await;
    assert_eq!(ana.until("signal").await["data"], "mine");
}

/// Waits until the heartbeats of the first node have moved on by this many.
async fn beats(redis: &TestRedis, first: &str, count: u64) {
    let counter = async || redis.run::<u64>(&["HGET", "nodes", first]).await;
    let wanted = counter().await + count;
    while counter().await < wanted {}
}

#[tokio::test]
async fn a_node_that_ended_cleanly_is_not_silent_and_a_killed_one_is() {
    let redis = TestRedis::start().await;
    let watching = NodeProcess::over(&redis, &QUICK).await;
    let mut first: Vec<String> = Vec::new();
    while first.is_empty() {
        first = redis.run(&["HKEYS", "nodes"]).await;
    }
    let first = first.remove(0);
    let [ended, killed] = two(&redis).await;
    beats(&redis, &first, 2).await;
    assert_eq!(redis.run::<u64>(&["HLEN", "nodes"]).await, 3);
    assert_eq!(ended.terminate().await, Some(0));
    // Three in a lease: after two leases a node without an entry would count as silent.
    beats(&redis, &first, 6).await;
    assert_eq!(watching.metric("signal_nodes_silent").await, 0);
    killed.signal("KILL");
    while watching.metric("signal_nodes_silent").await != 1 {}
}
