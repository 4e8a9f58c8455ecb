//! The wall clock of Redis is set forward and back.

use std::time::Duration;

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
