//! Unchanged clients of matchbox, frame by frame, on one node and on two.

use serde_json::{Value, json};
use service_kit::tokens::mint;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::node::{SECRET, TestNode, claims, token};
use crate::support::peer::{TestPeer, knock};
use crate::support::redis::TestRedis;

async fn two(redis: &TestRedis) -> [TestNode; 2] {
    let url = redis.url();
    let settings = [
        ("BACKEND", "redis"),
        ("REDIS_URL", &*url),
        ("JWT_SECRET", SECRET),
        ("DIALECTS", "matchbox"),
    ];
    [TestNode::start(&settings).await, TestNode::start(&settings).await]
}

/// A client, and its UUID.
struct Player {
    peer: TestPeer,
    id: Value,
}

impl Player {
    async fn connect(node: &TestNode, room: &str, query: &str) -> Self {
        let url = format!("ws://{}/matchbox/{room}{query}", node.address());
        let mut peer = knock(url.into_client_request().unwrap()).await.unwrap().0.attended();
        let first = peer.next().await;
        let id = first["IdAssigned"].clone();
        assert_eq!(id.as_str().map(str::len), Some(36), "{first}");
        Self { peer, id }
    }

    async fn enter(node: &TestNode, room: &str, next: &str) -> Self {
        Self::connect(node, room, &format!("?token={}{next}", token("ana"))).await
    }

    async fn meets(&mut self, other: &Self) {
        assert_eq!(self.peer.next().await, json!({"NewPeer": other.id}));
    }

    async fn signal(&mut self, to: &Self, data: Value) {
        self.peer.say(json!({"Signal": {"receiver": to.id, "data": data}})).await;
    }

    async fn hears(&mut self, from: &Self, data: Value) {
        let signal = json!({"Signal": {"sender": from.id, "data": data}});
        assert_eq!(self.peer.next().await, signal);
    }
}

#[tokio::test]
async fn players_of_two_nodes_meet_in_the_order_in_which_they_come() {
    let redis = TestRedis::start().await;
    let [one, other] = two(&redis).await;
    let mut ana = Player::enter(&one, "a%20game", "").await;
    let mut bo = Player::enter(&other, "a%20game", "").await;
    ana.meets(&bo).await;
    let mut cy = Player::enter(&one, "a%20game", "").await;
    ana.meets(&cy).await;
    bo.meets(&cy).await;
    ana.peer.say(json!("KeepAlive")).await;
    for count in 0..100 {
        ana.signal(&bo, json!({"IceCandidate": count.to_string()})).await;
    }
    for count in 0..100 {
        bo.hears(&ana, json!({"IceCandidate": count.to_string()})).await;
    }
    bo.signal(&ana, json!({"Answer": "y"})).await;
    ana.hears(&bo, json!({"Answer": "y"})).await;
    drop(bo.peer);
    for left in [&mut ana, &mut cy] {
        assert_eq!(left.peer.next().await, json!({"PeerLeft": bo.id}));
    }
    cy.peer.expect_silence().await;
}

#[tokio::test]
async fn groups_are_filled_one_after_the_other_and_a_place_in_a_full_one_stays_empty() {
    let redis = TestRedis::start().await;
    let [one, other] = two(&redis).await;
    let mut ana = Player::enter(&one, "game", "&next=2").await;
    let bo = Player::enter(&other, "game", "&next=2").await;
    ana.meets(&bo).await;
    drop(bo.peer);
    assert_eq!(ana.peer.next().await, json!({"PeerLeft": bo.id}));
    // The group of ana is complete, though bo has left: cy begins the next one.
    let mut cy = Player::enter(&other, "game", "&next=2").await;
    cy.peer.expect_silence().await;
    let mut of_three = Player::enter(&one, "game", "&next=3").await;
    let dee = Player::enter(&one, "game", "&next=2").await;
    cy.meets(&dee).await;
    ana.peer.expect_silence().await;
    of_three.peer.expect_silence().await;
}

#[tokio::test]
async fn of_many_who_come_at_once_each_group_has_as_many_as_were_asked_for() {
    let redis = TestRedis::start().await;
    let nodes = two(&redis).await;
    let come = (0..24).map(|at| Player::enter(&nodes[at % 2], "game", "&next=3"));
    let mut players = futures_util::future::join_all(come).await;
    // The first of a group of three is told of two, the second of one, and the last of nobody.
    let mut told = [0; 24];
    for _ in 0..24 {
        let next = players.iter_mut().map(|player| Box::pin(player.peer.next()));
        let (frame, at, _) = futures_util::future::select_all(next).await;
        assert!(frame["NewPeer"].is_string(), "{frame}");
        told[at] += 1;
    }
    for player in &mut players {
        player.peer.expect_silence().await;
    }
    let groups = [0, 1, 2].map(|count| told.iter().filter(|told| **told == count).count());
    assert_eq!(groups, [8, 8, 8], "{told:?}");
}

#[tokio::test]
async fn a_token_opens_the_rooms_that_it_names() {
    let redis = TestRedis::start().await;
    let [one, _] = two(&redis).await;
    let mut narrow = claims("ana");
    narrow.rooms = vec!["game".to_owned()];
    let narrow = format!("?token={}", mint(&narrow, SECRET.as_bytes()));
    let mut ana = Player::connect(&one, "game", &narrow).await;
    let mut elsewhere = knock_raw(&one, &format!("other{narrow}")).await;
    assert_eq!(elsewhere.closed().await, 4100);
    let mut too_many = knock_raw(&one, &format!("game{narrow}&next=257")).await;
    assert_eq!(too_many.closed().await, 4200);
    ana.peer.expect_silence().await;
    let mut unnamed = Player::enter(&one, "", "").await;
    let other = Player::enter(&one, "", "").await;
    unnamed.meets(&other).await;
}

async fn knock_raw(node: &TestNode, rest: &str) -> TestPeer {
    let url = format!("ws://{}/matchbox/{rest}", node.address());
    knock(url.into_client_request().unwrap()).await.unwrap().0.attended()
}
