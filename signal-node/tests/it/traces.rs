//! Traces over processes, and what no log, metric, span or process list may hold.

use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::support::node::{SECRET, token};
use crate::support::observed::{Collected, Collector, Observed, credential_service};
use crate::support::peer::TestPeer;
use crate::support::process::PROGRAM;
use crate::support::redis::TestRedis;

/// Long enough on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const TURN_SECRET: &str = "canary-turn-secret-canary-turn-secret";

/// Two nodes over one Redis, and the credential service beside them.
struct Cluster {
    one: Observed,
    two: Observed,
    credentials: Observed,
    _redis: TestRedis,
    _folder: TempDir,
}

impl Cluster {
    async fn start(more: &[(&str, &str)]) -> Self {
        let (redis, folder) = (TestRedis::start().await, tempfile::tempdir().unwrap());
        let socket = format!("unix:{}", folder.path().join("ice.sock").display());
        let set = |own: &[(&'static str, String)]| {
            let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
            own.iter().cloned().chain(more).collect::<Vec<_>>()
        };
        let any = || "127.0.0.1:0".to_owned();
        let service = set(&[
            ("TURN_CRED_LISTEN", any()),
            ("TURN_CRED_ADMIN_LISTEN", any()),
            ("TURN_CRED_INTERNAL_LISTEN", socket.clone()),
            ("TURN_CRED_URIS", "turn:relay.example.org:3478?transport=udp".to_owned()),
            ("TURN_CRED_SECRET", TURN_SECRET.to_owned()),
            ("TURN_CRED_PROBE_EVERY", "0s".to_owned()),
            ("TURN_CRED_LOG", "trace".to_owned()),
        ]);
        let node = |name: &'static str| {
            set(&[
                ("SIGNAL_NODE_LISTEN", any()),
                ("SIGNAL_NODE_ADMIN_LISTEN", any()),
                ("SIGNAL_NODE_BACKEND", "redis".to_owned()),
                ("SIGNAL_NODE_REDIS_URL", redis.url()),
                ("SIGNAL_NODE_JWT_SECRET", SECRET.to_owned()),
                ("SIGNAL_NODE_CREDENTIALS_URL", socket.clone()),
                ("SIGNAL_NODE_DRAIN_DELAY", "0s".to_owned()),
                ("SIGNAL_NODE_LOG", "trace".to_owned()),
                ("OTEL_RESOURCE_ATTRIBUTES", format!("service.instance.id={name}")),
            ])
        };
        let log = |name: &str| folder.path().join(name);
        let credentials =
            Observed::start(&credential_service(), log("credentials.log"), &service).await;
        let one = Observed::start(PROGRAM.as_ref(), log("one.log"), &node("one")).await;
        let two = Observed::start(PROGRAM.as_ref(), log("two.log"), &node("two")).await;
        Self { one, two, credentials, _redis: redis, _folder: folder }
    }

    /// Ana at the first node and Bo at the second one say a word to each other.
    async fn call(&self, data: &serde_json::Value) -> [TestPeer; 2] {
        let mut ana = TestPeer::at(self.one.at("public"), &token("ana")).await;
        let mut bo = TestPeer::at(self.two.at("public"), &token("bo")).await;
        ana.join("demo", "ana").await;
        bo.join("demo", "bo").await;
        ana.expect("peer_joined").await;
        let signal = json!({"type": "signal", "mid": 1, "room": "demo", "to": bo.id, "data": data});
        ana.say(signal).await;
        assert_eq!(bo.expect("signal").await["data"], *data);
        [ana, bo]
    }

    async fn end(&mut self) {
        for process in [&mut self.one, &mut self.two, &mut self.credentials] {
            assert_eq!(process.terminate().await, Some(0), "{}", process.log());
        }
    }
}

#[tokio::test]
async fn one_trace_follows_a_signal_over_two_nodes_and_into_the_credential_service() {
    let mut collector = Collector::start().await;
    let cluster = Cluster::start(&to(&collector)).await;
    let _peers = cluster.call(&json!({"hello": "bo"})).await;
    let mut spans = Vec::new();
    let way = async {
        loop {
            spans.push(collector.next().await);
            if let Some(way) = Way::of_a_signal(&spans) {
                return way;
            }
        }
    };
    let way = timeout(PATIENCE, way).await.expect("a whole trace");
    assert_eq!(way.delivered.parent, way.published.id);
    assert_eq!(way.published.parent, way.connected.id);
    assert_eq!(way.answered.parent, way.asked.id);
    assert_eq!(way.asked.parent, way.connected.id);
    assert!(way.published.process.contains("one") && way.delivered.process.contains("two"));
}

