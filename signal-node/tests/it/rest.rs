//! The REST interface for back ends: what it does in rooms, whom it refuses, and how it is described.

use std::fs;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use service_kit::tokens::{Claims, Right, mint};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::program::{run, text};
use crate::support::node::{SECRET, TestNode, claims, token};
use crate::support::peer::TestPeer;
use crate::support::redis::TestRedis;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi/signal-node.json");

fn admin_claims() -> Claims {
    let mut claims = claims("backend");
    claims.can = vec![Right::Admin];
    claims
}

fn request(node: &TestNode, method: Method, path: &str) -> RequestBuilder {
    Client::new().request(method, format!("http://{}{path}", node.address()))
}

/// What an administrator asks.
fn ask(node: &TestNode, method: Method, path: &str) -> RequestBuilder {
    request(node, method, path).bearer_auth(mint(&admin_claims(), SECRET.as_bytes()))
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let (status, body) = (response.status().as_u16(), response.bytes().await.unwrap());
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn refused(request: RequestBuilder) -> (u16, String) {
    let (status, body) = answer(request).await;
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_right_is_asked_for_before_the_body() {
    let node = TestNode::closed().await;
    for (method, path) in [
        ("PUT", "/v1/rooms/demo"),
        ("POST", "/v1/rooms/demo/signals"),
        ("PUT", "/v1/revocations/sub/ana"),
    ] {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        let token = token("ana");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 403", "{method} {path}: no byte of the body was sent");
    }
}

#[tokio::test]
async fn refused_tokens_close_their_connection_and_then_no_more_of_their_address_are_verified() {
    for listener in [TestNode::address, TestNode::admin] {
        let settings = [("JWT_SECRET", SECRET), ("UPGRADES_PER_NET", "1/h,burst=3")];
        let node = TestNode::start(&settings).await;
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(answers_to_two(listener(&node), "x").await);
        }
        assert_eq!(answers, [[401].as_slice(), &[401], &[401], &[429]], "one for each connection");
        let valid = mint(&admin_claims(), SECRET.as_bytes());
        assert_eq!(answers_to_two(listener(&node), &valid).await, [429], "from the same address");
        let from = "127.0.0.9".parse().ok();
        let other = Client::builder().local_address(from).build().unwrap();
        let ask = other.get(format!("http://{}/v1/rooms/demo", listener(&node)));
        assert_eq!(answer(ask.bearer_auth(valid)).await.0, 200);
    }
}

/// Sends two requests over one connection, and returns the status of each that is answered before it is closed.
async fn answers_to_two(address: &str, token: &str) -> Vec<u16> {
    let head =
        format!("GET /v1/rooms/demo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.repeat(2).as_bytes()).await.unwrap();
    let mut text = String::new();
    // Closed with a request unread: the end may be a reset.
    let _ = stream.read_to_string(&mut text).await;
    let answers = text.split("HTTP/1.1 ").skip(1);
    answers.map(|answer| answer[..3].parse().unwrap()).collect()
}

#[tokio::test]
async fn a_back_end_sees_a_room_and_speaks_in_it_over_any_node() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let mut ana = TestPeer::holder(&one, "ana").await;
    ana.join("demo", "ana").await;
    let (status, room) = answer(ask(&two, Method::GET, "/v1/rooms/demo")).await;
    assert_eq!(status, 200, "{room}");
    assert_eq!(room["peers"][0]["id"], ana.id.as_str());
    assert_eq!(room["peers"][0]["user"], "ana");
    assert_eq!((&room["locked"], &room["cap"]), (&json!(false), &json!(null)));

    let data = json!({"recording": true});
    let body = json!({"data": data});
    let path = "/v1/rooms/demo/signals";
    let repeated = || ask(&two, Method::POST, path).header("Idempotency-Key", "k1").json(&body);
    let (status, said) = answer(repeated()).await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(answer(repeated()).await, (200, said.clone()));
    let heard = ana.expect("signal").await;
    assert_eq!((&heard["from"], &heard["data"]), (&json!("server"), &data));
    assert_eq!(heard["seq"], said["seq"]);
    let addressed = ask(&one, Method::POST, path).json(&json!({"data": 2, "to": ana.id}));
    assert_eq!(answer(addressed).await.0, 200);
    // The repeated one was not said twice.
    assert_eq!(ana.expect("signal").await["data"], 2);
}

#[tokio::test]
async fn what_a_back_end_said_is_replayed_to_who_was_away() {
    let node = TestNode::closed().await;
    let mut ana = TestPeer::holder(&node, "ana").await;
    let seq = ana.join("demo", "ana").await["seq"].as_u64();
    drop(ana);
    let signal = ask(&node, Method::POST, "/v1/rooms/demo/signals").json(&json!({"data": 1}));
    assert_eq!(answer(signal).await.0, 200);
    let mut ana = TestPeer::holder(&node, "ana").await;
    ana.resume("demo", "ana", 2, seq).await;
    assert_eq!(ana.expect("signal").await["from"], "server");
    assert_eq!(ana.expect("joined").await["recovery"], "replay");
}

#[tokio::test]
async fn a_back_end_removes_members_and_closes_the_doors() {
    let node = TestNode::closed().await;
    let mut ana = TestPeer::holder(&node, "ana").await;
    let mut bo = TestPeer::holder(&node, "bo").await;
    ana.join("demo", "ana").await;
    bo.join("demo", "bo").await;
    let doors = ask(&node, Method::PUT, "/v1/rooms/demo").json(&json!({"locked": true, "cap": 3}));
    let (status, room) = answer(doors).await;
    assert_eq!((status, &room["locked"], &room["cap"]), (200, &json!(true), &json!(3)));
    let kick = format!("/v1/rooms/demo/peers/{}?ban=60", ana.id);
    assert_eq!(answer(ask(&node, Method::DELETE, &kick)).await.0, 204);
    while ana.next().await["reason"] != "kicked" {}
    let gone = refused(ask(&node, Method::DELETE, &kick)).await;
    assert_eq!(gone, (404, "peer_not_found".to_owned()));
    let mut cy = TestPeer::holder(&node, "cy").await;
    cy.try_join("demo", "cy").await;
    cy.expect_error("room_locked").await;
    assert_eq!(
        answer(ask(&node, Method::PUT, "/v1/rooms/demo").json(&json!({"locked": false}))).await.0,
        200
    );
    cy.try_join("demo", "cy").await;
    cy.expect("joined").await;
}

#[tokio::test]
async fn the_cluster_is_listed_with_what_each_node_carries() {
    let redis = TestRedis::start().await;
    let [one, two] = TestNode::two(&redis).await;
    let _ana = TestPeer::holder(&one, "ana").await;
    loop {
        let (status, body) = answer(ask(&two, Method::GET, "/v1/cluster")).await;
        assert_eq!(status, 200, "{body}");
        let nodes = body["nodes"].as_array().unwrap();
        let connections: i64 = nodes.iter().filter_map(|node| node["connections"].as_i64()).sum();
        if nodes.len() == 2 && connections == 1 {
            assert!(nodes.iter().all(|node| node["silent"] == false && node["draining"] == false));
            return;
        }
    }
}

#[tokio::test]
async fn who_may_not_is_refused_with_the_reason() {
    let node = TestNode::closed().await;
    let get = |path: &str| request(&node, Method::GET, path);
    let signal = |body: Value| ask(&node, Method::POST, "/v1/rooms/demo/signals").json(&body);
    let mut other = admin_claims();
    other.rooms = vec!["team-*".to_owned()];
    let foreign = mint(&other, SECRET.as_bytes());
    let long = json!({"data": "x".repeat(70_000)});
    let cases = [
        (get("/v1/rooms/demo"), 401, "unauthorized"),
        (get("/v1/cluster").bearer_auth("nonsense"), 401, "unauthorized"),
        (get("/v1/cluster").bearer_auth(token("ana")), 403, "forbidden"),
        (get("/v1/rooms/demo").bearer_auth(foreign), 403, "forbidden"),
        (ask(&node, Method::GET, "/v1/rooms/a%20b"), 400, "bad_request"),
        (signal(json!({"data": 1})), 404, "room_empty"),
        (signal(json!({"data": 1, "to": "p_u1BMnQ3PWsFKcSzG2oqhFg"})), 404, "peer_not_found"),
        (signal(json!({"data": 1, "typo": 1})), 400, "bad_request"),
        (signal(json!({})), 400, "bad_request"),
        (signal(long), 413, "too_large"),
        (signal(json!({"data": 1})).header("Idempotency-Key", "a b"), 400, "bad_request"),
        (ask(&node, Method::PUT, "/v1/rooms/demo").json(&json!({"cap": 0})), 400, "bad_request"),
        (ask(&node, Method::DELETE, "/v1/rooms/demo/peers/x?ban=-1"), 404, "peer_not_found"),
        (ask(&node, Method::PATCH, "/v1/rooms/demo"), 405, "method_not_allowed"),
        (get("/v1/nothing"), 404, "not_found"),
    ];
    for (request, status, code) in cases {
        let shown = format!("{request:?}");
        assert_eq!(refused(request).await, (status, code.to_owned()), "{shown}");
    }
}

#[tokio::test]
async fn the_committed_description_is_what_the_program_prints_and_serves() {
    let output = run(&["openapi"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let printed = text(&output.stdout);
    let renew = "cargo run -p signal-node -- openapi > docs/openapi/signal-node.json";
    assert!(fs::read_to_string(FILE).unwrap() == printed, "it differs; renew it: {renew}");
    let node = TestNode::closed().await;
    let served = node.get("/v1/openapi.json").await;
    assert_eq!(served.status(), StatusCode::OK);
    assert!(served.text().await.unwrap() == printed);
}

#[tokio::test]
async fn every_described_route_exists_and_wants_a_token() {
    let node = TestNode::closed().await;
    let document: Value = node.get("/v1/openapi.json").await.json().await.unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut routes = 0;
    for (path, item) in paths.iter().filter(|(path, _)| *path != "/v1/openapi.json") {
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path.replace("{room}", "demo").replace("{peer}", "p_u1BMnQ3PWsFKcSzG2oqhFg");
            let path = path.replace("{by}", "sub").replace("{name}", "ana");
            let found = refused(request(&node, method.clone(), &path)).await;
            assert_eq!(found, (401, "unauthorized".to_owned()), "{method} {path}");
            routes += 1;
        }
    }
    assert_eq!(routes, 13);
}
