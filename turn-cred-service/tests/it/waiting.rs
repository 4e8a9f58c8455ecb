//! A service that is started while the relays' Redis is away or loading: it waits, says so, and serves once it can.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr};
use tokio::time::timeout;

use crate::program::program;
use crate::support::coturn::free_port;
use crate::support::redis::Redis;
use crate::support::{JWT_SECRET, token};

const WAITS: &str = "waiting for the relays' Redis, which is unavailable";

const INTERNAL_TOKEN: &str = "canary-internal-token-of-thirty-two-bytes";

/// How long after the return of Redis the service serves.
const SERVES_WITHIN: Duration = Duration::from_secs(10);

struct Waiting {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
    public: SocketAddr,
    internal: SocketAddr,
    admin: SocketAddr,
}

impl Waiting {
    /// Starts a service, and reads its log until it says that it waits.
    async fn start(redis: &Redis) -> Self {
        let [public, internal, admin] = [(); 3].map(|()| free_port(Ipv4Addr::LOCALHOST.into()));
        let addresses = [public, internal, admin].map(|address| address.to_string());
        let settings = [
            ("TURN_CRED_LISTEN", addresses[0].as_str()),
            ("TURN_CRED_INTERNAL_LISTEN", &addresses[1]),
            ("TURN_CRED_INTERNAL_TOKEN", INTERNAL_TOKEN),
            ("TURN_CRED_ADMIN_LISTEN", &addresses[2]),
            ("TURN_CRED_URIS", "turn:127.0.0.1:9"),
            ("TURN_CRED_PROBE_EVERY", "0s"),
            ("TURN_CRED_REDIS_URL", &redis.url()),
            ("TURN_CRED_REALM", "turn.test"),
            ("TURN_CRED_JWT_SECRET", JWT_SECRET),
        ];
        let mut process = program(&[], &settings).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut waiting = Self { process, log, public, internal, admin };
        let line = waiting.logs(WAITS).await;
        assert!(line.contains("WARN") && line.contains("TURN_CRED_REDIS_URL"), "{line}");
        waiting
    }

    /// Reads the log up to a line with these words.
    async fn logs(&mut self, words: &str) -> String {
        loop {
            let line = self.log.next_line().await.unwrap().expect("the service has ended");
            if line.contains(words) {
                return line;
            }
        }
    }

    async fn probe(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.admin)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Requests a credential as a client does, and returns the status.
    async fn issue(&self) -> u16 {
        let url = format!("http://{}/v1/ice-servers", self.public);
        let request = reqwest::Client::new().post(url).bearer_auth(token("ana"));
        request.send().await.unwrap().status().as_u16()
    }

    /// Requests ICE servers as a node does.
    async fn issue_internally(&self) -> reqwest::Response {
        let url = format!("http://{}/internal/v1/ice-servers", self.internal);
        let request = reqwest::Client::new().post(url).bearer_auth(INTERNAL_TOKEN);
        request.body(r#"{"subject":"ana"}"#).send().await.unwrap()
    }
}

#[tokio::test]
async fn a_service_started_without_redis_is_alive_refuses_callers_and_serves_once_redis_is_there() {
    let mut redis = Redis::start().await;
    redis.kill().await;
    let mut service = Waiting::start(&redis).await;
    assert_eq!(service.probe("/livez").await.0, 200);
    assert_eq!(service.probe("/startupz").await.0, 200, "a startup probe must not end it");
    let (status, reason) = service.probe("/readyz").await;
    assert!(status == 503 && reason.contains(WAITS) && reason.contains("refused"), "{reason}");
    assert_eq!(service.issue().await, 503);
    let refused = service.issue_internally().await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(refused.text().await.unwrap().contains("\"unavailable\""));
    let metrics = service.probe("/metrics").await.1;
    assert!(metrics.contains("turncred_refused_total{reason=\"starting\"} 2"), "{metrics}");

    redis.restart().await;
    let reached = service.logs("the relays' Redis has been reached");
    timeout(SERVES_WITHIN, reached).await.expect("the service serves");
    while service.probe("/readyz").await.0 != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(service.issue().await, 200);
    assert_eq!(service.issue_internally().await.status(), 200);
}

#[tokio::test]
async fn a_service_waits_for_a_redis_that_is_loading_its_data() {
    let mut redis = Redis::start().await;
    redis.load_slowly(4_000).await;
    let mut service = Waiting::start(&redis).await;
    let (status, reason) = service.probe("/readyz").await;
    assert!(status == 503 && reason.contains("loading"), "{reason}");
    service.logs("the relays' Redis has been reached").await;
}

#[tokio::test]
async fn a_service_that_waits_for_redis_ends_at_once_when_it_is_told_to() {
    let mut redis = Redis::start().await;
    redis.kill().await;
    let mut service = Waiting::start(&redis).await;
    let pid = service.process.id().unwrap().to_string();
    std::process::Command::new("kill").arg(pid).status().unwrap();
    let ended = timeout(Duration::from_secs(5), service.process.wait()).await;
    assert_eq!(ended.expect("it ends").unwrap().code(), Some(0));
}
