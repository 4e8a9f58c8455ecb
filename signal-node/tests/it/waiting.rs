//! A node that is started while Redis is away: it waits, says so, and serves once Redis is there.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::node::token;
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;

const WAITS: &str = "waiting for Redis, which is unavailable";

/// How long after the return of Redis a node serves.
const SERVES_WITHIN: Duration = Duration::from_secs(10);

/// A Redis that is away, and a node that waits for it.
async fn waiting() -> (TestRedis, NodeProcess) {
    let mut redis = TestRedis::start().await;
    redis.kill().await;
    let mut node = NodeProcess::without_redis(&redis.url());
    let line = node.logs(WAITS).await;
    assert!(line.contains("WARN") && line.contains("SIGNAL_NODE_REDIS_URL"), "{line}");
    (redis, node)
}

#[tokio::test]
async fn a_node_started_without_redis_is_alive_refuses_clients_and_serves_once_redis_is_there() {
    let (mut redis, mut node) = waiting().await;
    assert_eq!(node.get("/livez").await.0, 200);
    assert_eq!(node.get("/startupz").await.0, 200, "a startup probe must not end it");
    let (status, reason) = node.get("/readyz").await;
    assert!(status == 503 && reason.contains(WAITS) && reason.contains("refused"), "{reason}");
    assert_eq!(node.metric("signal_log_trouble{kind=\"cut_off\"}").await, 1);
    let refused = reqwest::get(format!("http://{}/v1/ws", node.address())).await.unwrap();
    assert_eq!(refused.status(), 503);
    let wait = refused.headers()["retry-after"].to_str().unwrap().to_owned();
    assert!(wait.parse::<u64>().unwrap() > 0, "{wait}");
    assert!(refused.text().await.unwrap().contains("\"unavailable\""));
    assert_eq!(node.metric("signal_upgrade_rejected_total{reason=\"starting\"}").await, 1);

    redis.restart().await;
    timeout(SERVES_WITHIN, node.listens()).await.expect("the node serves");
    assert_eq!(node.get("/readyz").await.0, 200);
    let [mut ana, mut bo] = [
        TestPeer::at(node.address(), &token("ana")).await,
        TestPeer::at(node.address(), &token("bo")).await,
    ];
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    ana.signal(1, &bo.id, "hello").await;
    assert_eq!(bo.until("signal").await["data"], "hello");
}

#[tokio::test]
async fn a_node_that_waits_for_redis_ends_at_once_when_it_is_told_to() {
    let (_redis, node) = waiting().await;
    let ended = timeout(Duration::from_secs(5), node.terminate()).await;
    assert_eq!(ended.expect("it ends without a drain"), Some(0));
}

#[tokio::test]
async fn a_node_that_has_waited_for_a_redis_that_rejects_it_exits_1() {
    let mut redis = TestRedis::configured(&["--requirepass".into(), "secret".into()]).await;
    redis.kill().await;
    let mut node = NodeProcess::without_redis(&redis.url());
    node.logs(WAITS).await;
    redis.restart().await;
    assert_eq!(timeout(SERVES_WITHIN, node.ended()).await.expect("it ends"), Some(1));
}
