//! What the node counts, as Prometheus reads it.

use std::time::Duration;

use serde_json::json;

use crate::support::node::{SECRET, token};
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;

const LIMIT: Duration = Duration::from_secs(10);

fn volatile(bytes: usize) -> serde_json::Value {
    json!({"type": "signal", "volatile": true, "room": "demo", "data": "x".repeat(bytes)})
}

#[tokio::test]
async fn calls_to_the_log_are_timed_by_their_kind() {
    let redis = TestRedis::start().await;
    let node = NodeProcess::over(&redis, &[]).await;
    let mut ana = TestPeer::at(node.address(), &token("ana")).await;
    let mut bo = TestPeer::at(node.address(), &token("bo")).await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    let joined = ana.until("peer_joined").await;
    ana.signal(1, joined["peer"]["id"].as_str().unwrap(), 7).await;
    bo.until("signal").await;
    ana.say(volatile(1)).await;
    bo.until("signal").await;
    for (call, least) in [("subscribe", 1), ("steps", 2), ("signals", 1), ("publish", 1)] {
        let count = format!("signal_log_call_seconds_count{{call=\"{call}\"}}");
        node.reaches(&count, least, LIMIT).await;
    }
}

#[tokio::test]
async fn volatile_signals_that_are_dropped_are_counted_by_cause() {
    let mut redis = TestRedis::start().await;
    let node = NodeProcess::over(&redis, &[("SIGNAL_NODE_SEND_RATE", "1KiB/s,burst=64KiB")]).await;
    let mut ana = TestPeer::at(node.address(), &token("ana")).await;
    ana.join("demo", "ana").await;
    let mut bo = TestPeer::at(node.address(), &token("bo")).await;
    bo.join("demo", "bo").await;
    ana.until("peer_joined").await;
    ana.say(volatile(60_000)).await;
    ana.say(volatile(60_000)).await;
    ana.expect_error("rate_limited").await;
    let dropped = |cause: &str| format!("signal_volatile_dropped_total{{cause=\"{cause}\"}}");
    node.reaches(&dropped("rate"), 1, LIMIT).await;
    assert_eq!(node.metric(&dropped("log")).await, 0);
    redis.kill().await;
    ana.say(volatile(1)).await;
    node.reaches(&dropped("log"), 1, LIMIT).await;
}

#[tokio::test]
async fn the_steps_that_wait_for_the_log_are_gone_once_it_has_answered() {
    let node = NodeProcess::start(&[("SIGNAL_NODE_JWT_SECRET", SECRET)]).await;
    // She stays: the end of her socket would be a step that waits.
    let mut ana = TestPeer::at(node.address(), &token("ana")).await;
    ana.join("demo", "ana").await;
    assert_eq!(node.metric("signal_log_queued").await, 0);
}
