//! What presence costs. This build is many times larger than a release, of which docs/SCALING.md tells; what it costs Redis and
//! what a further watcher costs are the same.

use std::time::Duration;

use serde_json::{Value, json};

use super::{go_online, watcher};
use crate::support::node::token;
use crate::support::peer::TestPeer;
use crate::support::polling::becomes_true;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;

const USERS: u64 = 2_000;
const WATCHERS: u64 = 20;

/// Settings under which one connection watches all users at once.
const WIDE: [(&str, &str); 2] =
    [("SIGNAL_NODE_WATCHES_PER_CONNECTION", "2000"), ("SIGNAL_NODE_FANOUT", "1GiB/s,burst=1GiB")];

async fn used(redis: &TestRedis) -> u64 {
    let info: String = redis.run(&["INFO", "memory"]).await;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    line.trim().parse().unwrap()
}

/// Watches all users over one connection, and waits until each was told of.
async fn watch_all(node: &NodeProcess, name: &str) -> TestPeer {
    let mut peer = TestPeer::at(node.address(), &watcher(name, &["user-*"])).await;
    for first in (0..USERS).step_by(100) {
        let users: Vec<String> = (first..first + 100).map(|user| format!("user-{user}")).collect();
        peer.say(json!({"type": "watch", "users": users})).await;
    }
    let mut told = 0;
    while told < USERS {
        let frame: Value = peer.next().await;
        assert_ne!(frame["type"], "error", "{frame}");
        told += u64::from(frame["type"] == "presence");
    }
    peer
}

#[tokio::test]
async fn a_watched_user_costs_a_node_some_kilobytes_and_each_further_watcher_some_bytes() {
    let redis = TestRedis::start().await;
    let node = NodeProcess::over(&redis, &WIDE).await;
    let (memory, keys) = (node.resident(), used(&redis).await);
    let mut watchers = vec![watch_all(&node, "ana").await];
    let per_user = (node.resident() - memory) * 1024 / USERS;
    let of_redis = used(&redis).await.saturating_sub(keys) / USERS;
    let before = node.resident();
    for number in 1..WATCHERS {
        watchers.push(watch_all(&node, &format!("ana-{number}")).await);
    }
    let per_watch = (node.resident().saturating_sub(before)) * 1024 / (USERS * (WATCHERS - 1));
    println!("{per_user} bytes for a user, {per_watch} for a watch, {of_redis} of Redis");
    assert!(per_user < 100_000, "{per_user} bytes of the node for a watched user");
    assert!(per_watch < 250, "{per_watch} bytes of the node for a further watch");
    assert!(of_redis < 1_000, "{of_redis} bytes of Redis for a watched user");
    assert_eq!(redis.run::<u64>(&["DBSIZE"]).await, 2, "nodes and loads: a watch stores nothing");
    assert_eq!(node.metric("signal_watches").await, USERS * WATCHERS);
}

#[tokio::test]
async fn a_device_that_is_online_costs_redis_as_a_room_with_one_member() {
    const DEVICES: u64 = 100;
    let redis = TestRedis::start().await;
    let node = NodeProcess::over(&redis, &WIDE).await;
    let mut devices = Vec::new();
    let mut keys = 0;
    for number in 0..=DEVICES {
        let mut device = TestPeer::at(node.address(), &token(&format!("user-{number}"))).await;
        go_online(&mut device, "tab", 1, json!({"meta": {"name": "Ana"}})).await;
        devices.push(device);
        if number == 0 {
            keys = used(&redis).await;
        }
    }
    let per_device = (used(&redis).await - keys) / DEVICES;
    println!("{per_device} bytes of Redis for a device");
    assert!(per_device < 8_000, "{per_device} bytes of Redis for a device");
    drop(devices);
    let is_over = async || node.metric("signal_devices_online").await == 0;
    becomes_true("no device", Duration::from_secs(20), is_over).await;
}
