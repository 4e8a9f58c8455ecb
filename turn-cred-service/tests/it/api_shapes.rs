//! The APIs of other services.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use service_kit::clock;
use service_kit::tokens::{Claims, mint};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use turn_cred_service::credential::{self, Pseudonym};

use crate::support::{API_KEY, ApiResponse, JWT_SECRET, TURN_SECRET, TestService, token};

const MATRIX: &str = "/_matrix/client/v3/voip/turnServer";
const CLOUDFLARE: &str = "/v1/turn/keys/backend/credentials/generate-ice-servers";
const KEYS: (&str, &str) = ("TURN_CRED_API_KEYS", API_KEY);

/// The pseudonym that relays see for a subject.
fn pseudonym(subject: &str) -> String {
    Pseudonym::of(&subject.parse().unwrap(), TURN_SECRET.as_bytes()).to_string()
}

/// Checks that a username belongs to `subject` and the password matches.
fn check(username: &Value, password: &Value, subject: &str) {
    let username = username.as_str().unwrap();
    assert_eq!(username.split_once(':').unwrap().1, pseudonym(subject));
    assert_eq!(*password, credential::password(TURN_SECRET.as_bytes(), username));
}

fn get(service: &TestService, path: &str) -> RequestBuilder {
    Client::new().get(service.at(path))
}

fn cloudflare(service: &TestService, path: &str, body: &Value) -> RequestBuilder {
    Client::new().post(service.at(path)).bearer_auth(API_KEY).json(body)
}

#[tokio::test]
async fn a_refused_caller_has_no_connection_to_go_on_with() {
    let service = TestService::start([KEYS, ("TURN_CRED_RATE_PER_IP", "2/h")]).await;
    let wrong = "Authorization: Bearer e30.e30.e30";
    let asks = [
        ("POST /v1/ice-servers", 401),
        ("GET /turn?key=wrong&username=ana", 401),
        ("GET /_matrix/client/v3/voip/turnServer", 429),
    ];
    for (ask, status) in asks {
        let head = format!("{ask} HTTP/1.1\r\nHost: x\r\n{wrong}\r\nContent-Length: 0\r\n\r\n");
        let address = service.at("").replace("http://", "");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.repeat(2).as_bytes()).await.unwrap();
        let mut text = String::new();
        // Closed with a request unread: the end may be a reset.
        let _ = stream.read_to_string(&mut text).await;
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{ask}: {text}");
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{ask}: {text}");
    }
}

#[tokio::test]
async fn a_server_asks_as_the_draft_says_by_query_or_by_form() {
    let service = TestService::start([KEYS]).await;
    let form = |path: &str, form: &str| {
        let request = Client::new().post(service.at(path)).body(form.to_owned());
        request.header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    };
    let query = |key: &str| format!("service=turn&username=ana&{key}={API_KEY}");
    for request in [
        get(&service, &format!("/turn?{}", query("key"))),
        get(&service, &format!("/turn/credentials?{}", query("api"))),
        form("/turn", &query("key")),
        form("/turn/credentials?service=turn", &query("api")),
        form(&format!("/turn?{}", query("key")), "username=bob"),
    ] {
        let answer = ApiResponse::of(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
        assert_eq!(answer.json.as_object().unwrap().len(), 4, "{}", answer.json);
        check(&answer.json["username"], &answer.json["password"], "ana");
        assert_eq!(answer.json["ttl"], 600);
        assert_eq!(answer.json["uris"], json!(["turn:127.0.0.1:3478?transport=udp"]));
    }
    let shorter = format!("/turn?{}&ttl=120", query("key"));
    assert_eq!(ApiResponse::of(get(&service, &shorter)).await.json["ttl"], 120);
}

#[tokio::test]
async fn a_bad_draft_request_gets_the_reason() {
    let service = TestService::start([KEYS]).await;
    let key = format!("key={API_KEY}");
    for (query, status, code, detail) in [
        (format!("username=ana&{key}"), 400, "bad_request", "the parameter service must be turn"),
        (format!("service=stun&{key}"), 400, "bad_request", "the parameter service must be turn"),
        (
            format!("service=turn&ttl=1h&{key}"),
            400,
            "bad_request",
            "ttl must be a number of seconds",
        ),
        (
            format!("service=turn&username={}&{key}", "a".repeat(1021)),
            400,
            "bad_request",
            "subject has 1021 bytes; it must have 1 to 1020",
        ),
        ("service=turn&username=ana".to_owned(), 401, "unauthorized", "send one of the API keys"),
        ("service=turn&key=".to_owned(), 401, "unauthorized", "send one of the API keys"),
        (format!("service=turn&{key}x"), 401, "unauthorized", "the API key is not accepted"),
        (
            format!("service=turn&key={}", token("ana")),
            401,
            "unauthorized",
            "the API key is not accepted",
        ),
    ] {
        let answer = ApiResponse::of(get(&service, &format!("/turn?{query}"))).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{query}");
        assert!(answer.json["detail"].as_str().unwrap().contains(detail), "{}", answer.json);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let json = Client::new().post(service.at("/turn")).json(&json!({ "key": API_KEY }));
    assert_eq!(
        ApiResponse::of(json).await.status,
        StatusCode::UNAUTHORIZED,
        "no form, nothing read"
    );
}

#[tokio::test]
async fn anonymous_users_share_no_quota() {
    let service = TestService::start([KEYS, ("TURN_CRED_RATE_PER_SUBJECT", "1/h")]).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let path = format!("/turn?service=turn&key={API_KEY}");
        let answer = ApiResponse::of(get(&service, &path)).await;
        let username = answer.json["username"].as_str().unwrap().to_owned();
        seen.push(username.split_once(':').unwrap().1.to_owned());
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2], "{seen:?}");
}

