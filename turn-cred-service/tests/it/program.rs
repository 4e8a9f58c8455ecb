//! The binary: command line, settings, exit codes.

use std::fs;
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use turn_cred_service::credential::{self, Pseudonym};

use crate::support::coturn::Coturn;
use crate::support::{API_KEY, ApiResponse, JWT_SECRET, TURN_SECRET, token};

/// The binary with an environment of its own.
pub(crate) fn program(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turn-cred-service"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).kill_on_drop(true);
    command
}

pub(crate) async fn run(
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Output, String, String) {
    let output = program(arguments, variables).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

const USABLE: [(&str, &str); 5] = [
    ("TURN_CRED_LISTEN", "127.0.0.1:0"),
    ("TURN_CRED_ADMIN_LISTEN", "127.0.0.1:0"),
    ("TURN_CRED_URIS", "turn:127.0.0.1:3478"),
    ("TURN_CRED_SECRET", TURN_SECRET),
    ("TURN_CRED_JWT_SECRET", JWT_SECRET),
];

#[tokio::test]
async fn check_config_prints_what_is_in_force_and_no_secret() {
    let (output, stdout, stderr) = run(&["check-config", "--ttl", "20s"], &USABLE).await;
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let line = stdout.lines().find(|line| line.starts_with("ttl ")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["ttl", "20s", "(command", "line)"]);
    assert!(stdout.contains("********") && !stdout.contains("canary"), "{stdout}");
}

#[tokio::test]
async fn check_config_reports_every_fault_at_once_and_exits_64() {
    let variables = [
        ("TURN_CRED_TTL", "abc"),
        ("TURN_CRED_SECRET", "canary"),
        ("TURN_CRED_URIS", "turn:relay?transport=tls"),
        ("TURN_CRED_URLS", "turn:relay"),
        ("TURN_CRED_RATE_PER_IP", "often"),
    ];
    for arguments in [&["check-config"][..], &["serve"], &[]] {
        let (output, _, stderr) = run(arguments, &variables).await;
        assert_eq!(output.status.code(), Some(64), "{stderr}");
        for fault in [
            r#"TURN_CRED_TTL="abc" (environment) is not a duration: write 20s or 500ms"#,
            "TURN_CRED_SECRET (environment) is not usable: key 1 has 6 bytes",
            "may have the query ?transport=udp or ?transport=tcp and no other",
            "TURN_CRED_URLS (environment) is not a setting; did you mean TURN_CRED_URIS?",
            r#"TURN_CRED_RATE_PER_IP="often" (environment) is not a rate"#,
            "TURN_CRED_JWT_SECRET is not set",
        ] {
            assert!(stderr.contains(fault), "{fault} in {stderr}");
        }
        assert!(!stderr.contains("canary"), "{stderr}");
    }
}

#[tokio::test]
async fn check_config_refuses_a_file_in_which_no_whole_key_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("turn");
    for (content, fault) in [
        ("", "there is no key in it"),
        ("\n \t\r\n", "there is no key in it"),
        ("# canary-comment-that-is-longer-than-32-bytes\n", "there is no key in it"),
        ("canary\n", "key 1 has 6 bytes, 32 or more are needed"),
        ("canary-turn-secret-of-thirty-two-bytes\n\ncanary\n", "key 2 has 6 bytes"),
        ("\"canary-turn-secret-of-thirty-two-bytes\"", "key 1 begins with a quotation mark"),
        ("\u{feff}canary-turn-secret-of-thirty-two-bytes", "key 1 holds a character that is not"),
    ] {
        fs::write(&file, content).unwrap();
        let mut variables = USABLE.to_vec();
        variables.retain(|(name, _)| *name != "TURN_CRED_SECRET");
        variables.push(("TURN_CRED_SECRET_FILE", file.to_str().unwrap()));
        let (output, _, stderr) = run(&["check-config"], &variables).await;
        assert_eq!(output.status.code(), Some(64), "{content:?}: {stderr}");
        assert!(stderr.contains(fault) && stderr.contains("TURN_CRED_SECRET"), "{stderr}");
        assert!(!stderr.contains("canary"), "{stderr}");
    }
}

#[tokio::test]
async fn mint_needs_the_secret_only_and_prints_a_credential() {
    let secret = [("TURN_CRED_SECRET", TURN_SECRET)];
    let (output, stdout, stderr) = run(&["mint", "--sub", "ana", "--ttl", "60s"], &secret).await;
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let minted: Value = serde_json::from_str(&stdout).unwrap();
    let username = minted["username"].as_str().unwrap();
    assert_eq!(minted["credential"], credential::password(TURN_SECRET.as_bytes(), username));
    assert_eq!(minted["ttl"], 60);
    let pseudonym = Pseudonym::of(&"ana".parse().unwrap(), TURN_SECRET.as_bytes());
    assert!(username.ends_with(&format!(":{pseudonym}")), "{username}");

    assert_eq!(run(&["mint"], &secret).await.0.status.code(), Some(64));
    assert_eq!(run(&["mint", "--sub", ""], &secret).await.0.status.code(), Some(64));
    assert_eq!(run(&["mint", "--sub", "ana"], &[]).await.0.status.code(), Some(64));
}

