//! Users who are online over some node, and those who watch them over another one.

mod cost;
mod crash;
mod rights;
mod states;

use serde_json::{Value, json};
use service_kit::tokens::mint;

use crate::support::node::{SECRET, claims};
use crate::support::peer::{TestPeer, key};

/// A token of a user who may watch these.
fn watcher(sub: &str, users: &[&str]) -> String {
    let mut claims = claims(sub);
    claims.watch = users.iter().map(|user| (*user).to_owned()).collect();
    mint(&claims, SECRET.as_bytes())
}

/// Connects a user who watches Bo, and takes how Bo is now.
async fn watching(address: &str) -> (TestPeer, Value) {
    let mut ana = TestPeer::at(address, &watcher("ana", &["bo"])).await;
    let now = watch(&mut ana, "bo").await;
    (ana, now)
}

/// Watches one user, and takes how that one is now.
async fn watch(peer: &mut TestPeer, user: &str) -> Value {
    peer.say(json!({"type": "watch", "id": 3, "users": [user]})).await;
    assert_eq!(peer.expect("ok").await["id"], 3);
    peer.expect("presence").await
}

/// Says `online` for a device, with these fields besides, and takes nothing.
async fn say_online(peer: &mut TestPeer, device: &str, attempt: u64, besides: &Value) {
    let mut online = json!({"type": "online", "id": 2, "device": key(device), "try": attempt});
    online.as_object_mut().unwrap().extend(besides.as_object().unwrap().clone());
    peer.say(online).await;
}

/// Makes a device reachable.
async fn go_online(peer: &mut TestPeer, device: &str, attempt: u64, besides: Value) -> Value {
    say_online(peer, device, attempt, &besides).await;
    let online = peer.expect("online").await;
    assert_eq!(online["id"], 2);
    online
}
