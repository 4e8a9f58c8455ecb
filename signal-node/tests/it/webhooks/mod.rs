//! Webhooks to a real HTTP server that fails, is slow and stalls, from nodes that are killed.

mod crash;
mod letters;
mod receiver;

use std::time::{Duration, Instant};

use receiver::{Answer, Received, Receiver, SECRETS};
use serde_json::{Value, json};
use service_kit::tokens::mint;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::program::{run, text};
use crate::support::node::{SECRET, TestNode, claims};
use crate::support::peer::{TestPeer, key};
use crate::support::polling::becomes_true;

/// Settings of a node, with short pauses, that sends to these URLs.
fn settings(urls: &str) -> Vec<(&str, &str)> {
    vec![
        ("JWT_SECRET", SECRET),
        ("LEASE", "1s"),
        ("WEBHOOK_URLS", urls),
        ("WEBHOOK_SECRET", SECRETS),
        ("WEBHOOK_NETWORKS", "127.0.0.0/8"),
        ("WEBHOOK_TIMEOUT", "5s"),
        ("WEBHOOK_BACKOFF", "20ms"),
    ]
}

async fn leave(peer: &mut TestPeer, room: &str) {
    peer.say(json!({"type": "leave", "id": 9, "room": room})).await;
    peer.until("ok").await;
}

fn kinds(received: &[Received]) -> Vec<&str> {
    received.iter().map(Received::kind).collect()
}

/// Checks that a message that came again is the same one.
fn repeats_are_the_same(received: &[Received]) {
    for (at, one) in received.iter().enumerate() {
        let again = received[at..].iter().filter(|other| other.id == one.id);
        assert!(again.into_iter().all(|other| other.body == one.body), "{one:?}");
        let other = received.iter().find(|other| other.id != one.id && other.body == one.body);
        assert!(other.is_none(), "{one:?} came with two ids");
    }
}

#[tokio::test]
async fn a_back_end_gets_everything_in_order_although_it_fails_and_another_one_stalls() {
    let fails = [Answer::Status(500), Answer::Status(302), Answer::Ok, Answer::Stall];
    let (good, stalled) = (Receiver::start(&fails).await, Receiver::start(&[]).await);
    stalled.answer_all(Answer::Stall);
    let urls = format!("{}\n{}", stalled.url(), good.url());
    let mut settings = settings(&urls);
    settings.push(("WEBHOOK_TIMEOUT", "300ms"));
    let node = TestNode::start(&settings).await;
    let [mut ana, mut bo] =
        [TestPeer::holder(&node, "ana").await, TestPeer::holder(&node, "bo").await];
    let began = Instant::now();
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    ana.expect("peer_joined").await;
    for mid in 1..=50 {
        ana.signal(mid, &bo.id.clone(), mid).await;
        bo.until("signal").await;
    }
    leave(&mut bo, "demo").await;
    leave(&mut ana, "demo").await;
    // One that waited for the endpoint that stalls would take 300 ms for each signal.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "signals wait for nobody: {took:?}");
    let received = good.accepts(6).await;
    let expected =
        ["room.started", "peer.joined", "peer.joined", "peer.left", "peer.left", "room.ended"];
    assert_eq!(kinds(&received), expected);
    let all = good.received();
    repeats_are_the_same(&all);
    let later = kinds(&all).iter().position(|kind| *kind != "room.started").unwrap();
    assert!(later >= 3, "the others wait for the first one: {:?}", kinds(&all));
    assert_eq!(good.requests(), all.len(), "no redirection was followed");
    let data = |at: usize| received[at].body["data"].clone();
    assert_eq!(data(1), json!({"room": "demo", "peer": ana.id, "user": "ana"}));
    let seconds = data(3)["seconds"].as_u64().unwrap();
    let left =
        json!({"room": "demo", "peer": bo.id, "user": "bo", "reason": "left", "seconds": seconds});
    assert!(data(3) == left && seconds <= took.as_secs(), "{}", data(3));
    assert!(received[0].body["timestamp"].as_str().unwrap().starts_with("20"));
    assert!(stalled.received().iter().all(|one| one.kind() == "room.started"));
}

fn caller(sub: &str) -> String {
    let mut claims = claims(sub);
    claims.call = vec!["*".to_owned()];
    mint(&claims, SECRET.as_bytes())
}

