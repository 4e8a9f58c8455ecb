//! Timelines: what is kept of a room, for how long, who may read it, and what a client may report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use service_kit::clock::unix_now;
use service_kit::tokens::{Claims, Right, mint};
use signal_node::log::memory::MemoryLog;
use signal_node::log::redis::{Publishing, RedisLog, RedisPrefix};
use signal_node::log::{Retention, TimelineKey, TimelineStore};

use crate::support::node::{SECRET, TestNode, claims};
use crate::support::peer::TestPeer;
use crate::support::polling::becomes_true;
use crate::support::process::NodeProcess;
use crate::support::redis::{TestRedis, free_port};

const LIMIT: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);

const KEEP: Retention =
    Retention { age: MINUTE, length: 64, bytes: 1 << 20, room: Duration::from_secs(300) };

fn key() -> TimelineKey {
    TimelineKey::Room("demo".parse().unwrap())
}

async fn append(log: &dyn TimelineStore, lines: impl IntoIterator<Item = String>) {
    let lines: Vec<String> = lines.into_iter().collect();
    log.append(&key(), &lines, MINUTE).await.unwrap();
}

async fn in_redis(redis: &TestRedis) -> RedisLog {
    let (access, prefix) = (redis.access(), RedisPrefix::default());
    RedisLog::connect(&access, &prefix, Publishing::Sharded, KEEP, LIMIT).await.unwrap()
}

