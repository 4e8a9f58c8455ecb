//! Unchanged clients of others, frame by frame, on one node and on two.

use serde_json::{Value, json};
use service_kit::tokens::mint;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::support::node::{SECRET, TestNode, claims, token};
use crate::support::peer::{TestPeer, knock};
use crate::support::polling::becomes_true;
use crate::support::redis::TestRedis;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

async fn two(redis: &TestRedis) -> [TestNode; 2] {
    let url = redis.url();
    let settings = [
        ("BACKEND", "redis"),
        ("REDIS_URL", &url),
        ("JWT_SECRET", SECRET),
        ("DIALECTS", "topics,peerjs"),
    ];
    [TestNode::start(&settings).await, TestNode::start(&settings).await]
}

async fn connect(node: &TestNode, query: &str) -> TestPeer {
    let url = format!("ws://{}/topics{query}", node.address());
    knock(url.into_client_request().unwrap()).await.unwrap().0.attended()
}

async fn holder(node: &TestNode, who: &str) -> TestPeer {
    connect(node, &format!("?token={}", token(who))).await
}

fn publish(topic: &str, data: impl Into<Value>) -> Value {
    json!({"type": "publish", "topic": topic, "data": data.into()})
}

#[tokio::test]
async fn a_publisher_that_subscribes_in_the_same_breath_gets_what_it_publishes() {
    let node = TestNode::start(&[("DIALECTS", "topics")]).await;
    let mut ana = connect(&node, "").await;
    ana.say(json!({"type": "subscribe", "topics": ["notes"]})).await;
    ana.say(publish("notes", "here")).await;
    assert_eq!(ana.next().await, publish("notes", "here"));
    ana.say_text("nonsense").await;
    ana.say(json!({"type": "ping"})).await;
    ana.expect("pong").await;
    ana.say(json!({"type": "unsubscribe", "topics": ["notes"]})).await;
    ana.say(publish("notes", "gone")).await;
    ana.expect_nothing().await;
    let metrics = node.metrics().await;
    for line in [
        r#"signal_dialect_connections{dialect="topics"} 1"#,
        r#"signal_dialect_frames_total{dialect="topics",direction="received"} 7"#,
        r#"signal_dialect_ignored_total{dialect="topics",reason="malformed"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn clients_of_two_nodes_share_topics_and_each_gets_its_own_shape() {
    let redis = TestRedis::start().await;
    let [one, other] = two(&redis).await;
    let (mut ana, mut bo) = (holder(&one, "ana").await, holder(&other, "bo").await);
    ana.say(json!({"type": "subscribe", "topics": ["notes", "plans"]})).await;
    bo.say(json!({"type": "subscribe", "topic": "notes"})).await;
    bo.say(publish("notes", "bo is in")).await;
    assert_eq!(bo.next().await, publish("notes", "bo is in"));
    ana.say(publish("notes", 0)).await;
    while ana.next().await != publish("notes", 0) {}
    assert_eq!(bo.next().await, publish("notes", 0));
    for count in 1..200 {
        ana.say(publish("notes", count)).await;
        bo.say(json!({"type": "publish", "topic": "plans", "payload": count})).await;
    }
    for count in 1..200 {
        assert_eq!(bo.next().await, publish("notes", count), "in order, and each once");
    }
    let mut plans = 1;
    while plans < 200 {
        let frame = ana.next().await;
        if frame["topic"] == "plans" {
            assert_eq!(frame, json!({"topic": "plans", "payload": plans}));
            plans += 1;
        }
    }
}

#[tokio::test]
async fn a_topic_and_a_room_of_the_same_name_are_apart() {
    let redis = TestRedis::start().await;
    let [one, _] = two(&redis).await;
    let mut native = TestPeer::holder(&one, "ana").await;
    native.join("demo", "ana").await;
    let mut bo = holder(&one, "bo").await;
    bo.say(json!({"type": "subscribe", "topics": ["demo"]})).await;
    bo.say(publish("demo", 1)).await;
    assert_eq!(bo.next().await, publish("demo", 1));
    native.expect_nothing().await;
    native.try_join("~y.AAAAAAAAAAAAAAAAAAAAAA", "ana").await;
    native.expect_error("bad_request").await;
}

#[tokio::test]
async fn a_token_opens_the_topics_that_its_rooms_name() {
    let redis = TestRedis::start().await;
    let [one, other] = two(&redis).await;
    let mut narrow = claims("ana");
    narrow.rooms = vec!["notes-*".to_owned()];
    let mut ana = connect(&one, &format!("?token={}", mint(&narrow, SECRET.as_bytes()))).await;
    let mut bo = holder(&other, "bo").await;
    bo.say(json!({"type": "subscribe", "topics": ["plans", "notes-1"]})).await;
    ana.say(json!({"type": "subscribe", "topics": ["plans", "notes-1"]})).await;
    ana.say(publish("plans", "she may not")).await;
    ana.say(publish("notes-1", "she may")).await;
    assert_eq!(ana.next().await, publish("notes-1", "she may"));
    bo.say(publish("plans", "end")).await;
    let mut heard = vec![bo.next().await];
    while heard.last() != Some(&publish("plans", "end")) {
        heard.push(bo.next().await);
    }
    assert!(!heard.contains(&publish("plans", "she may not")), "{heard:?}");
    let mut stranger = connect(&one, "").await;
    assert_eq!(stranger.closed().await, 4100, "a token is needed");
    let mut forged = connect(&one, "?token=a.b.c").await;
    assert_eq!(forged.closed().await, 4100);
}

#[tokio::test]
async fn a_plain_request_is_answered_okay_and_a_node_without_topics_has_no_such_path() {
    let node = TestNode::start(&[("DIALECTS", "topics=/y")]).await;
    let answer = node.get("/y").await;
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert_eq!(answer.text().await.unwrap(), "okay");
    assert_eq!(node.get("/topics").await.status(), 404);
    assert_eq!(TestNode::open().await.get("/topics").await.status(), 404);
}

#[tokio::test]
async fn a_client_of_topics_that_is_gone_leaves_and_takes_no_place() {
    let node = TestNode::start(&[("DIALECTS", "topics")]).await;
    let (mut ana, mut bo) = (connect(&node, "").await, connect(&node, "").await);
    for peer in [&mut ana, &mut bo] {
        peer.say(json!({"type": "subscribe", "topics": ["notes"]})).await;
        peer.say(publish("notes", 1)).await;
        peer.next().await;
    }
    // A binary frame is counted, and has no effect.
    ana.send(Message::binary(vec![1, 2, 3])).await;
    drop(ana);
    drop(bo);
    becomes_true("nobody gets a post", PATIENCE, async || {
        let mut cy = connect(&node, "").await;
        cy.say(publish("notes", 2)).await;
        cy.expect_nothing().await;
        let metrics = node.metrics().await;
        !metrics.contains(r#"signal_dialect_posts_total{dialect="topics",outcome="gone"} 0"#)
    })
    .await;
    let metrics = node.metrics().await;
    let line = r#"signal_dialect_ignored_total{dialect="topics",reason="malformed"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn what_is_posted_is_charged_to_its_sender() {
    let rates = [("FANOUT", "1/s,burst=100000"), ("SEND_RATE", "1/s,burst=4000")];
    let node = TestNode::start(&[&[("DIALECTS", "topics")], &rates[..]].concat()).await;
    let (mut ana, mut bo) = (connect(&node, "").await, connect(&node, "").await);
    bo.say(json!({"type": "subscribe", "topics": ["notes"]})).await;
    bo.say(publish("notes", 0)).await;
    bo.next().await;
    for _ in 0..3 {
        ana.say(publish("notes", "x".repeat(1_500))).await;
    }
    for _ in 0..2 {
        bo.next().await;
    }
    ana.expect_nothing().await;
    becomes_true("the third one is over the rate", PATIENCE, async || {
        let limited = r#"signal_dialect_posts_total{dialect="topics",outcome="limited"} 1"#;
        node.metrics().await.contains(limited)
    })
    .await;
    bo.expect_nothing().await;
    bo.say(publish("notes", "of her own")).await;
    assert_eq!(bo.next().await, publish("notes", "of her own"), "others are not touched");
}

#[tokio::test]
async fn a_node_that_drains_closes_y_webrtc_at_once_and_keeps_who_does_not_come_back() {
    let redis = TestRedis::start().await;
    let url = redis.url();
    let settings = [("BACKEND", "redis"), ("REDIS_URL", &*url), ("JWT_SECRET", SECRET)];
    let settings = [&settings[..], &[("DIALECTS", "topics"), ("DRAIN_DEADLINE", "5s")]].concat();
    let node = TestNode::start(&settings).await;
    let (mut ana, mut bo) = (holder(&node, "ana").await, holder(&node, "bo").await);
    ana.say(json!({"type": "subscribe", "topics": ["notes"]})).await;
    bo.say(json!({"type": "subscribe", "topic": "notes"})).await;
    for peer in [&mut ana, &mut bo] {
        peer.expect_nothing().await;
    }
    node.life.soft.cancel();
    assert_eq!(ana.closed().await, 4000);
    bo.expect_nothing().await;
    assert_eq!(bo.closed().await, 4000);
}

async fn peerjs(node: &TestNode, id: &str, token: &str) -> TestPeer {
    dial_peerjs(node, id, token).await.attended()
}

/// A client that answers pings only while the test reads.
async fn dial_peerjs(node: &TestNode, id: &str, token: &str) -> TestPeer {
    let address = node.address();
    let url = format!("ws://{address}/peerjs?key=peerjs&id={id}&token={token}&version=1.5.5");
    knock(url.into_client_request().unwrap()).await.unwrap().0
}

fn open() -> Value {
    json!({"type": "OPEN"})
}

#[tokio::test]
async fn peers_of_two_nodes_call_each_other_and_what_comes_early_waits() {
    let redis = TestRedis::start().await;
    let [one, other] = two(&redis).await;
    let [of_ana, of_bo] = ["ana", "bo"].map(token);
    let mut ana = peerjs(&one, "alice", &of_ana).await;
    assert_eq!(ana.next().await, open());
    ana.say(json!({"type": "OFFER", "dst": "bob 1", "payload": {"x": 1}, "src": "mallory"})).await;
    ana.say(json!({"type": "CANDIDATE", "dst": "bob 1", "payload": {"c": 1}})).await;
    let mut bo = peerjs(&other, "bob+1", &of_bo).await;
    assert_eq!(bo.next().await, open());
    for (kind, payload) in [("OFFER", json!({"x": 1})), ("CANDIDATE", json!({"c": 1}))] {
        let relayed = json!({"type": kind, "src": "alice", "dst": "bob 1", "payload": payload});
        assert_eq!(bo.next().await, relayed);
    }
    bo.say(json!({"type": "ANSWER", "dst": "alice", "payload": {"y": 1}})).await;
    let answer = json!({"type": "ANSWER", "src": "bob 1", "dst": "alice", "payload": {"y": 1}});
    assert_eq!(ana.next().await, answer);
    ana.say(json!({"type": "OFFER", "dst": "nobody", "payload": {}})).await;
    assert_eq!(ana.next().await, json!({"type": "EXPIRE", "src": "nobody", "dst": "alice"}));
}

#[tokio::test]
async fn an_id_is_taken_while_its_holder_lives_and_free_once_it_does_not_answer() {
    let redis = TestRedis::start().await;
    let [one, other] = two(&redis).await;
    let [of_ana, of_bo] = ["ana", "bo"].map(token);
    // It answers no ping while nobody reads.
    let mut holder = dial_peerjs(&one, "alice", &of_ana).await;
    assert_eq!(holder.next().await, open());
    let mut living = peerjs(&one, "carol", &of_ana).await;
    assert_eq!(living.next().await, open());
    let mut refused = peerjs(&other, "carol", &of_bo).await;
    let taken = json!({"type": "ID-TAKEN", "payload": {"msg": "ID is taken"}});
    assert_eq!(refused.next().await, taken);
    refused.closed().await;
    let mut challenger = peerjs(&other, "alice", &of_bo).await;
    assert_eq!(challenger.next().await, open(), "the holder did not answer");
}

#[tokio::test]
async fn a_client_with_the_same_token_takes_its_id_over_on_another_node() {
    let redis = TestRedis::start().await;
    let [one, other] = two(&redis).await;
    let of_ana = token("ana");
    let mut before = peerjs(&one, "alice", &of_ana).await;
    assert_eq!(before.next().await, open());
    let mut after = peerjs(&other, "alice", &of_ana).await;
    assert_eq!(after.next().await, open());
    before.closed().await;
    let mut bo = peerjs(&one, "bob", &token("bo")).await;
    assert_eq!(bo.next().await, open());
    bo.say(json!({"type": "OFFER", "dst": "alice", "payload": 1})).await;
    let offer = json!({"type": "OFFER", "src": "bob", "dst": "alice", "payload": 1});
    assert_eq!(after.next().await, offer);
    drop(after);
    let mut again = peerjs(&one, "alice", &token("somebody else")).await;
    assert_eq!(again.next().await, open(), "it left at once");
}

#[tokio::test]
async fn peerjs_hands_out_ids_and_says_what_is_wrong_with_a_handshake() {
    let node = TestNode::start(&[("DIALECTS", "peerjs=/calls")]).await;
    let answer = node.get("/calls/anykey/id?ts=1").await;
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let id = answer.text().await.unwrap();
    let form = id.split('-').map(str::len).collect::<Vec<_>>();
    assert_eq!((form, id.as_bytes()[14]), (vec![8, 4, 4, 4, 12], b'4'), "{id}");
    assert_eq!(node.get("/calls/anykey/peers").await.status(), 401);
    assert_eq!(node.get("/peerjs/id").await.status(), 404);
    let url = format!("ws://{}/calls/peerjs?key=peerjs&token=t", node.address());
    let mut peer = knock(url.into_client_request().unwrap()).await.unwrap().0;
    let error = peer.expect("ERROR").await;
    assert_eq!(error["payload"]["msg"], "No id, token, or key supplied to websocket server");
    peer.closed().await;
    let keyed = TestNode::start(&[("DIALECTS", "peerjs"), ("JWT_SECRET", SECRET)]).await;
    let mut forged = peerjs(&keyed, "alice", "t1").await;
    assert_eq!(forged.expect("ERROR").await["payload"]["msg"], "Invalid token provided");
    let mut narrow = claims("ana");
    narrow.rooms = vec!["bob".to_owned()];
    let mut other = peerjs(&keyed, "alice", &mint(&narrow, SECRET.as_bytes())).await;
    assert_eq!(other.expect("ERROR").await["payload"]["msg"], "Invalid token provided");
}

#[tokio::test]
async fn topics_of_an_address_take_no_place_of_its_rooms() {
    let node = TestNode::start(&[("DIALECTS", "topics"), ("ROOMS_PER_CLIENT", "1")]).await;
    let mut bo = connect(&node, "").await;
    let topics: Vec<String> = (0..50).map(|count| format!("topic-{count}")).collect();
    bo.say(json!({"type": "subscribe", "topics": topics})).await;
    bo.say(publish("topic-49", 1)).await;
    assert_eq!(bo.next().await, publish("topic-49", 1));
    let mut native = TestPeer::anonymous(&node).await;
    native.join("demo", "ana").await;
}