#[tokio::test]
async fn the_doctor_prints_a_table_or_json_and_exits_1_when_something_failed() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let (url, certificate) = (coturn.tls().to_string(), coturn.certificate());
    let settings = [
        ("TURN_CRED_SECRET", TURN_SECRET),
        ("TURN_CRED_URIS", &url),
        ("TURN_CRED_RELAY_CA_FILE", certificate.to_str().unwrap()),
    ];
    // This coturn does not deny any ranges.
    let (output, table, stderr) = run(&["doctor"], &settings).await;
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for part in [url.as_str(), "  ok       certificate ", "  FAIL     peers ", "1 failed"] {
        assert!(table.contains(part), "{part} in {table}");
    }
    let (output, text, _) = run(&["doctor", "--json"], &settings).await;
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["verdict"], "fail");
    for text in [&table, &text] {
        assert!(!text.contains("canary") && !text.contains('\x1b'), "{text}");
    }

    // Denies everything but loopback and the public address that every call may need.
    let loopback = "allow-loopback-peers\ndenied-peer-ip=0.0.0.0-8.255.255.255\n\
        denied-peer-ip=10.0.0.0-126.255.255.255\ndenied-peer-ip=128.0.0.0-255.255.255.255";
    let coturn = Coturn::with_lines([127, 0, 0, 1], TURN_SECRET, loopback).await;
    let url = coturn.udp().to_string();
    let settings = [("TURN_CRED_SECRET", TURN_SECRET), ("TURN_CRED_URIS", &url)];
    let (output, table, _) = run(&["doctor", "--allow-loopback"], &settings).await;
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(table.contains("reaches 127.0.0.1"), "{table}");
}

#[tokio::test]
async fn the_doctor_needs_relays_a_secret_and_a_file_that_is_there() {
    let missing = [("TURN_CRED_RELAY_CA_FILE", "/nowhere/ca.pem")];
    let (output, _, stderr) = run(&["doctor"], &missing).await;
    assert_eq!(output.status.code(), Some(64));
    for fault in [
        "TURN_CRED_SECRET is needed",
        "TURN_CRED_URIS is needed",
        "TURN_CRED_RELAY_CA_FILE=\"/nowhere/ca.pem\" (environment) cannot be read",
    ] {
        assert!(stderr.contains(fault), "{fault} in {stderr}");
    }
}

#[tokio::test]
async fn the_help_teaches_and_shows_no_flag_for_a_secret() {
    let (output, stdout, _) = run(&["--help"], &[]).await;
    assert_eq!(output.status.code(), Some(0));
    for part in ["Examples:", "TURN_CRED_URIS", "--secret-file", "default: 600s", "check-config"] {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
    assert!(!stdout.contains("--secret "), "{stdout}");
}

#[tokio::test]
async fn it_says_where_it_listens_and_ends_with_0_when_asked() {
    let mut process = program(&["serve"], &USABLE).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let listening: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(listening["event"], "listening");
    assert_eq!(listening["service"], "turn-cred-service");
    assert!(listening["admin"].is_string());

    let url = format!("http://{}/v1/ice-servers", listening["public"].as_str().unwrap());
    let ask = || reqwest::Client::new().post(&url).bearer_auth(token("ana"));
    assert_eq!(ApiResponse::of(ask()).await.status, 200);
    assert_eq!(end(&mut process).await, Some(0));
    assert!(ask().send().await.is_err(), "the port is closed");
}

#[tokio::test]
async fn a_taken_address_is_an_error_with_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (output, _, stderr) = run(&["--listen", &address], &USABLE).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("cannot listen on") && stderr.contains(&address), "{stderr}");
}

#[tokio::test]
async fn logs_at_their_most_talkative_show_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let variables = [&USABLE[..], &[("TURN_CRED_API_KEYS", API_KEY)]].concat();
    let mut process = program(&["--log", "trace"], &variables)
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let listening: Value = serde_json::from_str(&line).unwrap();
    let url = format!("http://{}/v1/ice-servers", listening["public"].as_str().unwrap());
    let token = token("ana");
    let good = ApiResponse::of(reqwest::Client::new().post(&url).bearer_auth(&token)).await;
    let bad = format!("{token}x");
    assert_eq!(
        ApiResponse::of(reqwest::Client::new().post(&url).bearer_auth(&bad)).await.status,
        401
    );
    let ask = async |key| {
        let query = format!("service=turn&username=ana&key={key}");
        let url = url.replace("/v1/ice-servers", &format!("/turn?{query}"));
        ApiResponse::of(reqwest::Client::new().get(url)).await
    };
    let drafted = ask(API_KEY).await;
    assert_eq!(ask("canary-of-a-guess").await.status, 401);
    assert_eq!(end(&mut process).await, Some(0));

    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("rejected a request"), "{log}");
    let password = drafted.json["password"].as_str().unwrap();
    for secret in ["canary", token.as_str(), good.credential().1, password] {
        assert!(!log.contains(secret), "{secret} in the log");
    }
}

/// Sends SIGTERM and waits for the exit code.
async fn end(process: &mut tokio::process::Child) -> Option<i32> {
    let id = process.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    process.wait().await.unwrap().code()
}
