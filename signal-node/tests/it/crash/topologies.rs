//! The same promises on a Redis Cluster, whose masters fail and whose slots move, and under Sentinel.

use super::{QUICK, call, insist};
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
