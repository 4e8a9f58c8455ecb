//! Coming back: what was missed comes in order, once, and to the socket that holds the member.

use serde_json::{Value, json};

use crate::support::node::TestNode;
use crate::support::peer::TestPeer;
use crate::support::redis::TestRedis;

/// Ana on the first node and Bo on the second, who know of each other.
async fn call(nodes: &[TestNode; 2]) -> [TestPeer; 2] {
    let mut ana = TestPeer::holder(&nodes[0], "ana").await;
    let mut bo = TestPeer::holder(&nodes[1], "bo").await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    ana.expect("peer_joined").await;
    [ana, bo]
}

#[tokio::test]
async fn everything_missed_is_replayed_in_order_before_joined() {
    let redis = TestRedis::start().await;
    let nodes = TestNode::two(&redis).await;
    let [mut ana, mut bo] = call(&nodes).await;
    ana.signal(1, &bo.id, 1).await;
    let position = bo.expect("signal").await["seq"].as_u64();
    let id = bo.id.clone();
    drop(bo);
    ana.expect("peer_updated").await;
    for mid in 2..=200 {
        ana.signal(mid, &id, mid).await;
    }
    ana.say(json!({"type": "update", "mid": 201, "room": "demo", "meta": {"done": true}})).await;
    while ana.until("ack").await["mid"] != 201 {}
    let mut back = TestPeer::holder(&nodes[0], "bo").await;
    back.resume("demo", "bo", 2, position).await;
    for expected in 2..=200 {
        assert_eq!(back.expect("signal").await["data"], expected);
    }
    assert_eq!(back.expect("peer_updated").await["peer"]["meta"], json!({"done": true}));
    let joined = back.expect("joined").await;
    assert_eq!((&joined["recovery"], &joined["peers"]), (&json!("replay"), &Value::Null));
    ana.signal(202, &id, "live").await;
    assert_eq!(back.expect("signal").await["data"], "live");
}

#[tokio::test]
async fn a_replay_larger_than_the_outbox_comes_at_the_pace_of_the_socket() {
    let settings = [("OUTBOX_BYTES", "600KiB"), ("SEND_RATE", "1GiB/s,burst=300KiB")];
    let node = TestNode::start(&settings).await;
    let [mut ana, bo] = TestPeer::two(&node).await;
    let id = bo.id.clone();
    drop(bo);
    let position = ana.expect("peer_updated").await["seq"].as_u64();
    let text = "x".repeat(4_000);
    for mid in 1..=256 {
        ana.signal(mid, &id, text.clone()).await;
        if mid % 64 == 0 {
            while ana.until("ack").await["mid"] != mid {}
        }
    }
    let mut back = TestPeer::anonymous(&node).await;
    back.resume("demo", "bo", 2, position).await;
    for _ in 1..=256 {
        assert_eq!(back.expect("signal").await["data"], text.as_str());
    }
    assert_eq!(back.expect("joined").await["recovery"], "replay");
    ana.signal(257, &id, "live").await;
    assert_eq!(back.expect("signal").await["data"], "live");
}

#[tokio::test]
async fn the_socket_before_hears_everything_up_to_the_hand_over_and_the_next_one_the_rest() {
    let redis = TestRedis::start().await;
    let nodes = TestNode::two(&redis).await;
    let [mut ana, mut bo] = call(&nodes).await;
    let id = bo.id.clone();
    let mut next = TestPeer::holder(&nodes[0], "bo").await;
    ana.signal(1, &id, 1).await;
    let position = bo.expect("signal").await["seq"].as_u64();
    for mid in 2..=60 {
        ana.signal(mid, &id, mid).await;
        if mid == 30 {
            next.resume("demo", "bo", 2, position).await;
        }
    }
    let mut before = 1;
    loop {
        let frame = bo.next().await;
        if frame["type"] == "left" {
            assert_eq!(frame["reason"], "replaced");
            break;
        }
        before += 1;
        assert_eq!(frame["data"], before);
    }
    let (mut after, mut handed_over) = (1, 0);
    while after < 60 {
        let frame = next.next().await;
        match frame["type"].as_str().unwrap() {
            "signal" => {
                after += 1;
                assert_eq!(frame["data"], after);
            }
            "joined" => handed_over = after,
            other => panic!("{other}: {frame}"),
        }
    }
    assert_eq!(before, handed_over, "the old socket ends where the new one begins");
}

#[tokio::test]
async fn only_what_did_not_take_effect_is_taken_again() {
    let redis = TestRedis::start().await;
    let nodes = TestNode::two(&redis).await;
    let [mut ana, mut bo] = call(&nodes).await;
    for mid in 1..=3 {
        ana.signal(mid, &bo.id, mid).await;
        bo.expect("signal").await;
    }
    drop(ana);
    let position = bo.expect("peer_updated").await["seq"].as_u64();
    let mut back = TestPeer::holder(&nodes[1], "ana").await;
    back.resume("demo", "ana", 2, position).await;
    assert_eq!(back.until("joined").await["mid"], 3);
    bo.expect("peer_updated").await;
    for mid in 2..=4 {
        back.signal(mid, &bo.id, mid).await;
    }
    assert_eq!(bo.expect("signal").await["data"], 4, "2 and 3 were taken before");
    back.signal(9, &bo.id, 9).await;
    assert_eq!(back.expect_error("out_of_order").await["expected"], 5);
}

#[tokio::test]
async fn nobody_is_told_what_was_said_before_it_came() {
    let node = TestNode::open().await;
    let [mut ana, bo] = TestPeer::two(&node).await;
    ana.signal(1, &bo.id, "private").await;
    let early = ana.expect("ack").await["seq"].as_u64();
    let mut cy = TestPeer::anonymous(&node).await;
    cy.join("demo", "cy").await;
    drop(cy);
    ana.until("peer_updated").await;
    let mut back = TestPeer::anonymous(&node).await;
    back.resume("demo", "cy", 2, early).await;
    assert_eq!(back.expect("joined").await["recovery"], "new");
}

/// A refusal that was lost with its socket looked like an acknowledgement after the resume.
#[tokio::test]
async fn who_comes_back_is_told_of_refusals_that_were_lost_with_the_socket() {
    let redis = TestRedis::start().await;
    let nodes = TestNode::two(&redis).await;
    let [mut ana, mut bo] = call(&nodes).await;
    let nobody = "p_AAAAAAAAAAAAAAAAAAAAAA";
    ana.signal(1, nobody, "refused").await;
    ana.signal(2, &bo.id, "arrives").await;
    assert_eq!(bo.expect("signal").await["data"], "arrives");
    drop(ana);
    bo.expect("peer_updated").await;
    let mut ana = TestPeer::holder(&nodes[1], "ana").await;
    ana.resume("demo", "ana", 2, None).await;
    let joined = ana.expect("joined").await;
    assert_eq!((&joined["mid"], &joined["recovery"]), (&json!(2), &json!("snapshot")));
    let message = "nobody of that id is in the room";
    let refused = json!([{"mid": 1, "code": "peer_not_found", "message": message}]);
    assert_eq!(joined["refused"], refused);
}
