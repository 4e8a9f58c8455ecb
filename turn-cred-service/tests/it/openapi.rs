//! The OpenAPI document: committed, served, and matched by the responses.

use std::fs;

use reqwest::{Client, Method};
use serde_json::Value;

use crate::program::run;
use crate::support::redis::Redis;
use crate::support::{API_KEY, ApiResponse, TestService, admin_token};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi/turn-cred-service.json");

#[tokio::test]
async fn the_committed_description_is_what_the_program_prints_and_serves() {
    let (output, printed, stderr) = run(&["openapi"], &[]).await;
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let renew = "cargo run -p turn-cred-service -- openapi > docs/openapi/turn-cred-service.json";
    assert!(fs::read_to_string(FILE).unwrap() == printed, "it differs; renew it: {renew}");

    let service = TestService::start([]).await;
    let served = reqwest::get(service.at("/v1/openapi.json")).await.unwrap();
    assert_eq!(served.headers()["content-type"], "application/json");
    assert!(served.text().await.unwrap() == printed);
}

#[tokio::test]
async fn every_described_route_answers_as_described() {
    let redis = Redis::start().await;
    let keys = [("TURN_CRED_API_KEYS", API_KEY)];
    let service = TestService::with_redis(&redis, "turn:127.0.0.1:3478", &keys).await;
    let document: Value =
        reqwest::get(service.at("/v1/openapi.json")).await.unwrap().json().await.unwrap();
    let routes = routes(&document);
    assert_eq!(routes.len(), 15, "{routes:?}");
    for (method, path, operation) in routes {
        let path = path.replace("{id}", "backend");
        let asked = service.at(&path.replace("{subject}", "ana").replace("{room}", "demo"));
        let ask = || Client::new().request(method.clone(), &asked);
        let success = operation["responses"].as_object().unwrap().keys().next().unwrap();
        let refused = operation["security"].is_array();

        let bare = ApiResponse::of(ask()).await;
        assert_eq!(bare.status, if refused { 401 } else { 200 }, "{method} {path}");
        check(&document, operation, &bare);

        let scheme = &operation["security"][0];
        let query = format!("{asked}?service=turn&key={API_KEY}");
        let good = match scheme.as_object().and_then(|scheme| scheme.keys().next()) {
            Some(key) if key == "key" => Client::new().request(method.clone(), query),
            Some(key) if key == "token" => ask().bearer_auth(admin_token("ana")),
            _ => ask().bearer_auth(API_KEY),
        };
        let good = ApiResponse::of(good).await;
        assert_eq!(good.status.as_str(), success, "{method} {path}: {}", good.json);
        check(&document, operation, &good);
    }
}

fn routes(document: &Value) -> Vec<(Method, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let routes = paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations.map(move |(method, operation)| (method, path, operation))
    });
    routes.map(|(m, path, op)| (m.to_uppercase().parse().unwrap(), path.as_str(), op)).collect()
}

/// Checks status, headers, media type and members of a response against the document.
fn check(document: &Value, operation: &Value, answer: &ApiResponse) {
    let described = resolve(document, &operation["responses"][answer.status.as_str()]);
    if answer.status == 204 {
        return;
    }
    let headers = described["headers"].as_object();
    let headers = headers.unwrap_or_else(|| panic!("{} in {operation}", answer.status));
    for header in headers.keys() {
        assert_ne!(answer.header(header), "", "{header}");
    }
    let content = &described["content"][answer.header("content-type")];
    let mut required = Vec::new();
    gather(document, &content["schema"], &mut required);
    for member in required {
        assert!(answer.json.get(member).is_some(), "{member} in {}", answer.json);
    }
}

/// Collects the members that a schema requires.
fn gather<'a>(document: &'a Value, schema: &'a Value, required: &mut Vec<&'a str>) {
    let schema = resolve(document, schema);
    let own = schema["required"].as_array().into_iter().flatten();
    required.extend(own.filter_map(Value::as_str));
    for part in schema["allOf"].as_array().into_iter().flatten() {
        gather(document, part, required);
    }
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => value,
    }
}