#[tokio::test]
async fn a_call_to_a_user_who_is_offline_is_told_at_once_and_only_the_events_that_are_wanted() {
    let back_end = Receiver::start(&[]).await;
    let url = back_end.url();
    let mut settings = settings(&url);
    settings.push(("WEBHOOK_EVENTS", "call.missed,call.accepted,call.ended"));
    let node = TestNode::start(&settings).await;
    let mut ana = TestPeer::with_token(&node, &caller("ana")).await;
    ana.say(json!({"type": "call", "id": 3, "to": "bo", "call": "c1", "timeout": 60})).await;
    let room = ana.until("ringing").await["room"].clone();
    let missed =
        json!({"call": "c1", "from": "ana", "to": "bo", "room": room, "reason": "offline"});
    assert_eq!(back_end.accepts(1).await[0].body["data"], missed);
    // The back end has pushed, and the device comes in time.
    let mut bo = TestPeer::with_token(&node, &caller("bo")).await;
    bo.say(json!({"type": "online", "id": 2, "device": key("phone"), "try": 1})).await;
    let device: Value = bo.expect("online").await["device"].clone();
    bo.until("ring").await;
    bo.say(json!({"type": "accept", "id": 5, "call": "c1"})).await;
    ana.until("call_accepted").await;
    ana.say(json!({"type": "cancel", "id": 6, "to": "bo", "call": "c1"})).await;
    let received = back_end.accepts(3).await;
    assert_eq!(kinds(&received), ["call.missed", "call.accepted", "call.ended"]);
    assert_eq!(received[1].body["data"]["device"], device);
    assert_eq!(received[2].body["data"]["reason"], "hung_up");
}

#[tokio::test]
async fn no_address_of_the_inside_is_ever_connected_to() {
    let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = inside.local_addr().unwrap().port();
    let urls = ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"]
        .map(|host| format!("https://{host}:{port}/hook"))
        .join("\n");
    let mut settings = settings(&urls);
    settings.retain(|(name, _)| *name != "WEBHOOK_NETWORKS");
    let node = TestNode::start(&settings).await;
    TestPeer::holder(&node, "ana").await.join("demo", "ana").await;
    let failed = async || {
        let metrics = node.metrics().await;
        let line = metrics.lines().find(|line| line.contains("{outcome=\"failed\"}"));
        line.unwrap().split_whitespace().last().unwrap().parse::<u64>().unwrap()
    };
    let limit = Duration::from_secs(10);
    becomes_true("each endpoint was tried twice", limit, async || failed().await >= 6).await;
    let connection = timeout(Duration::from_millis(1), inside.accept()).await;
    assert!(connection.is_err(), "{connection:?}");
}

#[tokio::test]
async fn check_config_and_the_doctor_say_what_is_wrong_with_endpoints() {
    let back_end = Receiver::start(&[]).await;
    let port = back_end.port;
    let run = |command: &'static str, urls: String, secret: &'static str| async move {
        let output = tokio::task::spawn_blocking(move || {
            let variables = [
                ("SIGNAL_NODE_WEBHOOK_URLS", urls.as_str()),
                ("SIGNAL_NODE_WEBHOOK_SECRET", secret),
                ("SIGNAL_NODE_WEBHOOK_NETWORKS", "127.0.0.0/8"),
                ("SIGNAL_NODE_WEBHOOK_EVENTS", "room.started,peer.gone"),
            ];
            let count = if command == "doctor" { 3 } else { 4 };
            run(&[command], &variables[..count])
        });
        let output = output.await.unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let urls = "https://a.example/s3cret\nhttps://a.example/s3cret\nftp://b.example\n".to_owned();
    let (code, faults) = run("check-config", urls, "0123456789abcdef0123456789abcdef").await;
    assert_eq!(code, Some(64), "{faults}");
    for fault in [
        "secret 1 does not begin with whsec_",
        "has a line 2 that is there already",
        "has a line 3 that is neither https:// nor http://",
        "has \"peer.gone\": write some of room.started,",
    ] {
        assert!(faults.contains(fault), "{fault}: {faults}");
    }
    assert!(!faults.contains("s3cret"), "{faults}");
    let urls = format!("http://127.0.0.1:{port}/hook\nhttp://10.0.0.1/hook");
    let (code, found) = run("doctor", urls, SECRETS).await;
    assert_eq!(code, Some(1), "{found}");
    assert!(found.contains(&format!("http://127.0.0.1:{port} answers (405 to HEAD)")), "{found}");
    assert!(found.contains("10.0.0.1, which is not public"), "{found}");
}
