//! The public listener.

use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use service_kit::clock;
use service_kit::tokens::{Claims, mint};
use turn_cred_service::credential;

use crate::support::{ApiResponse, JWT_SECRET, TURN_SECRET, TestService, token};

#[tokio::test]
async fn a_token_gets_a_credential_the_relay_will_accept() {
    let service = TestService::start([]).await;
    let before = clock::unix_seconds();
    let answer = ApiResponse::of(service.ice_servers("ana")).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json["ttl"], 600);
    assert_eq!(answer.json["refreshAfter"], 300);
    assert_eq!(answer.json["enforcement"], "allocate");
    assert_eq!(answer.json["region"], "default");
    assert_eq!(answer.json["iceServers"][0], json!({ "urls": ["stun:127.0.0.1:3478"] }));
    assert_eq!(answer.relay()["urls"], json!(["turn:127.0.0.1:3478?transport=udp"]));
    let (username, password) = answer.credential();
    assert_eq!(password, credential::password(TURN_SECRET.as_bytes(), username));
    let expiry = credential::expiry(username).unwrap();
    assert!((before + 600..=clock::unix_seconds() + 600).contains(&expiry));
    assert_eq!(answer.json["expiresAt"], clock::rfc3339(expiry));
}

#[tokio::test]
async fn a_subject_keeps_its_pseudonym_and_never_shows_its_name() {
    let service = TestService::start([]).await;
    let pseudonym = async |sub: &str| {
        let answer = ApiResponse::of(service.ice_servers(sub)).await;
        answer.credential().0.split_once(':').unwrap().1.to_owned()
    };
    let ana = pseudonym("ana").await;
    assert_eq!(ana, pseudonym("ana").await);
    assert_ne!(ana, pseudonym("bob").await);
    assert!(!ana.contains("ana"));
}

