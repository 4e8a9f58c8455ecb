//! Engine.IO below Socket.IO, request by request: what the published clients do not show.

use engine_io::{Revision, payload};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::node::{SECRET, TestNode, token};
use crate::support::polling::becomes_true;
use crate::support::redis::TestRedis;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// A client that polls.
struct Poller {
    client: Client,
    base: String,
    query: String,
}

impl Poller {
    /// Opens a session; `query` says the revision.
    async fn open(node: &TestNode, query: &str) -> (Self, Value) {
        let (client, base) = (Client::new(), format!("http://{}/socket.io/", node.address()));
        let mut poller = Self { client, base, query: format!("{query}&transport=polling") };
        let opened = poller.get().await.text().await.unwrap();
        let at = opened.find('{').unwrap();
        let open: Value = serde_json::from_str(&opened[at..]).unwrap();
        poller.query.push_str(&["&sid=", open["sid"].as_str().unwrap()].concat());
        (poller, json!({ "prefix": opened[..at], "open": open }))
    }

    async fn send(&self, method: Method, body: Option<String>) -> Response {
        let url = format!("{}?{}", self.base, self.query);
        let request = self.client.request(method, url);
        let request = body.into_iter().fold(request, reqwest::RequestBuilder::body);
        request.header("origin", "https://app.example").send().await.unwrap()
    }

    async fn get(&self) -> Response {
        self.send(Method::GET, None).await
    }

    async fn poll(&self) -> String {
        let answer = self.get().await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    }

