//! The node as the program that operators start.

use std::process::{Command, Output};

use crate::support::node::{SECRET, TestNode, token};
use crate::support::peer::TestPeer;
use crate::support::process::{NodeProcess, PROGRAM};
use crate::support::redis::TestRedis;

pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().envs(variables.iter().copied());
    command.output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_config_names_every_fault_at_once_and_exits_64() {
    let variables = [
        ("SIGNAL_NODE_GRACE", "3s"),
        ("SIGNAL_NODE_BACKEND", "redis"),
        ("SIGNAL_NODE_RATE", "fast"),
        ("SIGNAL_NODE_JWT_SECRET", "short"),
        ("SIGNAL_NODE_GRASE", "30s"),
        ("SIGNAL_NODE_OUTBOX_BYTES", "64KiB"),
        ("SIGNAL_NODE_JWKS_URL", "http://ana:hidden@id.example/keys?key=hidden"),
    ];
    let output = run(&["check-config"], &variables);
    assert_eq!(output.status.code(), Some(64));
    let told = text(&output.stderr);
    for fault in [
        "SIGNAL_NODE_GRACE=\"3s\" (environment) is too short",
        "SIGNAL_NODE_REDIS_URL is needed",
        "SIGNAL_NODE_RATE=\"fast\" (environment) is not a rate",
        "SIGNAL_NODE_JWT_SECRET (environment) is not usable",
        "SIGNAL_NODE_GRASE (environment) is not a setting; did you mean SIGNAL_NODE_GRACE?",
        "SIGNAL_NODE_OUTBOX_BYTES=\"64KiB\" (environment) is too small for one message",
        "SIGNAL_NODE_JWKS_URL=\"http://********@id.example/keys?********\" (environment)",
    ] {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    assert!(!told.contains("hidden") && !text(&output.stdout).contains("hidden"), "{told}");
}

#[test]
fn settings_that_let_a_receiver_be_closed_are_refused() {
    let refused = |name: &str, value: &str| {
        let output = run(&["check-config"], &[(name, value)]);
        (output.status.code(), text(&output.stderr))
    };
    for (name, value, what) in [
        ("SIGNAL_NODE_OUTBOX_BYTES", "86KiB", "is too small for one message of max_message"),
        ("SIGNAL_NODE_ROOM_CAPACITY", "1000", "for the roster of a room of room_capacity members"),
    ] {
        let (code, told) = refused(name, value);
        assert_eq!(code, Some(64), "{name}={value}: {told}");
        assert!(told.contains(what), "{what}: {told}");
    }
    assert_eq!(refused("SIGNAL_NODE_ROOM_CAPACITY", "240").0, Some(0));
}

#[test]
fn check_config_shows_what_is_in_force_with_secrets_masked() {
    let variables = [("SIGNAL_NODE_JWT_SECRET", SECRET), ("SIGNAL_NODE_GRACE", "45s")];
    let output = run(&["check-config"], &variables);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains("45s") && told.contains("environment"), "{told}");
    assert!(told.contains("********") && !told.contains(SECRET), "{told}");
}

#[test]
fn a_public_node_without_keys_refuses_to_start() {
    let output = run(&["serve", "--listen", "0.0.0.0:0"], &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("SIGNAL_NODE_JWT_SECRET_FILE"));
}

#[test]
fn a_minted_token_has_three_parts_and_needs_a_secret() {
    let mint =
        ["token", "mint", "--sub", "ana", "--room", "demo", "--can", "moderate", "--ttl", "5m"];
    let output = run(&mint, &[("SIGNAL_NODE_JWT_SECRET", SECRET)]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim().split('.').count(), 3);
    assert_eq!(run(&mint, &[]).status.code(), Some(64));
}

