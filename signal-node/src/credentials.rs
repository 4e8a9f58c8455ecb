//! Where ICE servers come from: the credential service beside the node.
//!
//! A join never waits for it longer than 500 ms; while it is away, members are told so by `"ice":null`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HOST};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use service_kit::secrets::SecretSource;
use service_kit::trace::{Kind, Parent, Span, TRACEPARENT};
use signal_protocol::{IceReason, IceServers, RoomId};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::metrics::Metrics;

/// Whom ICE servers are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceOwner {
    /// The subject, or this very connection where there is none.
    pub subject: String,
    /// The address of a client without a subject, IPv6 by /64: relays count all of them there as one user.
    pub network: Option<IpAddr>,
    /// When the token of the subject ends, in Unix seconds: no credential outlives it.
    pub until: Option<u64>,
    /// The room whose members should meet on one relay.
    pub room: Option<RoomId>,
}

/// What stands for the host where there is none but a socket.
const LOCAL: &str = "http://localhost";

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long news is waited for: the service answers sooner, also that there is none.
const NEWS_WITHIN: Duration = Duration::from_secs(40);

/// How long a connection is kept that nobody uses: shorter than the service does, so that it never closes
/// one that is being taken again.
const IDLE: Duration = Duration::from_secs(3);

/// Pause before a service that did not answer is asked for news again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A service that has given no good answer for so long is reported: one that starts beside the node takes less.
const REPORT_AFTER: Duration = Duration::from_secs(5);

/// Where the credential service listens for its node.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsUrl {
    Unix(PathBuf),
    /// `http://` or `https://`, with a shared token.
    Http(reqwest::Url),
}

impl std::str::FromStr for CredentialsUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        match text.parse::<reqwest::Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Self::Http(url)),
            _ => Err("write unix:PATH or http://HOST:PORT"),
        }
    }
}

/// The way to the credential service.
pub struct Credentials {
    client: reqwest::Client,
    base: String,
    token: Option<SecretSource>,
    metrics: Arc<Metrics>,
    news: watch::Sender<IceReason>,
    /// Why the service gives no good answer, after [`REPORT_AFTER`].
    failure: watch::Sender<Option<String>>,
}

#[derive(Serialize)]
struct Request<'a> {
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// A change of what the service hands out.
#[derive(Clone, Copy, Deserialize)]
struct Change {
    number: u64,
    reason: IceReason,
}

/// Why there are no ICE servers.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("it answered {0}")]
    Status(reqwest::StatusCode),
}

impl FetchError {
    /// What to do about it.
    fn advice(&self) -> &'static str {
        let Self::Status(status) = self else {
            return "look whether the service runs, and at its address in SIGNAL_NODE_CREDENTIALS_URL";
        };
        match status.as_u16() {
            401 => "SIGNAL_NODE_CREDENTIALS_TOKEN has to hold a key of TURN_CRED_INTERNAL_TOKEN",
            403 => {
                "SIGNAL_NODE_CREDENTIALS_URL has to lead to the internal listener, without a proxy that adds an Origin"
            }
            404 => {
                "SIGNAL_NODE_CREDENTIALS_URL has to lead to the internal listener, TURN_CRED_INTERNAL_LISTEN"
            }
            _ => "look into the log of the credential service",
        }
    }
}

impl Credentials {
    /// Prepares the way; nothing is asked yet.
    ///
    /// # Errors
    /// If the HTTP client cannot be made.
    pub fn new(
        url: &CredentialsUrl,
        token: Option<SecretSource>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, reqwest::Error> {
        let builder = reqwest::Client::builder().no_proxy().pool_idle_timeout(IDLE);
        let (builder, base) = match url {
            CredentialsUrl::Unix(path) => (builder.unix_socket(path.as_path()), LOCAL.to_owned()),
            CredentialsUrl::Http(url) => (builder, url.as_str().trim_end_matches('/').to_owned()),
        };
        let news = watch::Sender::new(IceReason::Refresh);
        let failure = watch::Sender::new(None);
        Ok(Self { client: builder.build()?, base, token, metrics, news, failure })
    }

    /// Changes when the service begins to give no good answer, and when it gives one again.
    #[must_use]
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.subscribe()
    }

