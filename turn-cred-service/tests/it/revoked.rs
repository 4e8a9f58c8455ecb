//! Revocations of the nodes, and denials with strange times.

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::json;
use service_kit::clock;
use service_kit::tokens::{Claims, Right, mint};

use crate::support::redis::Redis;
use crate::support::{ApiResponse, JWT_SECRET, TestService};

/// Loops ask more often than clients do.
const UNLIMITED: [(&str, &str); 2] =
    [("TURN_CRED_RATE_PER_SUBJECT", "1000000/s"), ("TURN_CRED_RATE_PER_IP", "1000000/s")];

/// Of the nodes.
const PREFIX: (&str, &str) = ("TURN_CRED_ROOMS_REDIS_PREFIX", "calls:");

fn admin(sub: &str) -> String {
    let mut claims = Claims::new(sub, clock::unix_seconds() + 600);
    claims.can = vec![Right::Admin, Right::Signal];
    mint(&claims, JWT_SECRET.as_bytes())
}

async fn asks(service: &TestService, sub: &str) -> ApiResponse {
    ApiResponse::of(Client::new().post(service.url()).bearer_auth(admin(sub))).await
}

async fn denies(service: &TestService, by: &str, whom: &str, seconds: u64) -> ApiResponse {
    let url = service.at(&format!("/v1/subjects/{whom}/denial"));
    let body = json!({ "seconds": seconds });
    ApiResponse::of(Client::new().put(url).bearer_auth(admin(by)).json(&body)).await
}

#[tokio::test]
async fn a_subject_that_the_nodes_revoke_gets_no_credential_and_denies_nobody() {
    let (relays, rooms) = (Redis::start().await, Redis::start().await);
    // Without a setting of its own it is the Redis of the relays.
    for (rooms_url, redis) in [(String::new(), &relays), (rooms.url(), &rooms)] {
        let rooms_redis = ("TURN_CRED_ROOMS_REDIS_URL", rooms_url.as_str());
        let url = relays.url();
        let [subject, address] = UNLIMITED;
        let service = TestService::start([
            ("TURN_CRED_REDIS_URL", &url),
            rooms_redis,
            PREFIX,
            subject,
            address,
        ])
        .await;
        assert_eq!(asks(&service, "auth0|7").await.status, StatusCode::OK);
        let until = (clock::unix_seconds() + 60).to_string();
        redis.run::<u64>(&["HSET", "calls:revoked", "sub:auth0%7C7", &until]).await;
        redis.run::<u64>(&["HINCRBY", "calls:revoked", "version", "1"]).await;
        let began = Instant::now();
        let refused = loop {
            let answer = asks(&service, "auth0|7").await;
            if answer.status != StatusCode::OK {
                break answer;
            }
        };
        assert_eq!((refused.status, refused.code()), (StatusCode::UNAUTHORIZED, "unauthorized"));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let refused = denies(&service, "auth0|7", "bo", 60).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::UNAUTHORIZED, "unauthorized"));
        assert_eq!(asks(&service, "bo").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_denial_has_a_bound_and_an_absurd_one_ends_no_other() {
    let redis = Redis::start().await;
    let (url, [subject, address]) = (redis.url(), UNLIMITED);
    let service = TestService::start([("TURN_CRED_REDIS_URL", &url), subject, address]).await;
    for seconds in [0, 366 * 86_400 + 1, u64::MAX] {
        let refused = denies(&service, "operator", "bo", seconds).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "bad_request"));
    }
    // As an earlier version wrote it.
    assert_eq!(denies(&service, "operator", "cy", 60).await.status, StatusCode::OK);
    let denied = redis.run::<Vec<String>>(&["KEYS", "turncred/*/denied"]).await.remove(0);
    redis.run::<u64>(&["ZADD", &denied, "18446744073709551615", "someone"]).await;
    assert_eq!(denies(&service, "operator", "ana", 60).await.status, StatusCode::OK);
    let refused = loop {
        let answer = asks(&service, "ana").await;
        if answer.status != StatusCode::OK {
            break answer;
        }
    };
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "denied"));
    assert_eq!(asks(&service, "bo").await.status, StatusCode::OK);
}
