//! Nodes that are killed while they send, or before.

use std::time::{Duration, Instant};

use super::receiver::{Answer, Receiver, SECRETS};
use super::{kinds, leave, repeats_are_the_same, settings};
use crate::support::node::token;
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;
use crate::support::topologies::TestCluster;

async fn node(redis: &TestRedis, url: &str) -> NodeProcess {
    let settings = [
        ("SIGNAL_NODE_LEASE", "1s"),
        ("SIGNAL_NODE_PING", "1s"),
        ("SIGNAL_NODE_GRACE", "11s"),
        ("SIGNAL_NODE_WEBHOOK_URLS", url),
        ("SIGNAL_NODE_WEBHOOK_SECRET", SECRETS),
        ("SIGNAL_NODE_WEBHOOK_NETWORKS", "127.0.0.0/8"),
        ("SIGNAL_NODE_WEBHOOK_TIMEOUT", "300ms"),
        ("SIGNAL_NODE_WEBHOOK_BACKOFF", "20ms"),
    ];
    NodeProcess::over(redis, &settings).await
}

/// The first node sees everything and is killed in the middle of its first attempt; nobody else has the room open. The second
/// one sends all of it, and says that its member is gone and the room is over.
#[tokio::test]
async fn nothing_is_lost_when_the_only_node_of_a_room_is_killed_while_it_sends() {
    let redis = TestRedis::start().await;
    let back_end = Receiver::start(&[]).await;
    back_end.answer_all(Answer::Stall);
    let nodes = [node(&redis, &back_end.url()).await, node(&redis, &back_end.url()).await];
    let mut ana = TestPeer::at(nodes[0].address(), &token("ana")).await;
    ana.join("demo", "ana").await;
    ana.join("other", "ana").await;
    back_end.gets(2).await;
    nodes[0].signal("KILL");
    back_end.answer_all(Answer::Ok);
    let received = back_end.accepts(8).await;
    for room in ["demo", "other"] {
        let of_room = received.iter().filter(|one| one.body["data"]["room"] == room).cloned();
        let of_room: Vec<_> = of_room.collect();
        let expected = ["room.started", "peer.joined", "peer.left", "room.ended"];
        assert_eq!(kinds(&of_room), expected, "{room}");
        assert_eq!(of_room[2].body["data"]["reason"], "timeout");
    }
    repeats_are_the_same(&back_end.received());
}

/// The node that made a change is killed before it could send it; another one has members in the room.
#[tokio::test]
async fn a_node_with_members_in_the_room_sends_what_a_killed_one_could_not() {
    let redis = TestRedis::start().await;
    let back_end = Receiver::start(&[]).await;
    let nodes = [node(&redis, &back_end.url()).await, node(&redis, &back_end.url()).await];
    let mut bo = TestPeer::at(nodes[1].address(), &token("bo")).await;
    bo.join("demo", "bo").await;
    back_end.accepts(2).await;
    back_end.answer_all(Answer::Stall);
    let mut ana = TestPeer::at(nodes[0].address(), &token("ana")).await;
    ana.join("demo", "ana").await;
    bo.until("peer_joined").await;
    nodes[0].signal("KILL");
    let killed = Instant::now();
    back_end.answer_all(Answer::Ok);
    let received = back_end.accepts(3).await;
    assert!(killed.elapsed() < Duration::from_secs(9), "before Ana's grace is over");
    assert_eq!(kinds(&received), ["room.started", "peer.joined", "peer.joined"]);
    assert_eq!(received[2].body["data"]["user"], "ana");
    repeats_are_the_same(&back_end.received());
}

/// The queues of rooms lie in many slots, and the list of them in one of its own.
#[tokio::test]
async fn over_a_redis_cluster_a_room_that_moves_tells_everything_once() {
    let cluster = TestCluster::start().await;
    let back_end = Receiver::start(&[]).await;
    let url = back_end.url();
    let settings: Vec<_> = settings(&url)
        .into_iter()
        .map(|(name, value)| (format!("SIGNAL_NODE_{name}"), value))
        .collect();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let node = NodeProcess::at(&cluster.url(), &settings).await;
    let mut ana = TestPeer::at(node.address(), &token("ana")).await;
    let rooms = ["demo", "other", "third"];
    for room in rooms {
        ana.join(room, "ana").await;
    }
    back_end.accepts(6).await;
    cluster.migrate("demo").await;
    for room in rooms {
        leave(&mut ana, room).await;
    }
    let all = back_end.accepts(12).await;
    for room in rooms {
        let of_room: Vec<_> =
            all.iter().filter(|one| one.body["data"]["room"] == room).cloned().collect();
        let expected = ["room.started", "peer.joined", "peer.left", "room.ended"];
        assert_eq!(kinds(&of_room), expected, "{room}");
    }
}
