//! `signal-node doctor`: against clusters that are well, and such that are not.

use serde_json::Value;
use tokio::process::Command;

use crate::support::node::{SECRET, TestNode};
use crate::support::process::PROGRAM;
use crate::support::redis::TestRedis;

/// Runs doctor and returns its exit code and its findings.
async fn doctor(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, Vec<Finding>) {
    let mut command = Command::new(PROGRAM);
    command.env_clear().envs(variables.iter().copied()).args(["doctor", "--json"]).args(arguments);
    let output = command.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap_or_default();
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    (output.status.code(), checks.into_iter().map(Finding).collect())
}

#[derive(Debug)]
struct Finding(Value);

impl Finding {
    fn is(&self, check: &str, verdict: &str) -> bool {
        self.0["check"] == check && self.0["verdict"] == verdict
    }
}

fn has(findings: &[Finding], check: &str, verdict: &str) {
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
async fn redis_is_looked_at_as_a_node_has_it() {
    let redis = TestRedis::start().await;
    let (code, findings) = doctor(&[], &[("SIGNAL_NODE_REDIS_URL", &redis.url())]).await;
    assert_eq!(code, Some(0), "{findings:?}");
    for check in ["redis", "eviction", "work", "latency"] {
        has(&findings, check, "ok");
    }
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
