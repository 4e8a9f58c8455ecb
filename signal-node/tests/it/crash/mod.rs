//! What the promises of docs/PROTOCOL.md are worth when something breaks.

mod clock;
mod drain;
mod liveness;
mod redis;
mod resume;
mod topologies;
mod trouble;

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::support::node::token;
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;

/// Settings under which silence is noticed, and absence ends, as soon as the rules allow.
const QUICK: [(&str, &str); 3] =
    [("SIGNAL_NODE_LEASE", "1s"), ("SIGNAL_NODE_PING", "1s"), ("SIGNAL_NODE_GRACE", "11s")];

/// Ana on the first node and Bo on the second, who know of each other.
async fn call(nodes: &[NodeProcess; 2], room: &str) -> [TestPeer; 2] {
    call_as(nodes, room, ["ana", "bo"]).await
}

/// As [`call`], between these two.
async fn call_as(nodes: &[NodeProcess; 2], room: &str, who: [&str; 2]) -> [TestPeer; 2] {
    let mut one = TestPeer::at(nodes[0].address(), &token(who[0])).await;
    let mut two = TestPeer::at(nodes[1].address(), &token(who[1])).await;
    one.join(room, who[0]).await;
    two.join(room, who[1]).await;
    one.expect("peer_joined").await;
    [one, two]
}

/// Says `data` until it is taken: what is refused for now is said again, as every client does.
async fn insist(from: &mut TestPeer, room: &str, to: &str, mid: u64, data: &str) {
    let signal = json!({"type": "signal", "mid": mid, "room": room, "to": to, "data": data});
    from.say(signal.clone()).await;
    loop {
        let frame = from.next().await;
        if frame["type"] == "ack" && frame["room"] == room && frame["mid"].as_u64() >= Some(mid) {
            return;
        }
        if frame["type"] == "error" && frame["mid"] == mid {
            assert_eq!(frame["retry"], true, "{frame}");
            from.say(signal.clone()).await;
        }
    }
}

/// Joins until the room takes the peer, with the pauses that it is told, as every client does.
async fn enter(peer: &mut TestPeer, room: &str, who: &str) {
    loop {
        peer.try_join(room, who).await;
        if taken(peer).await {
            return;
        }
    }
}

/// Tells whether a join was taken; one that was not may be tried again when this returns.
async fn taken(peer: &mut TestPeer) -> bool {
    let answer = peer.answer().await;
    if answer["type"] == "joined" {
        return true;
    }
    assert_eq!(answer["code"], "unavailable", "{answer}");
    sleep(Duration::from_millis(answer["after"].as_u64().unwrap_or(500))).await;
    false
}
