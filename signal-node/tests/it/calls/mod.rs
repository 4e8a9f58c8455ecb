//! Users who call each other by name, over some nodes.

mod crash;
mod races;
mod rights;
mod steps;

use serde_json::{Value, json};
use service_kit::tokens::mint;

use crate::support::node::{SECRET, claims};
use crate::support::peer::{TestPeer, key};

/// A token of a user who may call everyone, and whose token opens no room.
fn caller(sub: &str) -> String {
    let mut claims = claims(sub);
    claims.call = vec!["*".to_owned()];
    claims.rooms = Vec::new();
    mint(&claims, SECRET.as_bytes())
}

/// Connects a user.
async fn user(address: &str, sub: &str) -> TestPeer {
    TestPeer::at(address, &caller(sub)).await
}

/// Connects a device of a user that is online.
async fn device(address: &str, sub: &str, name: &str) -> TestPeer {
    let mut peer = user(address, sub).await;
    peer.say(json!({"type": "online", "id": 2, "device": key(name), "try": 1})).await;
    let online = peer.expect("online").await;
    online["device"].as_str().unwrap().clone_into(&mut peer.id);
    peer
}

/// Calls a user, and takes nothing.
async fn say_call(peer: &mut TestPeer, to: &str, call: &str, timeout: u64) {
    peer.say(json!({"type": "call", "id": 3, "to": to, "call": call, "timeout": timeout})).await;
}

/// Calls a user, and takes `ringing`.
async fn call(peer: &mut TestPeer, to: &str, call: &str) -> Value {
    say_call(peer, to, call, 60).await;
    let ringing = peer.until("ringing").await;
    assert_eq!((&ringing["id"], &ringing["call"]), (&json!(3), &json!(call)));
    ringing
}

/// Takes a step of a call, and returns the answer; frames before it are dropped.
async fn step(peer: &mut TestPeer, step: &str, call: &str) -> Value {
    let mut frame = json!({"type": step, "id": 5, "call": call});
    if step == "cancel" {
        frame["to"] = "bo".into();
    }
    peer.say(frame).await;
    loop {
        let frame = peer.next().await;
        if frame["id"] == 5 {
            return frame;
        }
    }
}

/// Takes `call_ended`, and returns its reason.
async fn ended(peer: &mut TestPeer) -> String {
    peer.until("call_ended").await["reason"].as_str().unwrap().to_owned()
}
