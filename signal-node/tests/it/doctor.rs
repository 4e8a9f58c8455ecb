//! `signal-node doctor`: against clusters that are well, and such that are not.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::node::{SECRET, TestNode, token};
use crate::support::peer::TestPeer;
use crate::support::process::{NodeProcess, PROGRAM};
use crate::support::redis::TestRedis;

/// Runs doctor and returns its exit code and its findings.
pub(crate) async fn doctor(
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, Vec<Finding>) {
    let mut command = Command::new(PROGRAM);
    command.env_clear().envs(variables.iter().copied()).args(["doctor", "--json"]).args(arguments);
    let output = command.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap_or_default();
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    (output.status.code(), checks.into_iter().map(Finding).collect())
}

#[derive(Debug)]
pub(crate) struct Finding(Value);

impl Finding {
    fn is(&self, check: &str, verdict: &str) -> bool {
        self.0["check"] == check && self.0["verdict"] == verdict
    }
}

pub(crate) fn has(findings: &[Finding], check: &str, verdict: &str) {
    assert!(
        findings.iter().any(|finding| finding.is(check, verdict)),
        "{check} {verdict}: {findings:?}"
    );
}

#[tokio::test]
async fn a_cluster_that_is_well_gets_no_complaint_but_for_what_it_has_not() {
    let node = TestNode::closed().await;
    let url = format!("ws://{}", node.address());
    let secret = [("SIGNAL_NODE_JWT_SECRET", SECRET)];
    let (code, findings) = doctor(&["--url", &url, "--idle", "1s"], &secret).await;
    assert_eq!(code, Some(0), "{findings:?}");
    for check in ["upgrade", "origin", "join", "echo", "idle"] {
        has(&findings, check, "ok");
    }
    // There is one node, and no relay.
    has(&findings, "nodes", "warn");
    has(&findings, "ice", "warn");
}

#[tokio::test]
async fn a_page_of_one_s_own_is_admitted_by_its_exact_origin_only() {
    let node = NodeProcess::start(&[
        ("SIGNAL_NODE_JWT_SECRET", SECRET),
        ("SIGNAL_NODE_ALLOWED_ORIGINS", "http://localhost:3000"),
    ])
    .await;
    let url = format!("ws://{}", node.address());
    let secret = [("SIGNAL_NODE_JWT_SECRET", SECRET)];
    let asked = async |origin: &str| doctor(&["--url", &url, "--origin", origin], &secret).await;
    let (code, findings) = asked("http://localhost:3000").await;
    assert_eq!(code, Some(0), "{findings:?}");
    for refused in ["http://127.0.0.1:3000", "https://localhost:3000"] {
        let (code, findings) = asked(refused).await;
        assert_eq!(code, Some(1), "{findings:?}");
        has(&findings, "origin", "fail");
    }
}

#[tokio::test]
async fn redis_is_looked_at_as_a_node_has_it() {
    let redis = TestRedis::start().await;
    let (code, findings) = doctor(&[], &[("SIGNAL_NODE_REDIS_URL", &redis.url())]).await;
    assert_eq!(code, Some(0), "{findings:?}");
    for check in ["redis", "eviction", "work", "latency"] {
        has(&findings, check, "ok");
    }
}

#[tokio::test]
async fn a_redis_that_others_can_reach_is_warned_of_at_the_start_and_by_the_doctor() {
    let redis = TestRedis::start().await;
    // Connects to this machine, and does not say that it is this one.
    let url = redis.url().replace("127.0.0.1", "0.0.0.0");
    let (code, findings) = doctor(&[], &[("SIGNAL_NODE_REDIS_URL", &url)]).await;
    assert_eq!(code, Some(0), "{findings:?}");
    has(&findings, "way", "warn");
    let settings = [
        ("SIGNAL_NODE_BACKEND", "redis"),
        ("SIGNAL_NODE_REDIS_URL", &*url),
        ("SIGNAL_NODE_JWT_SECRET", SECRET),
    ];
    let mut node = NodeProcess::heard(&settings).await;
    node.logs("a Redis that is reached without a password, and in clear").await;
}