    async fn post(&self, body: &str) -> (u16, String) {
        let answer = self.send(Method::POST, Some(body.to_owned())).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

const ORIGINS: (&str, &str) = ("ALLOWED_ORIGINS", "https://app.example");

async fn node() -> TestNode {
    TestNode::start(&[("DIALECTS", "socketio"), ORIGINS]).await
}

#[tokio::test]
async fn a_session_over_polling_begins_waits_and_ends_as_with_the_original() {
    let node = node().await;
    let (ana, opened) = Poller::open(&node, "EIO=4").await;
    let open = &opened["open"];
    assert_eq!(open["upgrades"], json!(["websocket"]));
    assert_eq!((&open["pingInterval"], &open["pingTimeout"]), (&json!(10_000), &json!(15_000)));
    let largest = usize::try_from(open["maxPayload"].as_u64().unwrap()).unwrap();
    assert_eq!(ana.post("40").await, (200, "ok".to_owned()));
    let connected = ana.get().await;
    let headers = connected.headers().clone();
    assert!(connected.text().await.unwrap().starts_with(r#"40{"pid":"#));
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-credentials", "true"),
        ("cache-control", "no-store"),
        ("vary", "origin"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert_eq!(ana.post(&"4".repeat(largest + 1)).await.0, 413);
    // A poll that waits is answered by what comes, and a second one ends the session.
    let (waits, posted) = tokio::join!(ana.poll(), ana.post(r#"42["create or join","foo"]"#));
    assert_eq!(posted.0, 200);
    assert!(waits.contains("Received request to create or join room foo"), "{waits}");
    while !ana.poll().await.contains("created") {}
    let (first, second) = tokio::join!(ana.get(), ana.get());
    let texts = [first, second].map(|answer| answer.status().as_u16());
    assert!(texts.contains(&400), "{texts:?}");
    let unknown = ana.post("3").await;
    assert_eq!(unknown, (400, r#"{"code":1,"message":"Session ID unknown"}"#.to_owned()));
    becomes_true("the session is gone, and was one connection", PATIENCE, async || {
        let metrics = node.metrics().await;
        let ended = metrics.contains(r#"signal_dialect_connections{dialect="socketio"} 0"#);
        ended && metrics.contains("\nsignal_connections_opened_total 1\n")
    })
    .await;
}

#[tokio::test]
async fn a_client_of_the_third_revision_is_connected_at_once_and_leaves_with_its_poll() {
    let node = node().await;
    let (ana, opened) = Poller::open(&node, "EIO=3").await;
    let prefix = opened["prefix"].as_str().unwrap();
    assert!(prefix.ends_with(":0") && prefix.len() > 3, "{prefix}");
    assert_eq!(ana.poll().await, "2:40");
    let (_, posted) = tokio::join!(ana.poll(), ana.post("1:2"));
    assert_eq!(posted, (200, "ok".to_owned()));
    assert_eq!(
        ana.post("3:4é€").await.0,
        200,
        "lengths are UTF-16 units, and this is no packet of Socket.IO"
    );
    becomes_true("it was closed for that", PATIENCE, async || ana.post("1:2").await.0 == 400).await;
    let (bo, _) = Poller::open(&node, "EIO=3").await;
    bo.poll().await;
    let url = format!("{}?{}", bo.base, bo.query);
    let aborted =
        tokio::time::timeout(std::time::Duration::from_millis(100), bo.client.get(url).send());
    assert!(aborted.await.is_err());
    becomes_true("the client is gone", PATIENCE, async || bo.post("1:2").await.0 == 400).await;
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_in_the_words_of_the_original() {
    let node = node().await;
    let ask = async |method: Method, query: &str, origin: &str| {
        let url = format!("http://{}/socket.io/?{query}", node.address());
        let answer =
            Client::new().request(method, url).header("origin", origin).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (get, post, own) = (Method::GET, Method::POST, "https://app.example");
    for (method, query, origin, status, body) in [
        (&get, "EIO=4&transport=tube", own, 400, r#"{"code":0,"message":"Transport unknown"}"#),
        (
            &get,
            "EIO=4&transport=polling&sid=x",
            own,
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            &post,
            "EIO=4&transport=polling&sid=n_x~y",
            own,
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            &post,
            "EIO=4&transport=polling",
            own,
            400,
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
        (&get, "EIO=4&transport=websocket", own, 400, r#"{"code":3,"message":"Bad request"}"#),
        (
            &get,
            "EIO=4&transport=polling",
            "https://evil.example",
            403,
            r#"{"code":4,"message":"Forbidden"}"#,
        ),
    ] {
        assert_eq!(ask(method.clone(), query, origin).await, (status, body.to_owned()), "{query}");
    }
    let url = format!("http://{}/socket.io/?EIO=4&transport=websocket&sid=x", node.address());
    let handshake = [("connection", "upgrade"), ("upgrade", "websocket")];
    let request = handshake
        .into_iter()
        .fold(Client::new().get(url), |request, (name, value)| request.header(name, value));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.text().await.unwrap(), "Session ID unknown");
    let preflight = ask(Method::OPTIONS, "EIO=4&transport=polling", own).await;
    assert_eq!(preflight.0, 204);
    assert_eq!(node.get("/socket.io/socket.io.js").await.status(), 404, "no script is set");
}

async fn two(redis: &TestRedis) -> [TestNode; 2] {
    let url = redis.url();
    let settings = [
        ("BACKEND", "redis"),
        ("REDIS_URL", &*url),
        ("JWT_SECRET", SECRET),
        ("DIALECTS", "socketio"),
        ORIGINS,
    ];
    [TestNode::start(&settings).await, TestNode::start(&settings).await]
}

#[tokio::test]
async fn polls_reach_their_session_over_another_node_and_hear_when_it_is_gone() {
    let redis = TestRedis::start().await;
    let [one, other] = two(&redis).await;
    let (mut ana, _) = Poller::open(&one, "EIO=4").await;
    ana.base = format!("http://{}/socket.io/", other.address());
    assert_eq!(ana.post(&format!(r#"40{{"token":"{}"}}"#, token("ana"))).await.0, 200);
    assert!(ana.poll().await.starts_with(r#"40{"pid":"#));
    let (waits, posted) = tokio::join!(ana.poll(), ana.post(r#"42["create or join","foo"]"#));
    assert_eq!(posted.0, 200);
    assert!(waits.contains("Received request"), "{waits}");
    assert_eq!(ana.post("1").await, (200, "ok".to_owned()));
    assert_eq!(ana.post("3").await.1, r#"{"code":1,"message":"Session ID unknown"}"#);
    // A poll that its client gives up here ends its session there, in the third revision.
    let (mut bo, _) = Poller::open(&one, &format!("EIO=3&token={}", token("bo"))).await;
    bo.base = ana.base.clone();
    assert_eq!(bo.poll().await, "2:40");
    let url = format!("{}?{}", bo.base, bo.query);
    let given_up =
        tokio::time::timeout(std::time::Duration::from_millis(200), bo.client.get(url).send());
    assert!(given_up.await.is_err());
    becomes_true("the client is gone", PATIENCE, async || bo.post("1:2").await.0 == 400).await;
}

/// A WebSocket of Engine.IO.
struct EngineSocket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl EngineSocket {
    async fn open(node: &TestNode, query: &str) -> Self {
        let url = format!("ws://{}/socket.io/?transport=websocket&{query}", node.address());
        Self(connect_async(url).await.unwrap().0)
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn hear(&mut self) -> String {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await.unwrap();
            if let Message::Text(text) = next.unwrap().unwrap() {
                return text.to_string();
            }
        }
    }

    async fn until(&mut self, part: &str) -> String {
        loop {
            let text = self.hear().await;
            if text.contains(part) {
                return text;
            }
        }
    }
}

/// Reads the number of a `message`.
fn number(packet: &str) -> Option<u64> {
    let event: Value = serde_json::from_str(packet.strip_prefix("42")?).unwrap();
    (event[0] == "message").then(|| event[1].as_u64().unwrap())
}

#[tokio::test]
async fn a_session_moves_to_the_node_of_its_websocket_and_nothing_is_lost_or_doubled() {
    let redis = TestRedis::start().await;
    let [one, other] = two(&redis).await;
    let tokens = ["ana", "bo"].map(|who| format!("token={}", token(who)));
    for (revision, number_of) in [("EIO=4", Revision::V4), ("EIO=3", Revision::V3)] {
        let (ana, opened) = Poller::open(&one, &format!("{revision}&{}", tokens[0])).await;
        let room = format!(r#"42["create or join","{revision}"]"#);
        let encode = |text: &str| payload::encode(number_of, &[text.to_owned()]);
        if revision == "EIO=4" {
            assert_eq!(ana.post("40").await.0, 200);
        }
        assert_eq!(ana.post(&encode(&room)).await.0, 200);
        while !ana.poll().await.contains("created") {}
        let mut bo = EngineSocket::open(&other, &format!("EIO=4&{}", tokens[1])).await;
        bo.say("40").await;
        bo.say(&room).await;
        bo.until("ready").await;
        for count in 0..20 {
            bo.say(&format!(r#"42["message",{count}]"#)).await;
        }
        // The last messages before the move are said, and not settled, when the session goes.
        assert_eq!(ana.post(&encode(r#"42["message",100]"#)).await.0, 200);
        let sid = opened["open"]["sid"].as_str().unwrap();
        let query = format!("{revision}&sid={sid}&{}", tokens[0]);
        let mut moved = EngineSocket::open(&other, &query).await;
        moved.say("2probe").await;
        assert_eq!(moved.hear().await, "3probe");
        let (mut heard, mut is_asked_to_stop) = (Vec::new(), false);
        while !is_asked_to_stop {
            let polled = ana.poll().await;
            let packets = payload::decode(number_of, &polled).unwrap();
            heard.extend(packets.iter().filter_map(|packet| number(packet)));
            is_asked_to_stop = packets.contains(&"6");
        }
        moved.say("5").await;
        moved.say(r#"42["message",101]"#).await;
        for count in 20..40 {
            bo.say(&format!(r#"42["message",{count}]"#)).await;
        }
        while heard.last() != Some(&39) {
            heard.extend(number(&moved.hear().await));
        }
        assert_eq!(heard, (0..40).collect::<Vec<_>>());
        for count in [100, 101] {
            assert_eq!(number(&bo.until("\"message\"").await), Some(count));
        }
        assert_eq!(ana.get().await.status(), 400, "it is over there");
        bo.say("1").await;
        moved.until("\"bye\"").await;
    }
    let metrics = one.metrics().await;
    let line = r#"signal_connections_closed_total{code="moved"} 2"#;
    assert!(metrics.contains(line), "{line} is not in {metrics}");
}