/// Each line ends by itself, although later ones keep the timeline.
async fn old_lines_end(log: &dyn TimelineStore, step_clock: impl AsyncFn(u64)) {
    append(log, ["first".to_owned()]).await;
    step_clock(40).await;
    append(log, ["second".to_owned()]).await;
    assert_eq!(log.lines(&key()).await.unwrap(), ["first", "second"]);
    step_clock(70).await;
    append(log, ["third".to_owned()]).await;
    assert_eq!(log.lines(&key()).await.unwrap(), ["second", "third"]);
    step_clock(200).await;
    assert_eq!(log.lines(&key()).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn lines_in_memory_end_by_their_age() {
    let off = Arc::new(AtomicU64::new(0));
    let clock = {
        let off = off.clone();
        move || unix_now() + Duration::from_secs(off.load(Ordering::Relaxed))
    };
    let log = MemoryLog::with_clock(KEEP, clock);
    old_lines_end(&log, async |seconds| off.store(seconds, Ordering::Relaxed)).await;
}

#[tokio::test]
async fn lines_in_redis_end_by_their_age() {
    let redis = TestRedis::with_a_clock_to_step().await;
    let log = in_redis(&redis).await;
    let step = async |seconds: u64| {
        redis.step_clock(i64::try_from(seconds).unwrap());
        let due = unix_now().as_secs() + seconds;
        becomes_true("the clock is stepped", LIMIT, async || {
            redis.run::<[u64; 2]>(&["TIME"]).await[0].abs_diff(due) <= 5
        })
        .await;
    };
    old_lines_end(&log, step).await;
}

#[tokio::test]
async fn a_timeline_keeps_its_last_thousand_lines_and_its_key_has_an_end() {
    let redis = TestRedis::start().await;
    let log = in_redis(&redis).await;
    let memory = MemoryLog::new(KEEP);
    for from in [0, 500, 1_000, 1_500] {
        append(&log, (from..from + 500).map(|line: u32| line.to_string())).await;
        append(&memory, (from..from + 500).map(|line: u32| line.to_string())).await;
    }
    for lines in [log.lines(&key()).await.unwrap(), memory.lines(&key()).await.unwrap()] {
        assert!((1_000..1_200).contains(&lines.len()), "{}", lines.len());
        assert_eq!(lines.last().unwrap(), "1999");
    }
    let left: i64 = redis.run(&["PTTL", "{demo}:t"]).await;
    assert!((1..=60_000).contains(&left), "{left}");
}

fn admin(rooms: &str) -> Claims {
    let mut claims = claims("backend");
    (claims.can, claims.rooms) = (vec![Right::Admin], vec![rooms.to_owned()]);
    claims
}

async fn ask(node: &TestNode, path: &str, claims: &Claims) -> (u16, Value) {
    let request = Client::new().get(format!("http://{}{path}", node.address()));
    let token = mint(claims, SECRET.as_bytes());
    let response = request.bearer_auth(token).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn timeline(node: &TestNode) -> Value {
    let (status, timeline) = ask(node, "/v1/rooms/demo/timeline", &admin("*")).await;
    assert_eq!(status, 200, "{timeline}");
    timeline
}

fn types(timeline: &Value) -> Vec<&str> {
    let events = timeline["events"].as_array().unwrap();
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// A report of a relay that refused an expired credential.
fn report(about: &str) -> Value {
    let now = u64::try_from(unix_now().as_millis()).unwrap();
    json!({"type": "report", "room": "demo", "peer": about, "at": now, "call": {
        "attempt": 1, "state": "failed", "now": 9_000, "failed": 8_900, "relays": {"udp": 1}, "address": "192.0.2.7",
        "errors": [{"relay": "turn.example.org:3478", "transport": "udp", "code": 401, "count": 1, "at": 8_000}],
        "expires": now / 1_000 - 30, "gathered": {"host": 1}, "browser": "chromium",
    }})
}

#[tokio::test]
async fn a_back_end_is_told_over_any_node_what_happened_and_why_each_thing_once() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut ana = TestPeer::holder(&one, "ana").await;
    let mut bo = TestPeer::holder(&two, "bo").await;
    let mut cy = TestPeer::holder(&one, "cy").await;
    for (peer, who) in [(&mut ana, "ana"), (&mut bo, "bo"), (&mut cy, "cy")] {
        peer.join("demo", who).await;
    }
    ana.say(report(&bo.id)).await;
    cy.say(json!({"type": "leave", "id": 1, "room": "demo"})).await;
    bo.until("peer_left").await;
    // Both nodes have members in the room, and each has noted that Cy left.
    becomes_true("all lines are written", LIMIT, async || {
        redis.run::<u64>(&["XLEN", "{demo}:t"]).await == 6
    })
    .await;
    let timeline = timeline(&two).await;
    assert_eq!(types(&timeline), ["joined", "joined", "joined", "report", "left"], "{timeline}");
    assert_eq!(timeline["events"][0]["user"], "ana");
    assert_eq!(timeline["findings"][0]["rule"], "relay_credential_expired", "{timeline}");
    let text = timeline["findings"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("ana got no relay candidate: relay turn.example.org:3478"), "{text}");
    let stored: Value = redis
        .run::<String>(&[
            "EVAL",
            "return cjson.encode(redis.call('XRANGE', KEYS[1], '-', '+'))",
            "1",
            "{demo}:t",
        ])
        .await
        .into();
    assert!(!stored.to_string().contains("192.0.2.7"), "an address was stored: {stored}");
}

#[tokio::test]
async fn a_timeline_is_for_administrators_of_its_room_and_a_user_s_tells_of_those_rooms_only() {
    let node = TestNode::closed().await;
    for room in ["demo", "other"] {
        TestPeer::holder(&node, "ana").await.join(room, "ana").await;
    }
    let all = async |claims: &Claims| ask(&node, "/v1/users/ana/timeline", claims).await.1;
    becomes_true("both joins are written", LIMIT, async || {
        all(&admin("*")).await["entered"].as_array().unwrap().len() == 2
    })
    .await;
    let of_demo = all(&admin("demo")).await;
    assert_eq!(of_demo["entered"].as_array().unwrap().len(), 1, "{of_demo}");
    assert_eq!(of_demo["entered"][0]["room"], "demo");
    for (path, claims) in [
        ("/v1/rooms/demo/timeline", admin("other")),
        ("/v1/rooms/demo/timeline", claims("ana")),
        ("/v1/users/ana/timeline", claims("ana")),
    ] {
        let (status, problem) = ask(&node, path, &claims).await;
        assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "{path}");
    }
}

#[tokio::test]
async fn a_report_that_is_foreign_large_or_one_too_many_is_not_recorded() {
    let node = TestNode::closed().await;
    let mut ana = TestPeer::holder(&node, "ana").await;
    ana.say(report("p_bo")).await;
    ana.expect_error("not_joined").await;
    ana.join("demo", "ana").await;
    let mut large = report("p_bo");
    large["padding"] = "x".repeat(2_048).into();
    ana.say(large).await;
    ana.expect_error("too_large").await;
    ana.say(json!({"type": "report", "room": "demo", "at": "noon"})).await;
    ana.expect_error("bad_request").await;
    for _ in 0..200 {
        ana.say(report("p_bo")).await;
    }
    ana.expect_nothing().await;
    let metrics = node.metrics().await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("signal_timeline_dropped_total{cause=\"rate\"}"));
    let dropped: u32 = line.unwrap().split_whitespace().last().unwrap().parse().unwrap();
    assert!((1..=72).contains(&dropped), "{dropped}");
    let failed = "signal_calls_total{outcome=\"failed\",path=\"none\"}";
    assert!(metrics.contains(&format!("{failed} {}", 200 - dropped)), "{metrics}");
}

#[tokio::test]
async fn a_node_that_keeps_no_timelines_takes_no_reports_and_says_so() {
    let node = TestNode::start(&[("JWT_SECRET", SECRET), ("TIMELINE_AGE", "0s")]).await;
    let mut ana = TestPeer::dial(node.address(), &mint(&claims("ana"), SECRET.as_bytes())).await;
    let features = ana.expect("welcome").await["features"].clone();
    assert!(!features.as_array().unwrap().contains(&json!("report")), "{features}");
    ana.join("demo", "ana").await;
    ana.say(report("p_bo")).await;
    ana.expect_error("unsupported").await;
    assert_eq!(types(&timeline(&node).await), [""; 0]);
}

/// What the admin listener answers: the status, the type, and the body.
async fn at_admin(address: &str, path: &str, claims: Option<&Claims>) -> (u16, String, String) {
    let mut request = Client::new().get(format!("http://{address}{path}"));
    if let Some(claims) = claims {
        request = request.bearer_auth(mint(claims, SECRET.as_bytes()));
    }
    let response = request.send().await.unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status().as_u16(), kind, response.text().await.unwrap())
}

