//! The wall clock of Redis is set forward and back.

use std::time::Duration;

use tokio::time::Instant;

use super::{QUICK, call, insist};
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;

/// Longer than it takes to fall silent and to be called so.
const WHILE: Duration = Duration::from_secs(4);

/// Takes frames for a while; nobody may be seen to leave.
async fn nobody_leaves(peer: &mut TestPeer) {
    while let Some(frame) = peer.within(WHILE).await {
        assert_ne!(frame["type"], "peer_left", "{frame}");
        assert_ne!(frame["type"], "left", "{frame}");
    }
}

#[tokio::test]
async fn a_step_of_the_clock_removes_nobody_and_stops_nothing() {
    let redis = TestRedis::with_a_clock_to_step().await;
    let nodes = [NodeProcess::over(&redis, &QUICK).await, NodeProcess::over(&redis, &QUICK).await];
    let [mut ana, mut bo] = call(&nodes, "demo").await;
    for (mid, seconds) in [(1, 3_600), (2, -3_600), (3, 0)] {
        redis.step_clock(seconds);
        let said = format!("{seconds} s");
        insist(&mut ana, "demo", &bo.id, mid, &said).await;
        assert_eq!(bo.until("signal").await["data"], said.as_str());
        tokio::join!(nobody_leaves(&mut ana), nobody_leaves(&mut bo));
    }
    let mut cy = TestPeer::at(nodes[0].address(), &crate::support::node::token("cy")).await;
    let joined = cy.join("demo", "cy").await;
    let peers = joined["peers"].as_array().unwrap();
    assert!(peers.len() == 2 && peers.iter().all(|peer| peer["away"] == false), "{joined}");
}

/// A minute that had passed by the clock alone cost a member that had been away for a second its seat.
#[tokio::test]
async fn a_member_that_is_away_when_the_clock_is_set_forward_keeps_its_seat_for_the_grace() {
    let redis = TestRedis::with_a_clock_to_step().await;
    let nodes = [NodeProcess::over(&redis, &QUICK).await, NodeProcess::over(&redis, &QUICK).await];
    let [mut ana, bo] = call(&nodes, "demo").await;
    // A node judges others only once its contact is as old as the grace.
    let judging = Instant::now() + Duration::from_secs(12);
    while Instant::now() < judging {
        ana.within(judging - Instant::now()).await;
    }
    let who = bo.id.clone();
    drop(bo);
    assert_eq!(ana.until("peer_updated").await["peer"]["away"], true);
    redis.step_clock(60);
    let token = |who| crate::support::node::token(who);
    for (node, who) in nodes.iter().zip(["cy", "dee"]) {
        TestPeer::at(node.address(), &token(who)).await.join("demo", who).await;
    }
    let mut back = TestPeer::at(nodes[1].address(), &token("bo")).await;
    back.resume("demo", "bo", 2, None).await;
    assert_eq!(back.expect("joined").await["recovery"], "snapshot");
    let returned = loop {
        let frame = ana.until("peer_updated").await;
        if frame["peer"]["id"] == who.as_str() {
            break frame;
        }
    };
    assert_eq!(returned["peer"]["away"], false, "nobody was told that he had left");
}
