//! Rooms: joining, speaking, leaving, coming back.

use serde_json::json;
use service_kit::tokens::{Right, mint};

use crate::support::node::{SECRET, TestNode, claims};
use crate::support::peer::{TestPeer, key};

#[tokio::test]
async fn the_newcomer_offers_and_is_polite() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let joined = ana.join("demo", "ana").await;
    assert_eq!((&joined["self"]["n"], &joined["peers"]), (&json!(1), &json!([])));
    assert_eq!(
        (&joined["recovery"], &joined["mid"], &joined["ice"]),
        (&json!("new"), &json!(0), &json!(null))
    );
    let mut bo = TestPeer::anonymous(&node).await;
    let joined = bo.join("demo", "bo").await;
    let told =
        json!([{"id": ana.id, "n": 1, "polite": true, "away": false, "meta": {"name": "ana"}}]);
    assert_eq!(joined["peers"], told);
    let news = ana.expect("peer_joined").await;
    assert_eq!(news["peer"], json!({"id": bo.id, "n": 2, "polite": false, "meta": {"name": "bo"}}));
    assert_eq!(news["seq"], joined["seq"]);
}

#[tokio::test]
async fn a_signal_reaches_whom_it_is_for_with_its_true_sender() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    let mut cy = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    cy.join("demo", "cy").await;
    for _ in 0..2 {
        ana.expect("peer_joined").await;
    }
    bo.expect("peer_joined").await;
    let data = json!({"description": {"type": "offer", "sdp": "v=0\r\n"}});
    ana.say(json!({"type": "signal", "mid": 1, "room": "demo", "to": bo.id, "from": cy.id, "data": data})).await;
    ana.say(json!({"type": "signal", "mid": 2, "room": "demo", "data": "to all"})).await;
    let signal = bo.expect("signal").await;
    assert_eq!(
        (&signal["from"], &signal["to"], &signal["data"]),
        (&json!(ana.id), &json!(bo.id), &data)
    );
    for peer in [&mut bo, &mut cy] {
        let signal = peer.expect("signal").await;
        assert_eq!((&signal["data"], signal.get("to")), (&json!("to all"), None));
    }
    let ack = ana.expect("ack").await;
    assert_eq!((&ack["mid"], &ack["room"]), (&json!(2), &json!("demo")));
    cy.expect_nothing().await;
}

#[tokio::test]
async fn a_volatile_signal_has_no_number_and_no_ack() {
    let node = TestNode::open().await;
    let [mut ana, mut bo] = TestPeer::two(&node).await;
    ana.say(json!({"type": "signal", "room": "demo", "volatile": true, "data": {"x": 1}})).await;
    let told = bo.expect("signal").await;
    assert_eq!(
        told,
        json!({"type": "signal", "room": "demo", "volatile": true, "from": ana.id, "data": {"x": 1}})
    );
    ana.expect_nothing().await;
}

#[tokio::test]
async fn an_update_is_told_and_stands_in_the_roster() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    bo.say(json!({"type": "update", "mid": 1, "room": "demo", "meta": {"muted": true}})).await;
    ana.expect("peer_joined").await;
    let told = ana.expect("peer_updated").await;
    assert_eq!(told["peer"], json!({"id": bo.id, "meta": {"muted": true}}));
    let mut cy = TestPeer::anonymous(&node).await;
    let joined = cy.join("demo", "cy").await;
    assert_eq!(joined["peers"][1]["meta"], json!({"muted": true}));
}

#[tokio::test]
async fn leaving_is_answered_and_told() {
    let node = TestNode::open().await;
    let mut ana = TestPeer::anonymous(&node).await;
    let mut bo = TestPeer::anonymous(&node).await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    bo.say(json!({"type": "leave", "id": 5, "room": "demo"})).await;
    assert_eq!(bo.expect("ok").await["id"], 5);
    ana.expect("peer_joined").await;
    let left = ana.expect("peer_left").await;
    assert_eq!((&left["peer"], &left["reason"]), (&json!(bo.id), &json!("left")));
    bo.join("demo", "bo").await;
}

#[tokio::test]
async fn a_lost_socket_is_away_and_comes_back_as_itself() {
    let node = TestNode::open().await;
    let [mut ana, bo] = TestPeer::two(&node).await;
    let id = bo.id.clone();
    drop(bo);
    let away = ana.expect("peer_updated").await;
    assert_eq!(away["peer"], json!({"id": id, "away": true}));
    let mut back = TestPeer::anonymous(&node).await;
    back.say(json!({"type": "join", "id": 1, "room": "demo", "key": key("bo"), "try": 2, "seq": away["seq"]})).await;
    let joined = back.expect("joined").await;
    assert_eq!((&joined["self"]["id"], &joined["self"]["n"]), (&json!(id), &json!(2)));
    assert_eq!((&joined["recovery"], &joined["peers"]), (&json!("replay"), &json!(null)));
    assert_eq!(ana.expect("peer_updated").await["peer"], json!({"id": id, "away": false}));
}

