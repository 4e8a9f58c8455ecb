//! One call, step by step, and each step again.

use serde_json::json;

use super::{call, device, ended, say_call, step, user};
use crate::support::node::TestNode;
use crate::support::peer::key;
use crate::support::redis::TestRedis;

#[tokio::test]
async fn every_device_rings_one_gets_the_call_and_the_others_are_told() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut phone = device(two.address(), "bo", "phone").await;
    let mut laptop = device(one.address(), "bo", "laptop").await;
    let mut ana = user(one.address(), "ana").await;
    let ringing = call(&mut ana, "bo", "c1").await;
    assert_eq!(ringing["devices"], 2);
    for device in [&mut phone, &mut laptop] {
        let ring = device.expect("ring").await;
        assert_eq!((&ring["from"], &ring["room"]), (&json!("ana"), &ringing["room"]));
        assert!(ring["within"].as_u64() > Some(50_000), "{ring}");
    }
    let accepted = step(&mut phone, "accept", "c1").await;
    assert_eq!(
        (&accepted["type"], &accepted["device"]),
        (&json!("call_accepted"), &json!(phone.id))
    );
    assert_eq!(ended(&mut laptop).await, "answered_elsewhere");
    let told = ana.expect("call_accepted").await;
    assert_eq!((&told["device"], &told["room"]), (&json!(phone.id), &ringing["room"]));

    // Each step again is answered as the first one was.
    assert_eq!(step(&mut phone, "accept", "c1").await, accepted);
    assert_eq!(step(&mut laptop, "accept", "c1").await["reason"], "answered_elsewhere");
    assert_eq!(step(&mut laptop, "decline", "c1").await["reason"], "answered_elsewhere");
    say_call(&mut ana, "bo", "c1", 60).await;
    assert_eq!(ana.expect("call_accepted").await["id"], 3);

    // Both may hang up.
    assert_eq!(step(&mut ana, "cancel", "c1").await["reason"], "hung_up");
    assert_eq!(ended(&mut phone).await, "hung_up");
    assert_eq!(step(&mut phone, "decline", "c1").await["reason"], "hung_up");
    assert_eq!(step(&mut phone, "accept", "c1").await["reason"], "hung_up");
}

#[tokio::test]
async fn a_call_is_declined_cancelled_or_over_in_time_and_stays_so() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut phone = device(two.address(), "bo", "phone").await;
    let mut laptop = device(one.address(), "bo", "laptop").await;
    let mut ana = user(one.address(), "ana").await;

    call(&mut ana, "bo", "declined").await;
    assert_eq!(step(&mut phone, "decline", "declined").await["reason"], "declined");
    assert_eq!(ended(&mut ana).await, "declined");
    assert_eq!(ended(&mut laptop).await, "declined");

    call(&mut ana, "bo", "cancelled").await;
    laptop.expect("ring").await;
    assert_eq!(step(&mut ana, "cancel", "cancelled").await["reason"], "cancelled");
    assert_eq!(ended(&mut laptop).await, "cancelled");
    assert_eq!(step(&mut laptop, "accept", "cancelled").await["reason"], "cancelled");

    say_call(&mut ana, "bo", "late", 1).await;
    ana.until("ringing").await;
    laptop.until("ring").await;
    assert_eq!(ended(&mut ana).await, "timeout");
    assert_eq!(ended(&mut laptop).await, "timeout");
    say_call(&mut ana, "bo", "late", 60).await;
    assert_eq!(ended(&mut ana).await, "timeout", "a name is a call, and that one is over");
}

#[tokio::test]
async fn a_callee_who_comes_online_within_the_time_is_rung() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut ana = user(one.address(), "ana").await;
    assert_eq!(call(&mut ana, "bo", "c1").await["devices"], 0);
    let mut phone = device(two.address(), "bo", "phone").await;
    assert_eq!(phone.expect("ring").await["call"], "c1");
    // Over another socket it rings again.
    let mut again = user(one.address(), "bo").await;
    again.say(json!({"type": "online", "id": 2, "device": key("phone"), "try": 2})).await;
    again.expect("online").await;
    again.expect("ring").await;
    step(&mut again, "accept", "c1").await;
    ana.expect("call_accepted").await;
    let mut late = device(two.address(), "bo", "late").await;
    late.expect_nothing().await;
}

#[tokio::test]
async fn a_call_to_one_who_is_not_there_ends_in_time() {
    let node = TestNode::closed().await;
    let mut ana = user(node.address(), "ana").await;
    say_call(&mut ana, "nobody", "c1", 1).await;
    assert_eq!(ana.expect("ringing").await["devices"], 0);
    assert_eq!(ended(&mut ana).await, "timeout");
}

#[tokio::test]
async fn what_is_no_call_of_theirs_is_not_found() {
    let node = TestNode::closed().await;
    let mut phone = device(node.address(), "bo", "phone").await;
    let mut ana = user(node.address(), "ana").await;
    call(&mut ana, "bo", "c1").await;
    phone.expect("ring").await;
    assert_eq!(step(&mut phone, "accept", "c2").await["code"], "peer_not_found");
    let mut cy = user(node.address(), "cy").await;
    assert_eq!(step(&mut cy, "cancel", "c1").await["code"], "peer_not_found");
    assert_eq!(step(&mut ana, "accept", "c1").await["code"], "not_joined");
    phone.expect_nothing().await;
}
