//! A back end: a real HTTP server that keeps what it is sent and answers as the test says.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

use crate::support::polling::becomes_true;

/// Two secrets, as a file holds them.
pub(super) const SECRETS: &str =
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nwhsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How long a test waits for what a receiver should get.
const LIMIT: Duration = Duration::from_secs(20);

/// How a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ok,
    Status(u16),
    /// It takes the message and never answers.
    Stall,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) id: String,
    pub(super) body: Value,
    pub(super) answer: Answer,
}

impl Received {
    pub(super) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }
}

#[derive(Default)]
struct Back {
    received: Mutex<Vec<Received>>,
    /// How the next ones are answered.
    answers: Mutex<VecDeque<Answer>>,
    /// How all others are.
    otherwise: Mutex<Option<Answer>>,
    requests: AtomicUsize,
}

/// A receiver; it ends with the runtime of the test.
pub(super) struct Receiver {
    pub(super) port: u16,
    back: Arc<Back>,
}

impl Receiver {
    /// Starts one that answers `answers` first, and then that all is well.
    pub(super) async fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let back = Arc::new(Back::default());
        back.answers.lock().unwrap().extend(answers);
        let router = Router::new().route("/hook", post(take)).fallback(other);
        let router = router.with_state(back.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, back }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// Answers everything like this from now on, but for what is said of the next ones.
    pub(super) fn answer_all(&self, answer: Answer) {
        *self.back.otherwise.lock().unwrap() = Some(answer);
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.back.received.lock().unwrap().clone()
    }

    /// Returns how many requests of whatever kind have come.
    pub(super) fn requests(&self) -> usize {
        self.back.requests.load(Ordering::SeqCst)
    }

    /// Waits until so many messages were accepted, and returns each once, as a back end that knows their ids takes them.
    pub(super) async fn accepts(&self, count: usize) -> Vec<Received> {
        let accepted = || {
            let mut seen = HashSet::new();
            let received = self.received().into_iter().filter(|one| one.answer == Answer::Ok);
            received.filter(|one| seen.insert(one.id.clone())).collect::<Vec<_>>()
        };
        becomes_true(&format!("{count} accepted webhooks"), LIMIT, async || {
            accepted().len() >= count
        })
        .await;
        accepted()
    }

    /// Waits until so many messages have come, however they were answered.
    pub(super) async fn gets(&self, count: usize) {
        becomes_true("webhooks that come", LIMIT, async || self.received().len() >= count).await;
    }
}

async fn other(State(back): State<Arc<Back>>) -> StatusCode {
    back.requests.fetch_add(1, Ordering::SeqCst);
    StatusCode::NOT_FOUND
}

async fn take(State(back): State<Arc<Back>>, headers: HeaderMap, body: String) -> Response {
    back.requests.fetch_add(1, Ordering::SeqCst);
    let next = back.answers.lock().unwrap().pop_front();
    let answer = next.or(*back.otherwise.lock().unwrap()).unwrap_or(Answer::Ok);
    let id = verified(&headers, &body);
    let received = Received { id, body: serde_json::from_str(&body).unwrap(), answer };
    back.received.lock().unwrap().push(received);
    match answer {
        Answer::Ok => StatusCode::NO_CONTENT.into_response(),
        Answer::Status(status) => {
            let elsewhere = [("location", "/elsewhere")];
            (StatusCode::from_u16(status).unwrap(), elsewhere).into_response()
        }
        Answer::Stall => std::future::pending().await,
    }
}

/// Verifies both signatures as a receiver of one secret each would, and returns the id.
fn verified(headers: &HeaderMap, body: &str) -> String {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let age = service_kit::clock::unix_seconds().abs_diff(timestamp.parse().unwrap());
    assert!(age < 60, "{timestamp}");
    let signatures: Vec<String> =
        header("webhook-signature").split(' ').map(str::to_owned).collect();
    for secret in SECRETS.lines() {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert!(signatures.contains(&signature), "{signatures:?}");
    }
    id
}