#[tokio::test]
async fn a_redis_that_forgets_or_forbids_is_told() {
    let redis = TestRedis::start().await;
    redis.run::<String>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let (code, findings) = doctor(&[], &[("SIGNAL_NODE_REDIS_URL", &redis.url())]).await;
    assert_eq!(code, Some(1));
    has(&findings, "eviction", "fail");
    redis
        .run::<String>(&[
            "ACL", "SETUSER", "poor", "on", ">pass", "~*", "&*", "+@all", "-evalsha", "-eval",
        ])
        .await;
    let url = redis.url().replace("redis://", "redis://poor:pass@");
    let (code, findings) = doctor(&[], &[("SIGNAL_NODE_REDIS_URL", &url)]).await;
    assert_eq!(code, Some(1));
    has(&findings, "work", "fail");
    assert!(
        findings.iter().any(|f| f.0["found"].as_str().unwrap().contains("NOPERM")),
        "{findings:?}"
    );
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_with_what_to_do() {
    let node = TestNode::closed().await;
    let url = format!("ws://{}", node.address());
    let (code, findings) = doctor(&["--url", &url], &[]).await;
    assert_eq!(code, Some(1));
    has(&findings, "upgrade", "fail");
    assert!(findings[0].0["advice"].as_str().unwrap().contains("--token-file"), "{findings:?}");
    let (code, findings) = doctor(&["--url", "ws://127.0.0.1:1"], &[]).await;
    assert_eq!(code, Some(1));
    assert!(findings[0].0["found"].as_str().unwrap().contains("nothing answers there"));
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_a_wrong_use() {
    for arguments in [&["--url", "ftp://here"][..], &["--token-file", "/nowhere"], &[]] {
        assert_eq!(doctor(arguments, &[]).await.0, Some(64), "{arguments:?}");
    }
}

/// The line of docs/run/redis.md with which an operator makes the user of the nodes.
pub(crate) fn least_user() -> Vec<String> {
    let page = include_str!("../../../docs/run/redis.md");
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER signal ")).unwrap();
    line.split_whitespace().map(|word| word.replace("PASSWORD", "pass")).collect()
}

#[tokio::test]
async fn the_user_of_the_manual_may_do_all_that_a_node_does_and_nothing_more() {
    let redis = TestRedis::start().await;
    let words = least_user();
    redis.run::<String>(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let url = redis.url().replace("redis://", "redis://signal:pass@");
    for publishing in ["sharded", "plain"] {
        let settings =
            [("SIGNAL_NODE_REDIS_URL", url.as_str()), ("SIGNAL_NODE_REDIS_PUBLISHING", publishing)];
        let (code, findings) = doctor(&[], &settings).await;
        assert_eq!(code, Some(0), "{publishing}: {findings:?}");
    }
    let settings = [("SIGNAL_NODE_REDIS_URL", url.as_str())];
    let (one, two) =
        (NodeProcess::at(&url, &settings).await, NodeProcess::at(&url, &settings).await);
    let (mut ana, mut bo) = (
        TestPeer::at(one.address(), &token("ana")).await,
        TestPeer::at(two.address(), &token("bo")).await,
    );
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    ana.expect("peer_joined").await;
    for data in ["kept", "volatile"] {
        let mut signal = json!({"type": "signal", "room": "demo", "data": data});
        signal[if data == "kept" { "mid" } else { "volatile" }] =
            if data == "kept" { json!(1) } else { json!(true) };
        ana.say(signal).await;
        assert_eq!(bo.expect("signal").await["data"], data);
    }
    drop(bo);
    while ana.next().await["peer"]["away"] != true {}
    let dry = |words: &[&str]| {
        let words: Vec<String> =
            ["ACL", "DRYRUN", "signal"].iter().chain(words).map(|w| (*w).to_owned()).collect();
        let redis = &redis;
        async move { redis.run::<String>(&words.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    for refused in [
        &["GET", "other"][..],
        &["KEYS", "*"],
        &["CONFIG", "GET", "*"],
        &["FLUSHALL"],
        &["SET", "other", "1"],
        &["PUBLISH", "other", "1"],
    ] {
        assert_ne!(dry(refused).await, "OK", "{refused:?}");
    }
}