#[tokio::test]
async fn a_newer_socket_of_the_same_client_replaces_the_older() {
    let node = TestNode::open().await;
    let mut old = TestPeer::anonymous(&node).await;
    old.join("demo", "ana").await;
    let mut new = TestPeer::anonymous(&node).await;
    new.say(json!({"type": "join", "id": 1, "room": "demo", "key": key("ana"), "try": 2})).await;
    assert_eq!(new.expect("joined").await["recovery"], "snapshot");
    assert_eq!(old.expect("left").await["reason"], "replaced");
    assert_eq!(old.closed().await, 4202);
    let mut stale = TestPeer::anonymous(&node).await;
    stale.say(json!({"type": "join", "id": 1, "room": "demo", "key": key("ana"), "try": 1})).await;
    assert_eq!(stale.expect("left").await["reason"], "replaced");
}

#[tokio::test]
async fn a_token_opens_only_its_rooms() {
    let node = TestNode::closed().await;
    let mut claims = claims("ana");
    claims.rooms = vec!["demo".to_owned(), "team-*".to_owned()];
    let mut ana = TestPeer::with_token(&node, &mint(&claims, SECRET.as_bytes())).await;
    ana.try_join("other", "ana").await;
    ana.expect_error("forbidden").await;
    ana.join("demo", "a1").await;
    ana.join("team-blue", "a2").await;
}

#[tokio::test]
async fn what_the_token_says_of_its_holder_cannot_be_changed() {
    let node = TestNode::closed().await;
    let mut said = claims("ana");
    said.name = Some("Ana A.".to_owned());
    let mut ana = TestPeer::with_token(&node, &mint(&said, SECRET.as_bytes())).await;
    ana.join("demo", "impostor").await;
    let mut bo = TestPeer::holder(&node, "bo").await;
    let joined = bo.join("demo", "bo").await;
    assert_eq!(joined["peers"][0]["meta"]["name"], "Ana A.");
    assert_eq!(joined["peers"][0]["user"], "ana");
}

#[tokio::test]
async fn only_a_moderator_kicks_and_a_ban_holds() {
    let node = TestNode::closed().await;
    let mut rights = claims("mo");
    rights.can = vec![Right::Signal, Right::Moderate];
    let mut mo = TestPeer::with_token(&node, &mint(&rights, SECRET.as_bytes())).await;
    let mut eve = TestPeer::holder(&node, "eve").await;
    mo.join("demo", "mo").await;
    eve.join("demo", "eve").await;
    eve.say(json!({"type": "kick", "id": 7, "room": "demo", "peer": mo.id})).await;
    assert_eq!(eve.expect_error("forbidden").await["id"], 7);
    mo.expect("peer_joined").await;
    mo.say(json!({"type": "kick", "id": 8, "room": "demo", "peer": eve.id, "ban": 60})).await;
    let frames = [mo.next().await, mo.next().await];
    assert!(frames.iter().any(|frame| *frame == json!({"type": "ok", "id": 8})), "{frames:?}");
    assert!(frames.iter().any(|frame| frame["reason"] == "kicked"), "{frames:?}");
    assert_eq!(eve.expect("left").await["reason"], "kicked");
    assert_eq!(eve.closed().await, 4203);
    let mut again = TestPeer::holder(&node, "eve").await;
    again.try_join("demo", "eve").await;
    again.expect_error("forbidden").await;
}

#[tokio::test]
async fn a_resume_without_meta_keeps_what_was_told_before() {
    let node = TestNode::closed().await;
    let mut named = claims("ana");
    named.name = Some("Ana A.".to_owned());
    let token = mint(&named, SECRET.as_bytes());
    let mut ana = TestPeer::with_token(&node, &token).await;
    let join =
        |attempt: u64| json!({"type": "join", "room": "demo", "key": key("ana"), "try": attempt});
    let mut with_meta = join(1);
    with_meta["meta"] = json!({"muted": true});
    ana.say(with_meta).await;
    ana.expect("joined").await;
    let mut again = TestPeer::with_token(&node, &token).await;
    again.say(join(2)).await;
    again.expect("joined").await;
    let mut bo = TestPeer::holder(&node, "bo").await;
    let joined = bo.join("demo", "bo").await;
    assert_eq!(joined["peers"][0]["meta"], json!({"muted": true, "name": "Ana A."}));
}
