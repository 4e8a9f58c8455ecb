//! A node that ends hands its clients over.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::QUICK;
use crate::support::node::{SECRET, token};
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;

async fn two(redis: &TestRedis, deadline: &str) -> [NodeProcess; 2] {
    let settings: Vec<_> =
        QUICK.into_iter().chain([("SIGNAL_NODE_DRAIN_DEADLINE", deadline)]).collect();
    [NodeProcess::over(redis, &settings).await, NodeProcess::over(redis, &settings).await]
}

#[tokio::test]
async fn a_client_moves_on_goaway_and_nobody_sees_it_leave() {
    let redis = TestRedis::start().await;
    let [here, mut ending] = two(&redis, "20s").await;
    let mut ana = TestPeer::at(here.address(), &token("ana")).await;
    let mut bo = TestPeer::at(ending.address(), &token("bo")).await;
    ana.join("demo", "ana").await;
    let joined = bo.join("demo", "bo").await;
    ana.expect("peer_joined").await;
    ending.signal("TERM");
    let goaway = bo.expect("goaway").await;
    assert_eq!(goaway["reason"], "drain");
    assert!(goaway["within"].as_u64() > Some(5_000), "{goaway}");
    ana.signal(1, &bo.id, "meanwhile").await;
    let mut next = TestPeer::at(here.address(), &token("bo")).await;
    next.resume("demo", "bo", 2, joined["seq"].as_u64()).await;
    assert_eq!(bo.until("left").await["reason"], "replaced");
    drop(bo);
    assert_eq!(next.expect("signal").await["data"], "meanwhile");
    assert_eq!(next.expect("joined").await["recovery"], "replay");
    assert_eq!(ending.ended().await, Some(0), "as soon as its last client is gone");
    let told = ana.until("peer_updated").await;
    assert_eq!(told["peer"], json!({"id": next.id, "away": false}), "never away, never gone");
}

#[tokio::test]
async fn a_client_that_does_not_move_is_closed_to_resume_before_the_deadline() {
    let redis = TestRedis::start().await;
    let [_, mut ending] = two(&redis, "2s").await;
    let mut bo = TestPeer::at(ending.address(), &token("bo")).await;
    bo.join("demo", "bo").await;
    ending.signal("TERM");
    let began = Instant::now();
    bo.expect("goaway").await;
    assert_eq!(bo.closed().await, 4000);
    drop(bo);
    assert_eq!(ending.ended().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_second_request_to_end_ends_at_once() {
    let redis = TestRedis::start().await;
    let [_, mut ending] = two(&redis, "60s").await;
    let mut bo = TestPeer::at(ending.address(), &token("bo")).await;
    bo.join("demo", "bo").await;
    ending.signal("TERM");
    bo.expect("goaway").await;
    let began = Instant::now();
    ending.signal("TERM");
    ending.ended().await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_drain_that_takes_long_logs_what_it_waits_for() {
    let redis = TestRedis::start().await;
    let url = redis.url();
    let settings = [
        ("BACKEND", "redis"),
        ("REDIS_URL", &*url),
        ("JWT_SECRET", SECRET),
        ("DRAIN_DEADLINE", "60s"),
    ];
    let settings = settings.map(|(name, value)| (format!("SIGNAL_NODE_{name}"), value));
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let mut ending = NodeProcess::heard(&settings).await;
    let mut bo = TestPeer::at(ending.address(), &token("bo")).await;
    bo.join("demo", "bo").await;
    redis.stall();
    ending.signal("TERM");
    bo.expect("goaway").await;
    drop(bo);
    let line = ending.logs("draining: waiting for 0 connections to end").await;
    let fields = &serde_json::from_str::<Value>(&line).unwrap()["fields"];
    let [connections, rooms, queued] = ["connections", "rooms", "queued"].map(|name| &fields[name]);
    assert_eq!((connections, rooms, queued), (&0.into(), &1.into(), &1.into()), "{line}");
    redis.wake();
    assert_eq!(ending.ended().await, Some(0));
}
