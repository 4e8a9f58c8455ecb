//! Redis in trouble: sockets stay open, nobody is removed, lost rooms are rebuilt.

use std::time::Duration;

use serde_json::json;

use super::{QUICK, call, enter, insist, taken};
use crate::support::node::{SECRET, token};
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;

async fn quick(redis: &TestRedis) -> ([NodeProcess; 2], [TestPeer; 2]) {
    let nodes = [NodeProcess::over(redis, &QUICK).await, NodeProcess::over(redis, &QUICK).await];
    let peers = call(&nodes, "demo").await;
    (nodes, peers)
}

#[tokio::test]
async fn a_redis_that_lost_everything_gets_its_rooms_back_and_no_call_ends() {
    let mut redis = TestRedis::start().await;
    let (nodes, [mut ana, mut bo]) = quick(&redis).await;
    insist(&mut ana, "demo", &bo.id, 1, "before").await;
    bo.until("signal").await;
    redis.kill().await;
    redis.restart().await;
    let others = [bo.id.clone(), ana.id.clone()];
    for (peer, other) in [&mut ana, &mut bo].into_iter().zip(others) {
        let reset = loop {
            let reset = peer.until("reset").await;
            if reset["peers"].as_array().unwrap().len() == 1 {
                break reset;
            }
        };
        assert_eq!(reset["peers"][0]["id"], other);
        assert_eq!(reset["peers"][0]["away"], false);
    }
    insist(&mut ana, "demo", &bo.id, 2, "after").await;
    // Every node that hosts the room may say that it was put back; nothing else comes before the signal.
    let mut frame = bo.next().await;
    while frame["type"] == "reset" {
        frame = bo.next().await;
    }
    assert_eq!((&frame["type"], &frame["data"]), (&json!("signal"), &json!("after")), "no leave");
    for node in &nodes {
        let ready = format!("http://{}/readyz", node.admin());
        assert_eq!(reqwest::get(ready).await.unwrap().status(), 200);
    }
    let mut cy = TestPeer::at(nodes[0].address(), &token("cy")).await;
    let joined = cy.join("demo", "cy").await;
    assert_eq!(joined["self"]["n"], 3, "the room counts on");
    assert_eq!(joined["peers"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_stalled_redis_removes_nobody_and_loses_nothing() {
    let redis = TestRedis::start().await;
    let (nodes, [mut ana, mut bo]) = quick(&redis).await;
    redis.stall();
    ana.signal(1, &bo.id, "in flight").await;
    let told = ana.expect_error("unavailable").await;
    assert_eq!(
        (&told["id"], &told["mid"], &told["retry"]),
        (&json!(null), &json!(null), &json!(true))
    );
    bo.expect_error("unavailable").await;
    ana.signal(2, &bo.id, "refused").await;
    let refused = ana.expect_error("unavailable").await;
    assert_eq!((&refused["mid"], &refused["retry"]), (&json!(2), &json!(true)));
    for node in &nodes {
        for (probe, status) in [("livez", 200), ("readyz", 503)] {
            let url = format!("http://{}/{probe}", node.admin());
            assert_eq!(reqwest::get(url).await.unwrap().status(), status, "{probe}");
        }
    }
    redis.wake();
    assert_eq!(bo.expect("signal").await["data"], "in flight");
    insist(&mut ana, "demo", &bo.id, 2, "again").await;
    assert_eq!(bo.expect("signal").await["data"], "again");
    assert!(bo.within(Duration::from_secs(3)).await.is_none_or(|frame| frame["type"] == "ack"));
}

#[tokio::test]
async fn writes_lost_in_a_failover_are_noticed_and_told() {
    let redis = TestRedis::start().await;
    let (_nodes, [mut ana, mut bo]) = quick(&redis).await;
    insist(&mut ana, "demo", &bo.id, 1, "kept").await;
    bo.until("signal").await;
    let kept = redis.dump("demo").await;
    insist(&mut ana, "demo", &bo.id, 2, "lost by Redis, heard by Bo").await;
    bo.until("signal").await;
    redis.put_back(&kept).await;
    insist(&mut bo, "demo", &ana.id, 1, "after").await;
    let reset = ana.until("reset").await;
    assert_eq!(reset["mid"], 2, "what was acknowledged stays so");
    assert_eq!(ana.until("signal").await["data"], "after");
    insist(&mut ana, "demo", &bo.id, 3, "goes on").await;
    assert_eq!(bo.until("signal").await["data"], "goes on");
}

/// A node that had let go of the room could not see what a snapshot said of it, so nobody detached its member.
#[tokio::test]
async fn a_member_that_had_left_before_a_loss_is_away_soon_and_nobody_alive_goes_with_it() {
    let redis = TestRedis::start().await;
    let (_nodes, [mut ana, mut bo]) = quick(&redis).await;
    let url = redis.url();
    let settings = [
        ("SIGNAL_NODE_BACKEND", "redis"),
        ("SIGNAL_NODE_REDIS_URL", url.as_str()),
        ("SIGNAL_NODE_JWT_SECRET", SECRET),
        ("SIGNAL_NODE_LOG", "debug"),
    ];
    let settings: Vec<_> = QUICK.into_iter().chain(settings).collect();
    let mut third = NodeProcess::heard(&settings).await;
    let mut cy = TestPeer::at(third.address(), &token("cy")).await;
    cy.join("demo", "cy").await;
    let kept = redis.dump("demo").await;
    cy.say(json!({"type": "leave", "id": 9, "room": "demo"})).await;
    bo.until("peer_left").await;
    third.logs("has no members here any more").await;
    redis.put_back(&kept).await;
    insist(&mut ana, "demo", &bo.id, 1, "after").await;
    let back = |frame: &serde_json::Value| {
        frame["peers"].as_array().unwrap().iter().any(|peer| peer["id"] == json!(cy.id))
    };
    assert!(back(&bo.until("reset").await), "Redis says that she is there");
    let away = bo.until("peer_updated").await;
    assert_eq!((&away["peer"]["id"], &away["peer"]["away"]), (&json!(cy.id), &json!(true)));
    let left = bo.until("peer_left").await;
    assert_eq!((&left["peer"], &left["reason"]), (&json!(cy.id), &json!("timeout")));
    insist(&mut bo, "demo", &ana.id, 1, "both are there").await;
    assert_eq!(ana.until("signal").await["data"], "both are there");
}

#[tokio::test]
async fn who_comes_during_an_outage_is_told_or_taken_when_it_is_over() {
    let mut redis = TestRedis::start().await;
    let (nodes, [mut ana, mut bo]) = quick(&redis).await;
    redis.kill().await;
    ana.until("error").await;
    bo.until("error").await;
    let mut waiting = Vec::new();
    for (node, who) in nodes.iter().zip(["c1", "c2"]) {
        let mut peer = TestPeer::at(node.address(), &token(who)).await;
        peer.try_join("demo", who).await;
        waiting.push((peer, who));
    }
    let mut told = Vec::new();
    for (node, who) in nodes.iter().zip(["c3", "c4"]) {
        let mut peer = TestPeer::at(node.address(), &token(who)).await;
        peer.try_join("new", who).await;
        assert_eq!(peer.answer().await["code"], "unavailable");
        told.push((peer, who));
    }
    redis.restart().await;
    // A join that waited for less than ten seconds is accepted; a later one was refused, and is tried again.
    for (peer, who) in &mut waiting {
        if !taken(peer).await {
            enter(peer, "demo", who).await;
        }
    }
    for (peer, who) in &mut told {
        enter(peer, "new", who).await;
    }
}