#[test]
fn a_token_is_checked_as_the_node_would_and_is_no_argument() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let check = |token: &str, variables: &[(&str, &str)]| {
        std::fs::write(&file, token).unwrap();
        let output = run(&["token", "check", file.to_str().unwrap()], variables);
        (output.status.code(), text(&output.stdout))
    };
    let secret = ("SIGNAL_NODE_JWT_SECRET", SECRET);
    let (code, told) = check(&format!("{}\n", token("ana")), &[secret]);
    assert_eq!(code, Some(0), "{told}");
    for line in ["taken    yes", "subject  ana", "rooms    *", "rights   signal", "id       none"] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let audience = ("SIGNAL_NODE_JWT_AUDIENCE", "calls");
    let (code, told) = check(&token("ana"), &[secret, audience]);
    assert_eq!((code, told.contains("refused: claim aud")), (Some(1), true), "{told}");
    let other = ("SIGNAL_NODE_JWT_SECRET", "another-secret-another-secret-another");
    let (code, told) = check(&token("ana"), &[other]);
    assert_eq!((code, told.as_str()), (Some(1), "refused: the signature of the token is wrong\n"));
    assert_eq!(run(&["token", "check", "no-such-file"], &[secret]).status.code(), Some(1));
}

#[test]
fn help_teaches_by_example() {
    let output = run(&["--help"], &[]);
    let told = text(&output.stdout);
    for word in ["Examples:", "SIGNAL_NODE_LISTEN", "[default: 30s]", "check-config", "token"] {
        assert!(told.contains(word), "{word}");
    }
}

#[tokio::test]
async fn a_started_node_says_where_it_listens_and_ends_drained_on_sigterm() {
    let node = NodeProcess::start(&[]).await;
    let told = &node.told;
    assert_eq!((&told["event"], &told["service"]), (&"listening".into(), &"signal-node".into()));
    let ready = format!("http://{}/readyz", node.admin());
    assert_eq!(reqwest::get(ready).await.unwrap().status(), 200);
    assert_eq!(node.terminate().await, Some(0));
}

#[tokio::test]
async fn a_node_without_keys_prints_the_address_that_lets_in_and_one_with_keys_prints_none() {
    let node = NodeProcess::start(&[]).await;
    let page = node.told["page"].as_str().unwrap();
    let (address, token) = page.split_once("#token=").unwrap();
    assert_eq!(address, format!("http://{}/?room=demo", node.address()));
    // As subprotocol, which is how the SDK sends it.
    TestPeer::at(node.address(), token).await.join("demo", "ana").await;
    let with_keys = NodeProcess::start(&[("SIGNAL_NODE_JWT_SECRET", SECRET)]).await;
    assert_eq!(with_keys.told.get("page"), None);
}

#[tokio::test]
async fn a_node_that_has_ended_leaves_its_members_away_and_not_as_ghosts() {
    let redis = TestRedis::start().await;
    let [here, _] = TestNode::two(&redis).await;
    let node = NodeProcess::over(&redis, &[("SIGNAL_NODE_DRAIN_DEADLINE", "2s")]).await;
    let mut ana = TestPeer::holder(&here, "ana").await;
    ana.join("demo", "ana").await;
    let mut others = Vec::new();
    for who in ["b1", "b2", "b3", "b4", "b5", "b6"] {
        let mut peer = TestPeer::at(node.address(), &token(who)).await;
        peer.join("demo", who).await;
        ana.expect("peer_joined").await;
        others.push(peer);
    }
    assert_eq!(node.terminate().await, Some(0));
    for _ in &others {
        assert_eq!(ana.expect("peer_updated").await["peer"]["away"], true);
    }
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell], &[]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("check-config"), "{shell}");
    }
    assert_eq!(run(&["completions", "dos"], &[]).status.code(), Some(64));
}

#[tokio::test]
async fn the_log_line_of_a_rejected_connection_names_the_claim_and_not_the_token() {
    let settings = [("SIGNAL_NODE_JWT_SECRET", SECRET), ("SIGNAL_NODE_JWT_ISSUER", "https://id")];
    let mut node = NodeProcess::heard(&settings).await;
    let token = token("ana");
    assert_eq!(TestPeer::dial(node.address(), &token).await.closed().await, 4100);
    let line = node.logs("connection ended: ").await;
    let cause = "connection ended: unauthorized: claim iss: the token is from another issuer";
    assert!(line.contains(cause), "{line}");
    let signature = token.rsplit_once('.').unwrap().1;
    assert!(!line.contains(signature), "{line}");
}