#[tokio::test]
async fn any_text_is_a_subject_and_relays_see_a_pseudonym() {
    let service = TestService::start([]).await;
    for sub in ["auth0|5f7c", "@ana:example.org", "ana b\n~é", &"é".repeat(510)] {
        let answer = ApiResponse::of(service.ice_servers(sub)).await;
        assert_eq!(answer.status, StatusCode::OK, "{sub}");
        let (_, pseudonym) = answer.credential().0.split_once(':').unwrap();
        assert!(pseudonym.len() == 32 && pseudonym.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}

#[tokio::test]
async fn a_caller_may_ask_for_another_ttl_within_bounds() {
    let service = TestService::start([("TURN_CRED_MAX_TTL", "1h")]).await;
    for (asked, given) in [(120, 120), (1, 60), (0, 60), (86_400, 3600)] {
        let answer =
            ApiResponse::of(service.ice_servers("ana").json(&json!({ "ttl": asked, "more": 1 })))
                .await;
        assert_eq!(answer.json["ttl"], given, "asked for {asked}");
    }
    let short = TestService::start([("TURN_CRED_TTL", "10s")]).await;
    assert_eq!(ApiResponse::of(short.ice_servers("ana")).await.json["ttl"], 10);
}

#[tokio::test]
async fn a_credential_ends_with_the_token_and_by_default_within_the_ttl() {
    let service = TestService::start([]).await;
    let ask = async |life: u64, body: serde_json::Value| {
        let claims = Claims::new("ana", clock::unix_seconds() + life);
        let token = mint(&claims, JWT_SECRET.as_bytes());
        let request = Client::new().post(service.url()).bearer_auth(token).json(&body);
        ApiResponse::of(request).await.json["ttl"].as_u64().unwrap()
    };
    assert!((118..=120).contains(&ask(120, json!({})).await), "not past the token");
    assert!((118..=120).contains(&ask(120, json!({"ttl": 300})).await));
    assert_eq!(ask(7 * 86_400, json!({"ttl": 86_400})).await, 600, "not past the usual TTL");
}

#[tokio::test]
async fn no_cache_may_keep_an_answer() {
    let service = TestService::start([]).await;
    for answer in [
        ApiResponse::of(service.ice_servers("ana")).await,
        ApiResponse::of(Client::new().post(service.url())).await,
    ] {
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("pragma"), "no-cache");
        assert_eq!(answer.header("vary"), "Origin, Authorization");
    }
}

#[tokio::test]
async fn every_fault_of_a_token_has_its_code() {
    let service =
        TestService::start([("TURN_CRED_JWT_ISSUER", "us"), ("TURN_CRED_JWT_AUDIENCE", "turn")])
            .await;
    let claims = |change: fn(&mut Claims)| {
        let mut claims = Claims::new("ana", clock::unix_seconds() + 600);
        (claims.iss, claims.aud) = (Some("us".into()), vec!["turn".into()]);
        change(&mut claims);
        claims
    };
    let signed = |change| mint(&claims(change), JWT_SECRET.as_bytes());
    assert_eq!(ask_with(&service, &signed(|_| ())).await.status, StatusCode::OK);
    for (what, token, code) in [
        ("no token", String::new(), "unauthorized"),
        ("nonsense", "nonsense".to_owned(), "unauthorized"),
        ("expired", signed(|claims| claims.exp = 1), "token_expired"),
        ("not yet", signed(|claims| claims.nbf = Some(claims.exp)), "unauthorized"),
        ("issuer", signed(|claims| claims.iss = None), "unauthorized"),
        ("audience", signed(|claims| claims.aud = vec!["tea".into()]), "unauthorized"),
        ("wrong key", mint(&claims(|_| ()), TURN_SECRET.as_bytes()), "unauthorized"),
    ] {
        let answer = ask_with(&service, &token).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
        assert_eq!(answer.code(), code, "{what}");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    }
    let in_query = format!("{}?access_token={}", service.url(), signed(|_| ()));
    let answer = ApiResponse::of(Client::new().post(in_query)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "a token in the query is none");
}

async fn ask_with(service: &TestService, token: &str) -> ApiResponse {
    ApiResponse::of(Client::new().post(service.url()).bearer_auth(token)).await
}

#[tokio::test]
async fn bad_requests_are_answered_and_the_service_lives() {
    let service = TestService::start([]).await;
    let huge = format!(r#"{{"x":"{}"}}"#, "x".repeat(5000));
    for (body, status, code) in [
        ("{", StatusCode::BAD_REQUEST, "bad_request"),
        ("[]", StatusCode::BAD_REQUEST, "bad_request"),
        (r#"{"ttl":"600"}"#, StatusCode::BAD_REQUEST, "bad_request"),
        (r#"{"ttl":-1}"#, StatusCode::BAD_REQUEST, "bad_request"),
        (r#"{"region":"mars"}"#, StatusCode::BAD_REQUEST, "bad_request"),
        (huge.as_str(), StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        (r#"{"region":"default"}"#, StatusCode::OK, ""),
        ("", StatusCode::OK, ""),
    ] {
        let answer = ApiResponse::of(service.ice_servers("ana").body(body.to_owned())).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body:.40}");
    }
    let region = ApiResponse::of(service.ice_servers("ana").body(r#"{"region":"mars"}"#)).await;
    assert!(region.json["detail"].as_str().unwrap().contains("default"), "names the regions");
    let get = ApiResponse::of(Client::new().get(service.url())).await;
    assert_eq!((get.status, get.code()), (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"));
    let internal = service.url().replace("/v1/", "/internal/v1/");
    assert_eq!(ApiResponse::of(Client::new().post(internal)).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn browsers_of_listed_origins_may_call_and_no_others() {
    let origins = ("TURN_CRED_ALLOWED_ORIGINS", "https://app.example, http://127.0.0.1:8080");
    let service = TestService::start([origins]).await;
    let preflight = async |origin: &str| {
        let request = Client::new()
            .request(Method::OPTIONS, service.url())
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        ApiResponse::of(request).await
    };
    let allowed = preflight("https://app.example").await;
    assert_eq!(allowed.status, StatusCode::OK);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example");
    assert_eq!(allowed.header("access-control-allow-methods"), "GET,POST");
    assert_eq!(allowed.header("access-control-allow-headers"), "authorization,content-type");
    assert_eq!(allowed.header("access-control-max-age"), "600");
    for origin in ["https://app.example.evil", "http://app.example", "https://APP.example", "null"]
    {
        assert_eq!(preflight(origin).await.header("access-control-allow-origin"), "", "{origin}");
    }
    let origin = "http://127.0.0.1:8080";
    let answer = ApiResponse::of(service.ice_servers("ana").header("origin", origin)).await;
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert_eq!(answer.header("access-control-expose-headers"), "retry-after");
}

#[tokio::test]
async fn a_subject_that_asks_too_often_waits_and_others_do_not() {
    let service = TestService::start([("TURN_CRED_RATE_PER_SUBJECT", "2/m")]).await;
    for _ in 0..2 {
        assert_eq!(ApiResponse::of(service.ice_servers("ana")).await.status, StatusCode::OK);
    }
    let refused = ApiResponse::of(service.ice_servers("ana")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.code(), "rate_limited");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(ApiResponse::of(service.ice_servers("bob")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_forged_address_does_not_reset_the_limit() {
    let service = TestService::start([("TURN_CRED_RATE_PER_IP", "1/m")]).await;
    let from = |address: &str| service.ice_servers("ana").header("x-forwarded-for", address);
    assert_eq!(ApiResponse::of(from("192.0.2.1")).await.status, StatusCode::OK);
    assert_eq!(ApiResponse::of(from("192.0.2.2")).await.status, StatusCode::TOO_MANY_REQUESTS);

    let trusting = [("TURN_CRED_RATE_PER_IP", "1/m"), ("TURN_CRED_TRUSTED_PROXIES", "127.0.0.0/8")];
    let service = TestService::start(trusting).await;
    let from = |address: &str| service.ice_servers("ana").header("x-forwarded-for", address);
    assert_eq!(ApiResponse::of(from("192.0.2.1")).await.status, StatusCode::OK);
    assert_eq!(ApiResponse::of(from("192.0.2.2")).await.status, StatusCode::OK);
    assert_eq!(ApiResponse::of(from("192.0.2.1")).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn requests_are_counted_and_probes_answer() {
    let service = TestService::start([]).await;
    ApiResponse::of(service.ice_servers("ana")).await;
    ApiResponse::of(Client::new().post(service.url())).await;
    let get = async |path| reqwest::get(service.admin(path)).await.unwrap();
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(get(path).await.status(), StatusCode::OK, "{path}");
    }
    let metrics = get("/metrics").await.text().await.unwrap();
    for line in [
        r#"turncred_issued_total{listener="public"} 1"#,
        r#"turncred_refused_total{reason="no_token"} 1"#,
        "turncred_issue_seconds_count 1",
        "turncred_build_info{version=",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("canary") && !metrics.contains(&token("ana")));
}
