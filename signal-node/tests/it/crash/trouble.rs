//! What a production Redis does to a node, and what the node says of it: refused writes, silent connections, a primary
//! that has become a replica. Nobody whose socket is open is removed by any of it.

use std::time::Duration;

use tokio::time::timeout;

use super::{QUICK, call, enter, insist};
use crate::support::node::token;
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;
use crate::support::way::Way;

/// Two leases of [`QUICK`], and a second for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

/// How long a node may take until it delivers again.
pub(super) const BACK_WITHIN: Duration = Duration::from_secs(10);

/// Longer than lease and grace of [`QUICK`].
const PAST_THE_GRACE: Duration = Duration::from_secs(14);

/// How Redis is made to answer reads and refuse writes, with its word for it; and how that ends.
const REFUSALS: [Refusal; 4] = [
    (
        "NOREPLICAS",
        &["CONFIG", "SET", "min-replicas-to-write", "1"],
        &["CONFIG", "SET", "min-replicas-to-write", "0"],
    ),
    ("OOM", &["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"]),
    ("READONLY", &["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]),
    (
        "MISCONF",
        &["CONFIG", "SET", "stop-writes-on-bgsave-error", "yes"],
        &["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"],
    ),
];

/// Waits whether anybody is said to have left.
async fn nobody_leaves(peer: &mut TestPeer, time: Duration) {
    let left = timeout(time, peer.until("peer_left")).await;
    assert!(left.is_err(), "{left:?}");
}

fn series(kind: &str) -> String {
    format!("signal_log_trouble{{kind=\"{kind}\"}}")
}

/// A refusal of Redis, in its own word, with the commands that bring it about and end it.
type Refusal = (&'static str, &'static [&'static str], &'static [&'static str]);

async fn refused_writes((word, refuse, accept): Refusal) {
    let redis = TestRedis::start().await;
    if word == "MISCONF" {
        redis.fail_snapshots().await;
    }
    let nodes = [NodeProcess::over(&redis, &QUICK).await, NodeProcess::over(&redis, &QUICK).await];
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    redis.run::<String>(refuse).await;
    for node in &nodes {
        node.reaches(&series("read_only"), 1, NOTICED_WITHIN).await;
        assert_eq!(node.metric("signal_log_up").await, 0, "{word}");
        let (status, text) = node.get("/readyz").await;
        assert!(status == 503 && text.contains(word), "{status} {text}");
    }
    ana.signal(1, &bo.id, "refused").await;
    while ana.until("error").await["mid"] != 1 {}
    let mut cy = TestPeer::at(nodes[1].address(), &token("cy")).await;
    cy.try_join("demo", "cy").await;
    let told = timeout(BACK_WITHIN, cy.answer()).await.expect("an answer");
    assert_eq!(told["code"], "unavailable", "{word}");
    nobody_leaves(&mut ana, PAST_THE_GRACE).await;
    redis.run::<String>(accept).await;
    // The first join is the call that would remove the others.
    enter(&mut cy, "demo", "cy").await;
    insist(&mut ana, "demo", &bo.id, 1, "after").await;
    while bo.until("signal").await["data"] != "after" {}
    insist(&mut bo, "demo", &ana.id, 1, "and back").await;
    assert_eq!(ana.until("signal").await["data"], "and back", "{word}");
    for node in &nodes {
        assert_eq!(node.metric("signal_log_up").await, 1, "{word}");
        assert_eq!(node.get("/readyz").await.0, 200, "{word}");
    }
    nobody_leaves(&mut bo, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn writes_that_lack_replicas_are_told_and_remove_nobody() {
    refused_writes(REFUSALS[0]).await;
}

#[tokio::test]
async fn writes_that_lack_memory_are_told_and_remove_nobody() {
    refused_writes(REFUSALS[1]).await;
}

#[tokio::test]
async fn writes_that_a_replica_refuses_are_told_and_remove_nobody() {
    refused_writes(REFUSALS[2]).await;
}

#[tokio::test]
async fn writes_that_a_failed_snapshot_stops_are_told_and_remove_nobody() {
    refused_writes(REFUSALS[3]).await;
}

#[tokio::test]
async fn connections_that_fall_silent_are_replaced_and_remove_nobody() {
    let redis = TestRedis::start().await;
    let way = Way::to(redis.port()).await;
    let nodes =
        [NodeProcess::at(&way.url(), &QUICK).await, NodeProcess::over(&redis, &QUICK).await];
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    way.silence();
    let back = async {
        insist(&mut ana, "demo", &bo.id, 1, "out").await;
        while bo.until("signal").await["data"] != "out" {}
        insist(&mut bo, "demo", &ana.id, 1, "in").await;
        while ana.until("signal").await["data"] != "in" {}
    };
    timeout(BACK_WITHIN, back).await.expect("delivery after silence");
    nobody_leaves(&mut bo, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_left_for_the_one_that_its_name_leads_to() {
    let old = TestRedis::start().await;
    let of = ["--replicaof".to_owned(), format!("127.0.0.1 {}", old.port())];
    let new = TestRedis::configured(&of).await;
    new.is_in_step().await;
    let way = Way::to(old.port()).await;
    let nodes =
        [NodeProcess::at(&way.url(), &QUICK).await, NodeProcess::at(&way.url(), &QUICK).await];
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    way.lead_to(new.port());
    old.run::<String>(&["FAILOVER"]).await;
    let back = async {
        insist(&mut ana, "demo", &bo.id, 1, "after").await;
        while bo.until("signal").await["data"] != "after" {}
    };
    timeout(BACK_WITHIN, back).await.expect("delivery after the role changed");
    nobody_leaves(&mut bo, Duration::from_secs(1)).await;
}
