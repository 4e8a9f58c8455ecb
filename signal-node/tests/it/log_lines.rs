//! What the node logs of its connections.

use serde_json::Value;

use crate::support::node::{SECRET, token};
use crate::support::peer::TestPeer;
use crate::support::process::NodeProcess;

const KEYS: (&str, &str) = ("SIGNAL_NODE_JWT_SECRET", SECRET);

/// Joins a room as `ana` and goes; returns what the node logs up to `last`.
async fn lines_of_a_visit(settings: &[(&str, &str)], last: &str) -> Vec<Value> {
    let settings: Vec<_> = settings.iter().copied().chain([KEYS]).collect();
    let mut node = NodeProcess::heard(&settings).await;
    let mut ana = TestPeer::at(node.address(), &token("ana")).await;
    ana.join("demo", "ana").await;
    drop(ana);
    let lines = node.logs_up_to(last).await;
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn about<'a>(lines: &'a [Value], message: &str) -> &'a Value {
    let is_it = |line: &&Value| line["fields"]["message"].as_str().unwrap().starts_with(message);
    let found: Vec<_> = lines.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{message}: {lines:?}");
    &found[0]["fields"]
}

#[tokio::test]
async fn a_socket_has_one_line_when_it_opens_and_one_when_it_ends() {
    let lines = lines_of_a_visit(&[], "connection ended").await;
    let opened = about(&lines, "connection opened");
    let ended = about(&lines, "connection ended");
    for field in ["socket.id", "node.id", "user", "address"] {
        assert!(opened[field].is_string(), "{field}: {opened}");
        assert_eq!(opened[field], ended[field], "{field}");
    }
    assert_eq!((&ended["user"], &ended["address"]), (&"ana".into(), &"127.0.0.0/24".into()));
    assert_eq!((&ended["room.id"], &ended["close.code"]), (&"demo".into(), &"none".into()));
    assert!(ended["peer.id"].as_str().unwrap().starts_with("p_"), "{ended}");
    assert_eq!((&ended["frames.received"], &ended["frames.sent"]), (&1.into(), &2.into()));
    for bytes in ["bytes.received", "bytes.sent"] {
        assert!(ended[bytes].as_u64().unwrap() > 50, "{ended}");
    }
    assert!(ended["seconds"].as_f64().unwrap() > 0.0, "{ended}");
}

#[tokio::test]
async fn the_address_of_a_client_is_logged_as_far_as_the_operator_says() {
    for (detail, shown) in [("full", Value::from("127.0.0.1")), ("none", Value::Null)] {
        let settings = [("SIGNAL_NODE_LOG_ADDRESSES", detail)];
        let lines = lines_of_a_visit(&settings, "connection ended").await;
        for message in ["connection opened", "connection ended"] {
            assert_eq!(about(&lines, message)["address"], shown, "{message}");
        }
    }
}

#[tokio::test]
async fn each_join_is_a_line_with_room_and_peer_for_who_debugs() {
    let lines =
        lines_of_a_visit(&[("SIGNAL_NODE_LOG", "signal_node=debug")], "connection ended").await;
    let joined = about(&lines, "joined room demo");
    assert_eq!(joined["room.id"], "demo");
    assert_eq!(joined["peer.id"], about(&lines, "connection ended")["peer.id"]);
}
