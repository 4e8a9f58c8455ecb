//! A Redis that restarts with or without the user of the nodes: what the node logs, and when it works again.

use serde_json::json;

use crate::program::{run, text};
use crate::support::node::{SECRET, token};
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;
use crate::support::redis::TestRedis;
use crate::support::topologies::{TestCluster, TestSentinels};

/// The words of the line in docs/run/redis.md that begins with `start`, with a password.
fn manual(start: &str) -> Vec<String> {
    let page = include_str!("../../../docs/run/redis.md");
    let line = page.lines().find(|line| line.starts_with(start)).unwrap();
    line.split_whitespace().map(|word| word.replace("PASSWORD", "pass")).collect()
}

async fn make_user(redis: &TestRedis) {
    let words = manual("ACL SETUSER signal ");
    redis.run::<String>(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

fn as_user(redis: &TestRedis) -> String {
    redis.url().replace("redis://", "redis://signal:pass@")
}

async fn node(url: &str) -> NodeProcess {
    let settings = [
        ("SIGNAL_NODE_BACKEND", "redis"),
        ("SIGNAL_NODE_REDIS_URL", url),
        ("SIGNAL_NODE_JWT_SECRET", SECRET),
        ("SIGNAL_NODE_LEASE", "1s"),
    ];
    NodeProcess::heard(&settings).await
}

/// Joins, again after each refusal that will pass, as every client does.
async fn joins_at_last(node: &NodeProcess) {
    joins_as(node, "cy").await;
}

async fn joins_as(node: &NodeProcess, who: &str) {
    let mut peer = TestPeer::at(node.address(), &token(who)).await;
    for attempt in 1.. {
        peer.resume("demo", who, attempt, None).await;
        let frame = peer.answer().await;
        if frame["type"] == "joined" {
            return;
        }
        assert_eq!(frame["retry"], json!(true), "{frame}");
    }
}

#[tokio::test]
async fn a_user_lost_in_a_restart_of_redis_is_named_with_what_to_do() {
    let mut redis = TestRedis::start().await;
    make_user(&redis).await;
    let mut node = node(&as_user(&redis)).await;
    redis.kill().await;
    redis.restart().await;
    let line = node.logs("WRONGPASS").await;
    assert!(line.contains("SIGNAL_NODE_REDIS_URL") && line.contains("ACL SAVE"), "{line}");
    make_user(&redis).await;
    joins_at_last(&node).await;
}

#[tokio::test]
async fn a_user_in_the_configuration_of_redis_outlives_its_restart() {
    let mut line = manual("user signal ");
    line[0] = "--user".to_owned();
    let mut redis = TestRedis::configured(&line).await;
    let node = node(&as_user(&redis)).await;
    joins_at_last(&node).await;
    redis.kill().await;
    redis.restart().await;
    joins_at_last(&node).await;
}

#[tokio::test]
async fn a_user_that_may_not_beat_is_named_with_what_to_do() {
    let redis = TestRedis::start().await;
    make_user(&redis).await;
    let mut node = node(&as_user(&redis)).await;
    redis.run::<String>(&["ACL", "SETUSER", "signal", "-hincrby"]).await;
    let line = node.logs("can't run this command").await;
    assert!(line.contains("commands, keys and channels"), "{line}");
}

#[tokio::test]
async fn a_node_and_the_doctor_name_a_wrong_password_and_what_to_do() {
    let redis = TestRedis::start().await;
    let url = as_user(&redis);
    let settings = [
        ("SIGNAL_NODE_BACKEND", "redis"),
        ("SIGNAL_NODE_REDIS_URL", url.as_str()),
        ("SIGNAL_NODE_JWT_SECRET", SECRET),
        ("SIGNAL_NODE_LISTEN", "127.0.0.1:0"),
        ("SIGNAL_NODE_ADMIN_LISTEN", "127.0.0.1:0"),
    ];
    let start = tokio::task::spawn_blocking({
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        move || {
            let settings = settings.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
            [run(&[], &settings), run(&["doctor"], &settings[1..2])]
        }
    });
    let [served, examined] = start.await.unwrap();
    assert_eq!(served.status.code(), Some(1));
    assert_eq!(examined.status.code(), Some(1));
    for told in [text(&served.stderr), text(&examined.stdout)] {
        assert!(told.contains("WRONGPASS") && told.contains("ACL SAVE"), "{told}");
    }
}

/// A password that a line of words cannot hold as it is.
const ODD_PASSWORD: &str = " p@ss \"w/rd\" \\x41'%20é";

#[tokio::test]
async fn a_password_of_any_characters_lets_a_node_in_over_one_server_sentinels_and_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{ODD_PASSWORD}\n")).unwrap();
    let with_password = [
        ("SIGNAL_NODE_REDIS_PASSWORD_FILE", file.to_str().unwrap()),
        ("SIGNAL_NODE_REDIS_SENTINEL_PASSWORD_FILE", file.to_str().unwrap()),
    ];
    let single = TestRedis::start().await;
    single.run::<String>(&["CONFIG", "SET", "requirepass", ODD_PASSWORD]).await;
    joins_at_last(&NodeProcess::at(&single.url(), &with_password[..1]).await).await;
    let cluster = TestCluster::start().await;
    cluster.require_password(ODD_PASSWORD).await;
    joins_at_last(&NodeProcess::at(&cluster.url(), &with_password[..1]).await).await;
    let sentinels = TestSentinels::start().await;
    sentinels.require_password(ODD_PASSWORD).await;
    let url = sentinels.url().replace("sentinelServiceName=rooms&", "");
    let named = [&with_password[..], &[("SIGNAL_NODE_REDIS_SENTINEL_NAME", "rooms")]].concat();
    joins_at_last(&NodeProcess::at(&url, &named).await).await;
}

#[tokio::test]
async fn a_password_that_is_changed_under_way_is_read_again_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "old\n").unwrap();
    let redis = TestRedis::start().await;
    redis.run::<String>(&["ACL", "SETUSER", "node", "on", ">old", "~*", "&*", "+@all"]).await;
    let settings = [
        ("SIGNAL_NODE_REDIS_USERNAME", "node"),
        ("SIGNAL_NODE_REDIS_PASSWORD_FILE", file.to_str().unwrap()),
        ("SIGNAL_NODE_LEASE", "1s"),
    ];
    let node = NodeProcess::at(&redis.url(), &settings).await;
    joins_at_last(&node).await;
    redis.run::<String>(&["ACL", "SETUSER", "node", "resetpass", ">new"]).await;
    std::fs::write(&file, "new\n").unwrap();
    redis.run::<i64>(&["CLIENT", "KILL", "USER", "node"]).await;
    joins_as(&node, "di").await;
}
