//! Steps that come at once, over several nodes.

use serde_json::{Value, json};

use super::{call, device, say_call, user};
use crate::support::node::{SECRET, TestNode};
use crate::support::peer::TestPeer;
use crate::support::redis::TestRedis;

const ROUNDS: u64 = 60;

async fn three(redis: &TestRedis) -> [TestNode; 3] {
    let url = redis.url();
    let settings = [("BACKEND", "redis"), ("REDIS_URL", &*url), ("JWT_SECRET", SECRET)];
    [
        TestNode::start(&settings).await,
        TestNode::start(&settings).await,
        TestNode::start(&settings).await,
    ]
}

/// Takes frames until the call is accepted or over for this socket.
async fn outcome(peer: &mut TestPeer, call: &str) -> Value {
    loop {
        let frame = peer.next().await;
        let is_outcome = frame["type"] == "call_accepted" || frame["type"] == "call_ended";
        if is_outcome && frame["call"] == call {
            return frame;
        }
    }
}

#[tokio::test]
async fn of_three_devices_on_three_nodes_that_accept_at_once_exactly_one_gets_the_call() {
    let redis = TestRedis::start().await;
    let nodes = three(&redis).await;
    let mut devices = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        devices.push(device(node.address(), "bo", &format!("device{number}x")).await);
    }
    let mut ana = user(nodes[0].address(), "ana").await;
    let mut winners = [0; 3];
    for round in 0..ROUNDS {
        let name = format!("c{round}");
        call(&mut ana, "bo", &name).await;
        for device in &mut devices {
            while device.until("ring").await["call"] != name.as_str() {}
        }
        // In another order each time, and each says it twice.
        for offset in 0..3 {
            let at = usize::try_from(round.wrapping_mul(7) % 3).unwrap();
            let device = &mut devices[(at + offset) % 3];
            for _ in 0..2 {
                device.say(json!({"type": "accept", "id": 5, "call": name})).await;
            }
        }
        let mut holders = Vec::new();
        for (number, device) in devices.iter_mut().enumerate() {
            let told = outcome(device, &name).await;
            if told["type"] == "call_accepted" {
                assert_eq!(told["device"], device.id.as_str());
                holders.push(number);
            } else {
                assert_eq!(told["reason"], "answered_elsewhere");
            }
        }
        let told = outcome(&mut ana, &name).await;
        assert_eq!(holders.len(), 1, "round {round}: {holders:?}");
        assert_eq!(told["device"], devices[holders[0]].id.as_str());
        winners[holders[0]] += 1;
        ana.say(json!({"type": "cancel", "id": 5, "to": "bo", "call": name})).await;
        assert_eq!(outcome(&mut ana, &name).await["reason"], "hung_up");
    }
    assert!(winners.iter().filter(|won| **won > 0).count() > 1, "{winners:?}");
}

#[tokio::test]
async fn an_accept_and_a_cancel_at_once_have_one_outcome_for_both() {
    let redis = TestRedis::start().await;
    let nodes = three(&redis).await;
    let mut phone = device(nodes[1].address(), "bo", "phone").await;
    let mut ana = user(nodes[0].address(), "ana").await;
    for round in 0..ROUNDS {
        let name = format!("c{round}");
        call(&mut ana, "bo", &name).await;
        while phone.until("ring").await["call"] != name.as_str() {}
        let accept = json!({"type": "accept", "id": 5, "call": name});
        let cancel = json!({"type": "cancel", "id": 5, "to": "bo", "call": name});
        tokio::join!(phone.say(accept), ana.say(cancel));
        let mut ends = Vec::new();
        for peer in [&mut ana, &mut phone] {
            let mut told = outcome(peer, &name).await;
            if told["type"] == "call_accepted" {
                told = outcome(peer, &name).await;
            }
            ends.push(told["reason"].clone());
        }
        assert_eq!(ends[0], ends[1], "round {round}");
        assert!(ends[0] == "cancelled" || ends[0] == "hung_up", "{ends:?}");
    }
}

#[tokio::test]
async fn two_users_who_call_each_other_at_once_are_in_one_call() {
    let redis = TestRedis::start().await;
    let nodes = three(&redis).await;
    let mut ana = device(nodes[0].address(), "ana", "ana").await;
    let mut bo = device(nodes[1].address(), "bo", "bo").await;
    for round in 0..ROUNDS {
        // The smaller name is Ana's in every other round.
        let (first, second) = (format!("a{round}"), format!("b{round}"));
        let (of_ana, of_bo) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        tokio::join!(say_call(&mut ana, "bo", of_ana, 30), say_call(&mut bo, "ana", of_bo, 30));
        for peer in [&mut ana, &mut bo] {
            let accepted = outcome(peer, &first).await;
            assert_eq!(accepted["type"], "call_accepted", "round {round}: {accepted}");
        }
        // The other one is over, for the one who called at least; both are told before anything else happens.
        let loser = if round % 2 == 0 { &mut bo } else { &mut ana };
        loser
            .say(json!({"type": "cancel", "id": 6, "call": second,
            "to": if round % 2 == 0 { "ana" } else { "bo" }}))
            .await;
        assert_eq!(outcome(loser, &second).await["reason"], "glare", "round {round}");
        let (winner, to) = if round % 2 == 0 { (&mut ana, "bo") } else { (&mut bo, "ana") };
        winner.say(json!({"type": "cancel", "id": 7, "call": first, "to": to})).await;
        for peer in [&mut ana, &mut bo] {
            assert_eq!(outcome(peer, &first).await["reason"], "hung_up");
        }
    }
}