#[tokio::test]
async fn a_console_has_the_rights_of_its_token_and_waits_for_the_log() {
    let node = TestNode::closed().await;
    let (member, operator) = (claims("ana"), admin("*"));
    let ask =
        async |path: &str, claims: Option<&Claims>| at_admin(node.admin(), path, claims).await;
    let (status, kind, page) = ask("/console", None).await;
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"), "{page}");
    for file in ["/console/console.js", "/console/console.css", "/demo/dom.js", "/livez"] {
        assert_eq!(ask(file, None).await.0, 200, "{file}");
    }
    assert_eq!(ask("/v1/rooms/demo/timeline", None).await.0, 401);
    assert_eq!(ask("/v1/rooms/demo/timeline", Some(&member)).await.0, 403);
    for path in
        ["/v1/rooms/demo/timeline", "/v1/rooms/demo", "/v1/cluster", "/v1/users/ana/timeline"]
    {
        assert_eq!(ask(path, Some(&operator)).await.0, 200, "{path}");
    }
    for path in ["/v1/ws", "/v1/none", "/client/index.js", "/"] {
        assert_eq!(ask(path, Some(&operator)).await.0, 404, "{path}");
    }

    let nowhere = format!("redis://127.0.0.1:{}", free_port());
    let mut waiting = NodeProcess::without_redis(&nowhere);
    waiting.logs("waiting for Redis").await;
    let admin_address = waiting.told["admin"].as_str().unwrap();
    assert_eq!(at_admin(admin_address, "/console", None).await.0, 200);
    let (status, _, problem) = at_admin(admin_address, "/v1/cluster", Some(&operator)).await;
    assert_eq!(status, 503, "{problem}");
}
