//! The same promises on a Redis Cluster, whose masters fail and whose slots move, and under Sentinel.

use serde_json::json;
use service_kit::tokens::{Right, mint};
use tokio::time::timeout;

use super::trouble::BACK_WITHIN;
use super::{QUICK, call, call_as, insist};
use crate::support::node::{SECRET, claims, token};
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;
use crate::support::topologies::{TestCluster, TestSentinels};

async fn two(url: &str) -> [NodeProcess; 2] {
    [NodeProcess::at(url, &QUICK).await, NodeProcess::at(url, &QUICK).await]
}

/// Takes frames until a signal comes; nobody may be seen to leave meanwhile.
async fn signal(peer: &mut TestPeer) -> serde_json::Value {
    loop {
        let frame = peer.next().await;
        assert_ne!(frame["type"], "peer_left", "{frame}");
        if frame["type"] == "signal" {
            return frame["data"].clone();
        }
    }
}

#[tokio::test]
async fn a_call_goes_on_when_the_master_of_its_room_fails() {
    let mut cluster = TestCluster::start().await;
    let nodes = two(&cluster.url()).await;
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    insist(&mut ana, "demo", &bo.id, 1, "before").await;
    assert_eq!(signal(&mut bo).await, "before");
    cluster.fail_over("demo").await;
    insist(&mut ana, "demo", &bo.id, 2, "after").await;
    assert_eq!(signal(&mut bo).await, "after");
    insist(&mut bo, "demo", &ana.id, 1, "and back").await;
    assert_eq!(signal(&mut ana).await, "and back");
}

#[tokio::test]
async fn a_call_goes_on_when_the_slot_of_its_room_moves() {
    let cluster = TestCluster::start().await;
    let nodes = two(&cluster.url()).await;
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    for mid in 1..=20 {
        if mid == 10 {
            cluster.migrate("demo").await;
        }
        let said = format!("number {mid}");
        insist(&mut ana, "demo", &bo.id, mid, &said).await;
        assert_eq!(signal(&mut bo).await, said.as_str());
    }
}

/// The channel, which never exists, was named among the keys: everything was answered TRYAGAIN for as long as the slot moved.
#[tokio::test]
async fn a_call_goes_on_while_the_slot_of_its_room_is_about_to_move() {
    let cluster = TestCluster::start().await;
    let nodes = two(&cluster.url()).await;
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    let migration = cluster.begin_to_migrate("demo").await;
    ana.signal(1, &bo.id, "meanwhile").await;
    assert_eq!(bo.expect("signal").await["data"], "meanwhile");
    let mut cy = TestPeer::at(nodes[0].address(), &token("cy")).await;
    cy.join("demo", "cy").await;
    assert_eq!(bo.expect("peer_joined").await["peer"]["id"], cy.id.as_str());
    let once = || announce(&nodes[0], "demo", "once");
    let seq = once().await;
    assert_eq!(bo.until("signal").await["from"], "server");
    assert_eq!(once().await, seq, "a repeated one has no second effect");
    cy.say(json!({"type": "leave", "id": 9, "room": "demo"})).await;
    bo.expect("peer_left").await;
    migration.finish().await;
    assert_eq!(announce(&nodes[1], "demo", "once").await, seq);
    insist(&mut ana, "demo", &bo.id, 2, "after").await;
    assert_eq!(signal(&mut bo).await, "after");
}

/// Says something for a back end, with an idempotency key; again until the log takes it. Returns the number of the entry.
async fn announce(node: &NodeProcess, room: &str, key: &str) -> serde_json::Value {
    let mut admin = claims("backend");
    admin.can = vec![Right::Admin];
    let url = format!("http://{}/v1/rooms/{room}/signals", node.address());
    loop {
        let request = reqwest::Client::new().post(&url).header("idempotency-key", key);
        let request = request.bearer_auth(mint(&admin, SECRET.as_bytes()));
        let answer = request.json(&json!({"data": "hello"})).send().await.unwrap();
        if answer.status() == 200 {
            return answer.json::<serde_json::Value>().await.unwrap()["seq"].take();
        }
        assert_eq!(answer.status(), 503);
    }
}

#[tokio::test]
async fn rooms_of_all_slots_work_over_one_pair_of_nodes() {
    let cluster = TestCluster::start().await;
    let nodes = two(&cluster.url()).await;
    for room in ["a", "b", "c", "d", "e"] {
        let [mut ana, mut bo] = call(&nodes, room).await;
        insist(&mut ana, room, &bo.id, 1, room).await;
        assert_eq!(signal(&mut bo).await, room);
    }
}

#[tokio::test]
async fn a_call_goes_on_when_sentinels_choose_another_master() {
    let mut sentinels = TestSentinels::start().await;
    let nodes = two(&sentinels.url()).await;
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    insist(&mut ana, "demo", &bo.id, 1, "before").await;
    assert_eq!(signal(&mut bo).await, "before");
    sentinels.fail_over().await;
    insist(&mut ana, "demo", &bo.id, 2, "after").await;
    assert_eq!(signal(&mut bo).await, "after");
}

#[tokio::test]
async fn a_signal_that_meets_a_slot_on_the_move_is_delivered_once_and_the_node_lives_on() {
    let cluster = TestCluster::start().await;
    let nodes = two(&cluster.url()).await;
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    let migration = cluster.begin_to_migrate("demo").await;
    migration.move_keys().await;
    insist(&mut ana, "demo", &bo.id, 1, "in between").await;
    migration.finish().await;
    assert_eq!(timeout(BACK_WITHIN, signal(&mut bo)).await.unwrap(), "in between");
    insist(&mut ana, "demo", &bo.id, 2, "after").await;
    assert_eq!(signal(&mut bo).await, "after", "and nothing twice");
    call(&nodes, "another").await;
}

/// Sends this signal to the servers of one shard: `STOP` closes no connection, `KILL` does.
async fn lose_a_shard(signal_name: &str) {
    let cluster = TestCluster::start().await;
    let nodes = two(&cluster.url()).await;
    let lost = cluster.room_elsewhere("nodes").await;
    let kept = cluster.room_elsewhere(&lost).await;
    call(&nodes, &lost).await;
    let [mut ana, mut bo] = call_as(&nodes, &kept, ["cy", "di"]).await;
    cluster.end_the_shard_of(&lost, signal_name).await;
    for node in &nodes {
        node.reaches("signal_log_trouble{kind=\"partial\"}", 1, BACK_WITHIN).await;
        assert_eq!(node.metric("signal_log_up").await, 0);
        assert_eq!(node.get("/readyz").await.0, 200, "two thirds of the rooms work");
    }
    insist(&mut ana, &kept, &bo.id, 1, "goes on").await;
    while timeout(BACK_WITHIN, signal(&mut bo)).await.expect("a signal") != "goes on" {}
    let mut ed = TestPeer::at(nodes[0].address(), &token("ed")).await;
    ed.try_join(&lost, "ed").await;
    let told = timeout(BACK_WITHIN, ed.until("error")).await.expect("an answer");
    assert_eq!(told["code"], "unavailable");
}

#[tokio::test]
async fn a_shard_that_is_silent_is_told_and_the_rooms_of_the_others_go_on() {
    lose_a_shard("STOP").await;
}

#[tokio::test]
async fn a_shard_that_is_dead_is_told_and_the_rooms_of_the_others_go_on() {
    lose_a_shard("KILL").await;
}
