//! Calls while nodes and Redis fail.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{call, device, ended, say_call, step, user};
use crate::support::node::TestNode;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;

const QUICK: [(&str, &str); 3] =
    [("SIGNAL_NODE_LEASE", "1s"), ("SIGNAL_NODE_PING", "1s"), ("SIGNAL_NODE_GRACE", "11s")];

async fn two(redis: &TestRedis) -> [NodeProcess; 2] {
    [NodeProcess::over(redis, &QUICK).await, NodeProcess::over(redis, &QUICK).await]
}

#[tokio::test]
async fn a_call_outlives_the_node_of_its_caller_who_says_it_again_elsewhere() {
    let redis = TestRedis::start().await;
    let nodes = two(&redis).await;
    let mut phone = device(nodes[1].address(), "bo", "phone").await;
    let mut ana = user(nodes[0].address(), "ana").await;
    let room = call(&mut ana, "bo", "c1").await["room"].clone();
    phone.expect("ring").await;
    nodes[0].signal("KILL");
    let mut ana = user(nodes[1].address(), "ana").await;
    let again = call(&mut ana, "bo", "c1").await;
    assert_eq!((&again["devices"], &again["room"]), (&json!(1), &room));
    step(&mut phone, "accept", "c1").await;
    assert_eq!(ana.expect("call_accepted").await["room"], room);
}

#[tokio::test]
async fn a_call_whose_caller_is_gone_ends_in_time_and_does_not_ring_for_ever() {
    let redis = TestRedis::start().await;
    let nodes = two(&redis).await;
    let mut phone = device(nodes[1].address(), "bo", "phone").await;
    let mut ana = user(nodes[0].address(), "ana").await;
    say_call(&mut ana, "bo", "c1", 4).await;
    phone.expect("ring").await;
    let began = Instant::now();
    nodes[0].signal("KILL");
    assert_eq!(ended(&mut phone).await, "timeout");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_call_that_nobody_followed_is_over_when_a_device_comes() {
    let redis = TestRedis::start().await;
    let nodes = two(&redis).await;
    let mut ana = user(nodes[0].address(), "ana").await;
    say_call(&mut ana, "bo", "short", 2).await;
    ana.expect("ringing").await;
    say_call(&mut ana, "bo", "long", 60).await;
    ana.expect("ringing").await;
    nodes[0].signal("KILL");
    let killed = Instant::now();
    nodes[1].reaches("signal_nodes_silent", 1, Duration::from_secs(10)).await;
    while killed.elapsed() < Duration::from_secs(2) {
        nodes[1].metric("signal_connections").await;
    }
    let mut phone = device(nodes[1].address(), "bo", "phone").await;
    let ring = phone.until("ring").await;
    assert_eq!(ring["call"], "long", "{ring}");
    assert_eq!(step(&mut phone, "accept", "short").await["reason"], "timeout");
}

#[tokio::test]
async fn a_device_of_a_killed_node_takes_the_call_elsewhere() {
    let redis = TestRedis::start().await;
    let nodes = two(&redis).await;
    let mut phone = device(nodes[1].address(), "bo", "phone").await;
    let mut ana = user(nodes[0].address(), "ana").await;
    call(&mut ana, "bo", "c1").await;
    phone.expect("ring").await;
    nodes[1].signal("KILL");
    let mut phone = user(nodes[0].address(), "bo").await;
    let device = crate::support::peer::key("phone");
    phone.say(json!({"type": "online", "id": 2, "device": device, "try": 2})).await;
    phone.expect("online").await;
    phone.expect("ring").await;
    assert_eq!(step(&mut phone, "accept", "c1").await["type"], "call_accepted");
    ana.expect("call_accepted").await;
}

#[tokio::test]
async fn a_call_that_redis_has_lost_rings_again() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut phone = device(two.address(), "bo", "phone").await;
    let mut ana = user(one.address(), "ana").await;
    call(&mut ana, "bo", "c1").await;
    phone.expect("ring").await;
    redis.run::<String>(&["FLUSHALL"]).await;
    // Whatever happens in the inbox next shows the loss.
    let mut pad = device(two.address(), "bo", "pad").await;
    while pad.until("ring").await["call"] != "c1" {}
    step(&mut pad, "accept", "c1").await;
    ana.until("call_accepted").await;
}

#[tokio::test]
async fn a_lost_subscription_loses_no_ring_and_no_outcome() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut phone = device(two.address(), "bo", "phone").await;
    let mut ana = user(one.address(), "ana").await;
    for round in 0..10 {
        let name = format!("c{round}");
        redis.run::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        call(&mut ana, "bo", &name).await;
        while phone.until("ring").await["call"] != name.as_str() {}
        redis.run::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        step(&mut phone, "decline", &name).await;
        while ana.until("call_ended").await["call"] != name.as_str() {}
    }
}