    /// Changes when other ICE servers are to be had.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<IceReason> {
        self.news.subscribe()
    }

    /// Returns why what is handed out changed last.
    #[must_use]
    pub fn latest_news(&self) -> IceReason {
        *self.news.borrow()
    }

    /// Asks for ICE servers; `None` if there are none to be had now. `region` is where a proxy says the
    /// client is, `trace` where the question belongs, if it is traced.
    pub async fn fetch(
        &self,
        owner: &IceOwner,
        region: Option<&str>,
        trace: Option<Box<Parent>>,
    ) -> Option<Arc<IceServers>> {
        let span = trace.map(|parent| Span::under(*parent, "POST", Kind::Client));
        let timer = self.metrics.ice_seconds.with_label_values::<&str>(&[]).start_timer();
        let found = self.ask(owner, region, span.as_ref()).await;
        if let (Some(span), Err(_)) = (&span, &found) {
            span.fail();
        }
        timer.observe_duration();
        let result = if found.is_ok() { "ok" } else { "unavailable" };
        self.metrics.ice_fetches.with_label_values(&[result]).inc();
        found
            .inspect_err(
                |error| warn!(%error, "no ICE servers: the credential service is unavailable"),
            )
            .ok()
            .inspect(|servers| self.metrics.calls.know(servers))
            .map(Arc::new)
    }

    /// Tells the sessions whenever what the service hands out has changed; ends with the node.
    pub async fn follow(&self) {
        let mut known = None;
        let mut failing_since = None;
        loop {
            match self.next_change(known).await {
                Ok(change) => {
                    failing_since = None;
                    self.report_good_answer();
                    let is_news = known.is_some_and(|known| known != change.number);
                    known = Some(change.number);
                    if is_news {
                        info!(reason = ?change.reason, "the credential service issues other ICE servers now");
                        self.news.send_replace(change.reason);
                    }
                }
                Err(error) => {
                    debug!(%error, "cannot follow the changes at the credential service");
                    if failing_since.get_or_insert_with(Instant::now).elapsed() >= REPORT_AFTER {
                        self.report_failure(&error);
                    }
                    tokio::time::sleep(ASK_AGAIN_AFTER).await;
                }
            }
        }
    }

    fn report_good_answer(&self) {
        self.metrics.credentials_failing.set(0);
        if self.failure.send_replace(None).is_some() {
            info!("the credential service answers again");
        }
    }

    /// Reports it to probes and metrics; it is logged once for each reason.
    fn report_failure(&self, error: &FetchError) {
        self.metrics.credentials_failing.set(1);
        let words =
            format!("the credential service gives no good answer: {error}: {}", error.advice());
        self.failure.send_if_modified(|failure| {
            let is_new = failure.as_deref() != Some(words.as_str());
            if is_new {
                warn!("members get no relay credentials, since {words}");
                *failure = Some(words);
            }
            is_new
        });
    }

    /// Requests ICE servers for nobody, to see whether there are some; the error says what to do.
    pub(crate) async fn check(&self) -> Result<usize, (String, &'static str)> {
        let owner =
            IceOwner { subject: "doctor".to_owned(), network: None, until: None, room: None };
        let found = self.ask(&owner, None, None).await;
        found
            .map(|ice| ice.ice_servers.len())
            .map_err(|error| (format!("no good answer: {error}"), error.advice()))
    }

    async fn next_change(&self, known: Option<u64>) -> Result<Change, FetchError> {
        let after = known.map(|number| format!("?after={number}")).unwrap_or_default();
        let url = format!("{}/internal/v1/changes{after}", self.base);
        self.send(self.client.get(url).timeout(NEWS_WITHIN)).await
    }

    async fn ask(
        &self,
        owner: &IceOwner,
        hint: Option<&str>,
        span: Option<&Span>,
    ) -> Result<IceServers, FetchError> {
        let url = format!("{}/internal/v1/ice-servers", self.base);
        let room = owner.room.as_ref().map(RoomId::as_str);
        let IceOwner { subject, network, until, .. } = owner;
        let body = Request { subject, network: *network, until: *until, room, hint };
        let mut request = self.client.post(url).json(&body).timeout(PATIENCE);
        if let Some(parent) = span.and_then(Span::parent) {
            request = request.header(TRACEPARENT, parent.to_string());
        }
        self.send(request).await
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, FetchError> {
        let mut request = request;
        if self.base == LOCAL {
            request = request.header(HOST, "localhost");
        }
        if let Some(token) = &self.token {
            let secrets = token.current();
            let bearer = String::from_utf8_lossy(secrets.signing()).into_owned();
            request = request.header(AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let response = request.send().await?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status()));
        }
        Ok(response.json().await?)
    }
}