#[tokio::test]
async fn a_matrix_client_gets_the_same_for_its_token() {
    let service = TestService::start([]).await;
    for path in [MATRIX, "/_matrix/client/r0/voip/turnServer"] {
        let answer = ApiResponse::of(get(&service, path).bearer_auth(token("ana"))).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json.as_object().unwrap().len(), 4, "{}", answer.json);
        check(&answer.json["username"], &answer.json["password"], "ana");
        assert_eq!(answer.json["uris"], json!(["turn:127.0.0.1:3478?transport=udp"]));
    }
}

#[tokio::test]
async fn a_matrix_client_reads_errors_in_its_own_words() {
    let service = TestService::start([("TURN_CRED_RATE_PER_SUBJECT", "1/m")]).await;
    let ask = async |token: &str| ApiResponse::of(get(&service, MATRIX).bearer_auth(token)).await;
    let expired = mint(&Claims::new("ana", 1), JWT_SECRET.as_bytes());
    assert_eq!(ask(&token("ana")).await.status, StatusCode::OK);
    for (answer, status, code, errcode) in [
        (ApiResponse::of(get(&service, MATRIX)).await, 401, "unauthorized", "M_MISSING_TOKEN"),
        (ask("nonsense").await, 401, "unauthorized", "M_UNKNOWN_TOKEN"),
        (ask(&expired).await, 401, "token_expired", "M_UNKNOWN_TOKEN"),
        (ask(&token("ana")).await, 429, "rate_limited", "M_LIMIT_EXCEEDED"),
    ] {
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code));
        assert_eq!(answer.json["errcode"], errcode);
        assert_eq!(answer.json["error"], answer.json["detail"]);
        let wait = answer.json["retry_after_ms"].as_u64();
        assert_eq!(wait.is_some_and(|wait| (1..=60_000).contains(&wait)), status == 429);
        assert_eq!(answer.header("retry-after").is_empty(), status != 429);
    }
}

#[tokio::test]
async fn a_cloudflare_client_gets_a_list_or_the_older_object() {
    let service = TestService::start([KEYS, ("TURN_CRED_MAX_TTL", "24h")]).await;
    let ask = json!({ "ttl": 3600, "customIdentifier": "u1" });
    let list = ApiResponse::of(cloudflare(&service, CLOUDFLARE, &ask)).await;
    assert_eq!(list.status, StatusCode::CREATED, "{}", list.json);
    assert_eq!(list.json.as_object().unwrap().len(), 1, "there is no ttl: {}", list.json);
    assert_eq!(list.json["iceServers"][0], json!({ "urls": ["stun:127.0.0.1:3478"] }));
    check(&list.relay()["username"], &list.relay()["credential"], "u1");
    let expiry = credential::expiry(list.credential().0).unwrap();
    assert!(expiry.abs_diff(clock::unix_seconds() + 3600) <= 1, "the ttl asked for");

    let older = CLOUDFLARE.replace("generate-ice-servers", "generate");
    let single = ApiResponse::of(cloudflare(&service, &older, &json!({}))).await;
    assert_eq!(single.status, StatusCode::CREATED, "{}", single.json);
    let server = &single.json["iceServers"];
    assert_eq!(server["urls"], json!(["stun:127.0.0.1:3478", "turn:127.0.0.1:3478?transport=udp"]));
    check(&server["username"], &server["credential"], "backend");
}

