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
    let settings =
        [("BACKEND", "redis"), ("REDIS_URL", &url), ("JWT_SECRET", SECRET), ("DIALECTS", "topics")];
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
