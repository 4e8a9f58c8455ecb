//! The internal listener.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;
use turn_cred_service::credential;

use crate::support::{ApiResponse, TURN_SECRET, TestService, token};

const TOKEN: &str = "canary-internal-token-of-thirty-two-bytes";
const PATH: &str = "/internal/v1/ice-servers";

fn over_socket(path: &Path) -> RequestBuilder {
    let client = Client::builder().unix_socket(path).build().unwrap();
    client.post(format!("http://localhost{PATH}"))
}

#[tokio::test]
async fn the_local_node_names_the_subject_over_a_socket_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("turn-cred.sock");
    let listen = format!("unix:{}", path.display());
    let service = TestService::start([("TURN_CRED_INTERNAL_LISTEN", listen.as_str())]).await;
    let ask =
        |subject: &str| over_socket(&path).json(&json!({ "subject": subject, "room": "demo" }));

    let answer = ApiResponse::of(ask("ana")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    assert_eq!(answer.header("cache-control"), "no-store");
    let (username, password) = answer.credential();
    assert_eq!(password, credential::password(TURN_SECRET.as_bytes(), username));

    let public = ApiResponse::of(service.ice_servers("ana")).await;
    let pseudonym =
        |answer: &ApiResponse| answer.credential().0.split_once(':').unwrap().1.to_owned();
    assert_eq!(pseudonym(&public), pseudonym(&answer), "one subject is one user to the relay");

    let again = ApiResponse::of(ask("ana")).await;
    assert_eq!(again.credential(), answer.credential(), "cached until it is due for renewal");
    assert_ne!(ApiResponse::of(ask("bob")).await.credential(), answer.credential());
}

#[tokio::test]
async fn anonymous_clients_of_a_network_share_a_pseudonym_that_no_subject_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("turn-cred.sock");
    let listen = format!("unix:{}", path.display());
    let _service = TestService::start([("TURN_CRED_INTERNAL_LISTEN", listen.as_str())]).await;
    let user = async |body: Value| {
        let answer = ApiResponse::of(over_socket(&path).json(&body)).await;
        answer.credential().0.split_once(':').unwrap().1.to_owned()
    };
    let ana = user(json!({ "subject": "s1", "network": "192.0.2.7" })).await;
    assert_eq!(user(json!({ "subject": "s2", "network": "192.0.2.7" })).await, ana);
    assert_ne!(user(json!({ "subject": "s1", "network": "192.0.2.8" })).await, ana);
    assert_ne!(user(json!({ "subject": "192.0.2.7" })).await, ana);
    let answer =
        ApiResponse::of(over_socket(&path).json(&json!({ "subject": "s", "network": "x" }))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "bad_request"));
}

#[tokio::test]
async fn a_browser_gets_nothing_from_the_internal_listener() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("turn-cred.sock");
    let listen = format!("unix:{}", path.display());
    let _service = TestService::start([("TURN_CRED_INTERNAL_LISTEN", listen.as_str())]).await;
    let ask = || over_socket(&path).json(&json!({ "subject": "ana" }));

    for (name, value) in
        [("origin", "http://localhost"), ("origin", "null"), ("host", "evil.example")]
    {
        let answer = ApiResponse::of(ask().header(name, value)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert_eq!(answer.code(), "forbidden");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    for subject in ["", &"a".repeat(1021)] {
        let answer = ApiResponse::of(over_socket(&path).json(&json!({ "subject": subject }))).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "bad_request"));
    }
    assert_eq!(
        ApiResponse::of(over_socket(&path)).await.code(),
        "bad_request",
        "no subject at all"
    );
}

#[tokio::test]
async fn over_tcp_a_bearer_token_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
    let service = TestService::start([
        ("TURN_CRED_INTERNAL_LISTEN", "127.0.0.1:0"),
        ("TURN_CRED_INTERNAL_TOKEN_FILE", token_file.to_str().unwrap()),
    ])
    .await;
    let address = service.running.addresses.internal.clone().unwrap();
    let ask =
        || Client::new().post(format!("http://{address}{PATH}")).json(&json!({"subject": "a"}));

    assert_eq!(ApiResponse::of(ask().bearer_auth(TOKEN)).await.status, StatusCode::OK);
    for request in [ask(), ask().bearer_auth("wrong"), ask().bearer_auth(token("ana"))] {
        let answer = ApiResponse::of(request).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "unauthorized"));
    }
    let from_page = ask().bearer_auth(TOKEN).header("origin", "https://app.example");
    assert_eq!(ApiResponse::of(from_page).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn over_tcp_a_node_may_ask_by_any_name_but_not_without_the_token() {
    let service = TestService::start([
        ("TURN_CRED_INTERNAL_LISTEN", "127.0.0.1:0"),
        ("TURN_CRED_INTERNAL_TOKEN", TOKEN),
    ])
    .await;
    let address = service.running.addresses.internal.clone().unwrap();
    for host in ["calls-signal-cluster-turn:8091", "turn.calls.svc.cluster.local", "[::1]:8091"] {
        let ask =
            |path: &str| Client::new().get(format!("http://{address}{path}")).header("host", host);
        let post = || {
            let request = Client::new().post(format!("http://{address}{PATH}"));
            request.header("host", host).json(&json!({"subject": "a"}))
        };
        assert_eq!(
            ApiResponse::of(post().bearer_auth(TOKEN)).await.status,
            StatusCode::OK,
            "{host}"
        );
        assert_eq!(ApiResponse::of(post()).await.status, StatusCode::UNAUTHORIZED, "{host}");
        let changes = ask("/internal/v1/changes").bearer_auth(TOKEN);
        assert_eq!(ApiResponse::of(changes).await.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn a_waiting_changes_request_ends_at_once_on_a_change_and_on_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("turn-cred.sock");
    let listen = format!("unix:{}", path.display());
    let service = TestService::start([("TURN_CRED_INTERNAL_LISTEN", listen.as_str())]).await;
    let client = Client::builder().unix_socket(path.as_path()).build().unwrap();
    let wait = |after: String| client.get(format!("http://localhost/internal/v1/changes{after}"));
    let first = ApiResponse::of(wait(String::new())).await;
    assert_eq!(first.status, StatusCode::OK);
    let after = |answer: &ApiResponse| format!("?after={}", answer.json["number"]);

    let waiting = tokio::spawn(ApiResponse::of(wait(after(&first))));
    service.running.issuer.changes().notify(signal_protocol::IceReason::Drain);
    let told = waiting.await.unwrap();
    assert_eq!(told.json["reason"], "drain");
    assert_ne!(told.json["number"], first.json["number"]);

    let waiting = tokio::spawn(ApiResponse::of(wait(after(&told))));
    service.life.soft.cancel();
    // Without a change, both requests would take 25 s.
    let ended = timeout(Duration::from_secs(5), service.life.finished()).await;
    assert!(ended.is_ok(), "the service waits for who waits");
    // The request may have arrived after the shutdown.
    drop(waiting.await);
}

#[tokio::test]
async fn a_browser_gets_no_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("turn-cred.sock");
    let listen = format!("unix:{}", path.display());
    let _service = TestService::start([("TURN_CRED_INTERNAL_LISTEN", listen.as_str())]).await;
    let client = Client::builder().unix_socket(path.as_path()).build().unwrap();
    let ask = client.get("http://localhost/internal/v1/changes").header("origin", "null");
    assert_eq!(ApiResponse::of(ask).await.code(), "forbidden");
}