#[tokio::test]
async fn a_bad_cloudflare_request_gets_the_reason() {
    let service = TestService::start([KEYS]).await;
    let (strange, long) = (CLOUDFLARE.replace("backend", "a%20b"), "a".repeat(1021));
    let longer = CLOUDFLARE.replace("backend", &long);
    for (path, body, status) in [
        (CLOUDFLARE, json!({ "customIdentifier": "a:b" }), 201),
        (CLOUDFLARE, json!({ "customIdentifier": long }), 400),
        (CLOUDFLARE, json!({ "ttl": "1h" }), 400),
        (longer.as_str(), json!({}), 400),
        (longer.as_str(), json!({ "customIdentifier": "u1" }), 201),
        (strange.as_str(), json!({ "customIdentifier": "u1" }), 201),
    ] {
        let answer = ApiResponse::of(cloudflare(&service, path, &body)).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}");
    }
    let unreadable = CLOUDFLARE.replace("backend", "%ff");
    let answer = ApiResponse::of(cloudflare(&service, &unreadable, &json!({}))).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad_request"));
    let in_query = Client::new().post(service.at(&format!("{CLOUDFLARE}?key={API_KEY}")));
    for request in [in_query, Client::new().post(service.at(CLOUDFLARE)).bearer_auth(token("ana"))]
    {
        let answer = ApiResponse::of(request).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "unauthorized"));
    }
}

#[tokio::test]
async fn without_api_keys_their_routes_say_what_is_missing() {
    let service = TestService::start([]).await;
    let draft = get(&service, &format!("/turn?service=turn&key={API_KEY}"));
    for request in [draft, cloudflare(&service, CLOUDFLARE, &json!({}))] {
        let answer = ApiResponse::of(request).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "unauthorized"));
        assert!(answer.json["detail"].as_str().unwrap().contains("TURN_CRED_API_KEYS"));
    }
}

#[tokio::test]
async fn servers_may_share_an_address_and_their_users_have_limits_of_their_own() {
    let limits = [("TURN_CRED_RATE_PER_IP", "2/h"), ("TURN_CRED_RATE_PER_SUBJECT", "1/h")];
    let service = TestService::start([KEYS, limits[0], limits[1]]).await;
    let ask = async |user: &str, key: &str| {
        let path = format!("/turn?service=turn&username={user}&key={key}");
        ApiResponse::of(get(&service, &path)).await.status
    };
    for user in ["ana", "bob", "cleo", "dan"] {
        assert_eq!(ask(user, API_KEY).await, StatusCode::OK);
    }
    assert_eq!(ask("ana", API_KEY).await, StatusCode::TOO_MANY_REQUESTS);
    for _ in 0..2 {
        assert_eq!(ask("eve", "guess").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(ask("eve", "guess").await, StatusCode::TOO_MANY_REQUESTS, "guesses count");
    assert_eq!(ask("eve", API_KEY).await, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_of_every_shape_is_kept_from_caches_and_from_foreign_pages() {
    const OURS: &str = "https://app.example";
    let service = TestService::start([KEYS, ("TURN_CRED_ALLOWED_ORIGINS", OURS)]).await;
    let turn = format!("/turn?service=turn&username=ana&key={API_KEY}");
    for (method, path, secret, status) in [
        (Method::POST, "/v1/ice-servers", token("ana").as_str(), 200),
        (Method::GET, MATRIX, &token("ana"), 200),
        (Method::GET, &turn, "", 200),
        (Method::POST, CLOUDFLARE, API_KEY, 201),
        (Method::GET, "/v1/openapi.json", "", 200),
        (Method::POST, "/v1/ice-servers", "", 401),
        (Method::GET, MATRIX, "", 401),
        (Method::GET, "/turn", "", 401),
        (Method::POST, CLOUDFLARE, "", 401),
        (Method::GET, CLOUDFLARE, "", 405),
        (Method::GET, "/v1/nothing", "", 404),
    ] {
        for (origin, shown) in [(OURS, OURS), ("https://evil.example", ""), ("null", "")] {
            let request = Client::new().request(method.clone(), service.at(path));
            let request = request.header("origin", origin).bearer_auth(secret);
            let answer = ApiResponse::of(request).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{method} {path}");
            assert_eq!(answer.header("pragma"), "no-cache", "{method} {path}");
            assert_eq!(answer.header("vary"), "Origin, Authorization", "{method} {path}");
            assert_eq!(answer.header("access-control-allow-origin"), shown, "{method} {path}");
            assert_eq!(answer.header("access-control-expose-headers"), "retry-after");
        }
    }
}

#[tokio::test]
async fn a_preflight_is_answered_for_every_shape_and_asks_for_no_key() {
    const OURS: &str = "https://app.example";
    let service = TestService::start([("TURN_CRED_ALLOWED_ORIGINS", OURS)]).await;
    for (method, path) in [("GET", MATRIX), ("POST", CLOUDFLARE), ("GET", "/turn?service=turn")] {
        let request = Client::new().request(Method::OPTIONS, service.at(path));
        let request = request.header("access-control-request-method", method);
        let answer = ApiResponse::of(request.header("origin", OURS)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), OURS);
        assert_eq!(answer.header("access-control-allow-methods"), "GET,POST");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("vary"), "Origin, Authorization");
    }
}