/// The spans of one trace that a signal and the credentials of its sender leave.
struct Way {
    connected: Collected,
    published: Collected,
    delivered: Collected,
    asked: Collected,
    answered: Collected,
}

impl Way {
    fn of_a_signal(spans: &[Collected]) -> Option<Self> {
        let delivered = spans.iter().find(|span| span.name == "process room")?.clone();
        let find = |process: &str, name: &str| {
            let mut same = spans.iter().filter(|span| span.trace == delivered.trace);
            same.find(|span| span.process.contains(process) && span.name == name).cloned()
        };
        Some(Self {
            connected: find("signal-node", "GET /v1/ws")?,
            published: find("signal-node", "publish room")?,
            asked: find("signal-node", "POST")?,
            answered: find("turn-cred-service", "POST")?,
            delivered,
        })
    }
}

fn to(collector: &Collector) -> [(&str, &str); 2] {
    [("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url), ("OTEL_BSP_SCHEDULE_DELAY", "100")]
}

#[tokio::test]
async fn what_is_not_sampled_leaves_no_span() {
    let mut collector = Collector::start().await;
    let never = [to(&collector).as_slice(), &[("OTEL_TRACES_SAMPLER", "always_off")]].concat();
    let mut cluster = Cluster::start(&never).await;
    drop(cluster.call(&json!(1)).await);
    cluster.end().await;
    assert!(collector.raw().is_empty());
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_nothing() {
    let stuck = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", stuck.local_addr().unwrap());
    let mut cluster = Cluster::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ])
    .await;
    let [mut ana, mut bo] = cluster.call(&json!(1)).await;
    let (_held, _) = timeout(PATIENCE, stuck.accept()).await.expect("it is asked").unwrap();
    for mid in 2..=100 {
        ana.say(json!({"type": "signal", "mid": mid, "room": "demo", "data": mid})).await;
        assert_eq!(bo.expect("signal").await["data"], mid);
    }
    drop((ana, bo));
    let asked = Instant::now();
    cluster.end().await;
    assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn no_secret_payload_or_address_is_in_a_log_a_metric_a_span_or_the_process_list() {
    let mut collector = Collector::start().await;
    let mut cluster = Cluster::start(&to(&collector)).await;
    let sdp = "v=0\r\no=canary-sdp 1 1 IN IP4 203.0.113.77\r\na=ice-pwd:canary-ice-pwd\r\n";
    let [mut ana, bo] = cluster.call(&json!({"description": {"type": "offer", "sdp": sdp}})).await;
    ana.say(json!({"type": "ice", "id": 1})).await;
    let credential = loop {
        let frame = ana.next().await;
        if frame["type"] == "ice" {
            break frame["ice"]["iceServers"][0]["credential"].as_str().unwrap().to_owned();
        }
    };
    ana.say_text("{\"type\":\"signal\",\"canary-broken\"").await;
    ana.expect_error("bad_request").await;
    let mut everything = Vec::new();
    for process in [&cluster.one, &cluster.two, &cluster.credentials] {
        let url = format!("http://{}/metrics", process.at("admin"));
        everything.extend(reqwest::get(url).await.unwrap().bytes().await.unwrap());
        everything.extend(process.command_line());
    }
    drop((ana, bo));
    cluster.end().await;
    for process in [&cluster.one, &cluster.two, &cluster.credentials] {
        everything.extend(process.log().into_bytes());
    }
    let spans = collector.raw();
    assert!(!spans.is_empty());
    everything.extend(spans);
    let everything = String::from_utf8_lossy(&everything);
    assert!(everything.contains("connection ended"), "the logs were read");
    let token = token("ana");
    let signature = token.rsplit('.').next().unwrap();
    let canaries = [
        SECRET,
        TURN_SECRET,
        signature,
        &credential,
        "canary-sdp",
        "203.0.113.77",
        "canary-ice-pwd",
        "canary-broken",
    ];
    for canary in canaries {
        assert!(!everything.contains(canary), "{canary} got out: {}", around(&everything, canary));
    }
}

/// Some of what stands around a find.
fn around<'a>(text: &'a str, what: &str) -> &'a str {
    let at = text.find(what).unwrap_or_default();
    let begin = (0..=at.saturating_sub(200)).rev().find(|at| text.is_char_boundary(*at));
    let end = (at..=text.len().min(at + 300)).rev().find(|at| text.is_char_boundary(*at));
    &text[begin.unwrap_or_default()..end.unwrap_or(text.len())]
}
