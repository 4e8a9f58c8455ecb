//! More than one node, and what a node serves besides sockets.

use serde_json::json;

use crate::support::node::TestNode;
use crate::support::peer::TestPeer;
use crate::support::redis::TestRedis;

#[tokio::test]
async fn two_nodes_are_one_room() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut ana = TestPeer::holder(&one, "ana").await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    ana.join("demo", "ana").await;
    let joined = bo.join("demo", "bo").await;
    assert_eq!(joined["peers"][0]["id"], ana.id.as_str());
    assert_eq!(ana.expect("peer_joined").await["peer"]["user"], "bo");
    for mid in 1..=50 {
        ana.say(json!({"type": "signal", "mid": mid, "room": "demo", "to": bo.id, "data": mid}))
            .await;
        bo.say(json!({"type": "signal", "mid": mid, "room": "demo", "data": mid})).await;
    }
    for peer in [&mut ana, &mut bo] {
        let mut expected = 1;
        while expected <= 50 {
            let frame = peer.next().await;
            if frame["type"] == "signal" {
                assert_eq!(frame["data"], expected);
                expected += 1;
            }
        }
    }
    drop(bo);
    while ana.next().await["peer"]["away"] != true {}
}

#[tokio::test]
async fn a_cut_subscriber_connection_loses_and_doubles_nothing() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut ana = TestPeer::holder(&one, "ana").await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    ana.expect("peer_joined").await;
    redis.cut_subscribers().await;
    for mid in 1..=20 {
        ana.say(json!({"type": "signal", "mid": mid, "room": "demo", "to": bo.id, "data": mid}))
            .await;
        assert_eq!(
            bo.expect("signal").await["data"],
            mid,
            "nothing is missed, nothing comes twice"
        );
    }
}

#[tokio::test]
async fn the_demo_page_and_the_client_come_out_of_the_binary() {
    let node = TestNode::open().await;
    let page = node.get("/").await;
    assert_eq!(page.status(), 200);
    assert!(
        page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'self'")
    );
    assert!(page.text().await.unwrap().contains("<html"));
    let sdk = node.get("/client/index.js").await;
    assert_eq!(sdk.headers()["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(node.get("/client/../Cargo.toml").await.status(), 404);
    assert_eq!(node.get("/nothing").await.status(), 404);
}

#[tokio::test]
async fn a_member_whose_room_lost_its_history_is_closed_to_come_back_and_away_meanwhile() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut ana = TestPeer::holder(&one, "ana").await;
    ana.join("demo", "ana").await;
    // An entry whose predecessor no log holds.
    let future = "b 9000000000000000 9000000000000001 1\ns p_x * 1 2\n{}";
    redis.publish("{demo}:c", future).await;
    ana.expect_error("unavailable").await;
    assert_eq!(ana.closed().await, 4003);
    let mut bo = TestPeer::holder(&two, "bo").await;
    let joined = bo.join("demo", "bo").await;
    if joined["peers"][0]["away"] == false {
        // Her node may have to put back first what it has seen of the future.
        while bo.next().await["peer"]["away"] != true {}
    }
}
