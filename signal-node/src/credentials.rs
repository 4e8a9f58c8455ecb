//! Where ICE servers come from: the credential service beside the node.
//!
//! A join never waits for it longer than 500 ms; while it is away, members are told so by `"ice":null`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HOST};
use serde::Serialize;
use service_kit::secrets::SecretSource;
use signal_protocol::IceServers;
use tracing::warn;

use crate::metrics::Metrics;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where the credential service listens for its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsUrl {
    /// A Unix socket.
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
    url: String,
    token: Option<SecretSource>,
    metrics: Arc<Metrics>,
}

#[derive(Serialize)]
struct Request<'a> {
    subject: &'a str,
}

/// Why there are no ICE servers.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("it answered {0}")]
    Status(reqwest::StatusCode),
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
        let builder = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
        let (builder, base) = match url {
            CredentialsUrl::Unix(path) => {
                (builder.unix_socket(path.as_path()), "http://localhost".to_owned())
            }
            CredentialsUrl::Http(url) => (builder, url.as_str().trim_end_matches('/').to_owned()),
        };
        let url = format!("{base}/internal/v1/ice-servers");
        Ok(Self { client: builder.build()?, url, token, metrics })
    }

    /// Asks for ICE servers for a subject; `None` if there are none to be had now.
    pub async fn fetch(&self, subject: &str) -> Option<Arc<IceServers>> {
        let timer = self.metrics.ice_seconds.with_label_values::<&str>(&[]).start_timer();
        let found = self.ask(subject).await;
        timer.observe_duration();
        let result = if found.is_ok() { "ok" } else { "unavailable" };
        self.metrics.ice_fetches.with_label_values(&[result]).inc();
        found
            .inspect_err(|error| warn!(%error, "no ICE servers: the credential service is away"))
            .ok()
            .map(Arc::new)
    }

    async fn ask(&self, subject: &str) -> Result<IceServers, FetchError> {
        let mut request = self.client.post(&self.url).json(&Request { subject });
        if self.url.starts_with("http://localhost/") {
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
