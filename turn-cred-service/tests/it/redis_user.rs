//! The relays' Redis restarts without the user of the service: what the service logs.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::program::{program, run};
use crate::support::JWT_SECRET;
use crate::support::redis::Redis;

const USER: [&str; 7] = ["ACL", "SETUSER", "turncred", "on", ">pass", "~*", "+@all"];

async fn make_user(redis: &Redis) {
    let words: Vec<&str> = USER.into_iter().chain(["allchannels"]).collect();
    redis.run::<String>(&words).await;
}

fn settings(url: &str) -> [(&str, &str); 6] {
    [
        ("TURN_CRED_LISTEN", "127.0.0.1:0"),
        ("TURN_CRED_ADMIN_LISTEN", "127.0.0.1:0"),
        ("TURN_CRED_URIS", "turn:127.0.0.1:9"),
        ("TURN_CRED_REDIS_URL", url),
        ("TURN_CRED_REALM", "turn.test"),
        ("TURN_CRED_JWT_SECRET", JWT_SECRET),
    ]
}

#[tokio::test]
async fn a_user_lost_in_a_restart_of_the_relays_redis_is_named_with_what_to_do() {
    let mut redis = Redis::start().await;
    make_user(&redis).await;
    let url = redis.url().replace("redis://", "redis://turncred:pass@");
    let mut command = program(&[], &settings(&url));
    let mut service = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(service.stdout.take().unwrap()).lines();
    told.next_line().await.unwrap().expect("where it listens");
    redis.restart().await;
    let mut log = BufReader::new(service.stderr.take().unwrap()).lines();
    loop {
        let line = log.next_line().await.unwrap().expect("a service that goes on");
        if line.contains("WRONGPASS") {
            assert!(line.contains("TURN_CRED_REDIS_URL") && line.contains("ACL SAVE"), "{line}");
            return;
        }
    }
}

#[tokio::test]
async fn a_service_names_a_wrong_password_at_its_start_and_what_to_do() {
    let redis = Redis::start().await;
    let url = redis.url().replace("redis://", "redis://turncred:pass@");
    let (output, _, stderr) = run(&[], &settings(&url)).await;
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("WRONGPASS") && stderr.contains("ACL SAVE"), "{stderr}");
}

#[tokio::test]
async fn a_redis_behind_tls_is_reached_with_a_certificate_and_a_password_of_any_characters() {
    let redis = Redis::start().await;
    let (url, cert, key) = redis.with_tls().await;
    let password = " p@ss \"w/rd\" \\x41'%20é";
    redis.run::<String>(&["CONFIG", "SET", "requirepass", password]).await;
    let tls = [
        ("TURN_CRED_REDIS_PASSWORD", password),
        ("TURN_CRED_REDIS_CA_FILE", cert.as_str()),
        ("TURN_CRED_REDIS_CERT_FILE", cert.as_str()),
        ("TURN_CRED_REDIS_KEY_FILE", key.as_str()),
    ];
    let all = [&settings(&url)[..], &tls].concat();
    let mut service = program(&[], &all).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(service.stdout.take().unwrap()).lines();
    let line = told.next_line().await.unwrap().expect("where it listens");
    assert!(line.contains("listening"), "{line}");
    let (output, _, stderr) = run(&["check-config"], &all[..all.len() - 1]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("TURN_CRED_REDIS_KEY_FILE is needed"), "{stderr}");
}
