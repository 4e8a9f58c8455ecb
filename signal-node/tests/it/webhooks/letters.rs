//! Messages that could not be delivered.

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use service_kit::tokens::{Right, mint};

use super::receiver::{Answer, Receiver};
use super::{kinds, settings};
use crate::doctor::least_user;
use crate::support::node::{SECRET, TestNode, claims};
use crate::support::peer::TestPeer;
use crate::support::polling::becomes_true;
use crate::support::redis::TestRedis;

const LIMIT: Duration = Duration::from_secs(20);

async fn ask(node: &TestNode, path: &str, body: Option<Value>) -> (u16, Value) {
    let url = format!("http://{}/v1/webhooks/dead-letters{path}", node.address());
    let request = match body {
        None => Client::new().get(url),
        Some(body) => Client::new().post(url).json(&body),
    };
    let mut claims = claims("backend");
    claims.can = vec![Right::Admin];
    let answer = request.bearer_auth(mint(&claims, SECRET.as_bytes())).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn letters(node: &TestNode) -> Vec<Value> {
    let (status, list) = ask(node, "", None).await;
    assert_eq!(status, 200, "{list}");
    list["dead_letters"].as_array().unwrap().clone()
}

/// What is given up is listed, and goes out again with its id. Returns the node.
async fn given_up_and_replayed(more: &[(&str, &str)]) -> TestNode {
    let back_end = Receiver::start(&[]).await;
    back_end.answer_all(Answer::Status(503));
    let url = back_end.url();
    let mut settings = settings(&url);
    settings.extend([("WEBHOOK_GIVE_UP", "0s")].iter().chain(more).copied());
    let node = TestNode::start(&settings).await;
    TestPeer::holder(&node, "ana").await.join("demo", "ana").await;
    becomes_true("both are given up", LIMIT, async || letters(&node).await.len() == 2).await;
    let dead = letters(&node).await;
    let refused: Vec<_> = back_end.received().into_iter().map(|one| one.id).collect();
    assert_eq!(dead[0]["webhook"], refused[0].as_str());
    assert_eq!(dead[0]["error"], "it answered 503 Service Unavailable");
    assert_eq!(
        (&dead[0]["body"]["type"], &dead[1]["body"]["type"]),
        (&json!("room.started"), &json!("peer.joined"))
    );
    let after = format!("?after={}", dead[0]["id"].as_str().unwrap());
    assert_eq!(ask(&node, &after, None).await.1["dead_letters"], json!(dead[1..]));
    back_end.answer_all(Answer::Ok);
    let ids = json!({"ids": [dead[1]["id"], dead[0]["id"], "1-1"]});
    assert_eq!(ask(&node, "/replay", Some(ids)).await, (200, json!({"replayed": 2})));
    let received = back_end.accepts(2).await;
    assert_eq!(kinds(&received), ["peer.joined", "room.started"], "in the order of the replay");
    assert_eq!(
        (received[1].id.as_str(), received[0].id.as_str()),
        (refused[0].as_str(), refused[1].as_str())
    );
    assert_eq!(letters(&node).await, Vec::<Value>::new());
    assert_eq!(ask(&node, "?after=x", None).await.1["code"], "bad_request");
    node
}

#[tokio::test]
async fn what_is_given_up_is_listed_and_replayed_in_memory() {
    given_up_and_replayed(&[]).await;
}

#[tokio::test]
async fn what_is_given_up_is_listed_and_replayed_over_redis() {
    let redis = TestRedis::start().await;
    // With what the manual allows and no more.
    redis.run::<String>(&least_user().iter().map(String::as_str).collect::<Vec<_>>()).await;
    let url = redis.url().replace("redis://", "redis://signal:pass@");
    let settings = [("BACKEND", "redis"), ("REDIS_URL", &url)];
    let _node = given_up_and_replayed(&settings).await;
    let attended = ["ZSCORE", "{webhooks:queues}:z", "~replays"];
    let is_attended = async || redis.run::<Option<u64>>(&attended).await.is_some();
    assert!(is_attended().await);
    becomes_true("nothing is left to replay", LIMIT, async || !is_attended().await).await;
}

#[tokio::test]
async fn a_node_without_endpoints_has_no_dead_letters_to_show() {
    let node = TestNode::closed().await;
    let (status, problem) = ask(&node, "", None).await;
    assert_eq!((status, &problem["code"]), (404, &json!("no_webhooks")), "{problem}");
}
