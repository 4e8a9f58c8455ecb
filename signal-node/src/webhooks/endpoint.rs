//! One endpoint of a back end, and a request to it.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use service_kit::clock;
use service_kit::secrets::SecretSource;
use sha2::{Digest as _, Sha256};
use url::Host;

use super::address::{AllowedAddresses, ForbiddenAddress};
use super::schedule::EndpointFailure;
use super::signature::sign;
use crate::log::{EndpointId, LONGEST_PAUSE, Letter};

/// How much of an answer is read, so that its connection can be used again.
const ANSWER_BYTES: usize = 16_384;

/// The URL of an endpoint. It may hold a secret, so only its origin is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Url);

impl EndpointUrl {
    /// Returns what may be shown: `https://HOST:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    fn id(&self) -> EndpointId {
        let digest = Sha256::digest(self.0.as_str());
        let id = digest[..6].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        EndpointId(id.into())
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointUrl({})", self.origin())
    }
}

impl FromStr for EndpointUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.parse().map_err(|_| "is no URL: write https://HOST/PATH")?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("is neither https:// nor http://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user or a password in it: messages are signed, so leave them out");
        }
        Ok(Self(url))
    }
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    /// The address is not allowed.
    #[error("{0}")]
    Forbidden(#[from] ForbiddenAddress),
    /// There was no answer.
    #[error("{0}")]
    NoAnswer(String),
    /// The answer was not 2xx.
    #[error("it answered {status}")]
    Status {
        /// Which one.
        status: StatusCode,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The file of secrets holds none that is usable any more.
    #[error("no secret to sign with is usable")]
    NoSecret,
}

impl AttemptError {
    /// Returns what that says of the endpoint. 410 asks for no more messages; they wait, since the answer may be a mistake.
    pub(super) fn of_endpoint(&self) -> EndpointFailure {
        let Self::Status { status, retry_after } = self else { return EndpointFailure::Endpoint };
        match *status {
            StatusCode::GONE => EndpointFailure::Pause(LONGEST_PAUSE),
            status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                retry_after.map_or(EndpointFailure::Endpoint, EndpointFailure::Pause)
            }
            _ => EndpointFailure::Message,
        }
    }
}

/// An endpoint, and how it is reached.
pub(super) struct Endpoint {
    pub(super) id: EndpointId,
    /// What is shown of its URL.
    pub(super) origin: String,
    url: EndpointUrl,
    client: Client,
    secrets: SecretSource,
    allowed: AllowedAddresses,
}

impl Endpoint {
    /// Prepares requests; nothing is sent yet.
    ///
    /// # Errors
    /// If the HTTP client cannot be made.
    pub(super) fn new(
        url: EndpointUrl,
        secrets: SecretSource,
        networks: &[ipnet::IpNet],
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let is_encrypted = url.0.scheme() == "https";
        let allowed = AllowedAddresses { networks: networks.into(), is_encrypted };
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .dns_resolver(std::sync::Arc::new(allowed.clone()))
            .user_agent(concat!("signal-node/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .build()?;
        Ok(Self { id: url.id(), origin: url.origin(), url, client, secrets, allowed })
    }

    /// Sends a message once.
    pub(super) async fn post(&self, letter: &Letter) -> Result<(), AttemptError> {
        self.check_literal()?;
        let timestamp = clock::unix_seconds();
        let signature = sign(&self.secrets.current(), &letter.id, timestamp, &letter.body)
            .ok_or(AttemptError::NoSecret)?;
        let request = self.client.post(self.url.0.clone()).body(letter.body.clone());
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &letter.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature);
        let answer = request.send().await.map_err(no_answer)?;
        check_status(&answer)?;
        discard(answer).await;
        Ok(())
    }

    /// Asks whether something answers there, without a message.
    pub(super) async fn probe(&self) -> Result<StatusCode, AttemptError> {
        self.check_literal()?;
        let answer = self.client.head(self.url.0.clone()).send().await.map_err(no_answer)?;
        Ok(answer.status())
    }

    /// Checks an address that stands in the URL itself, which no resolver sees.
    fn check_literal(&self) -> Result<(), ForbiddenAddress> {
        let address = match self.url.0.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.allowed.check("the endpoint", address)
    }
}

fn check_status(answer: &reqwest::Response) -> Result<(), AttemptError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| text.trim().parse().ok());
    let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE));
    Err(AttemptError::Status { status, retry_after })
}

/// Reads the rest of a short answer. What it says is of no use, and an error is none: the message was accepted.
async fn discard(mut answer: reqwest::Response) {
    let mut read = 0;
    while read < ANSWER_BYTES {
        match answer.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

/// Tells what a failure of the client is, without the URL.
fn no_answer(error: reqwest::Error) -> AttemptError {
    let error = error.without_url();
    let mut source: Option<&dyn Error> = Some(&error);
    let mut innermost = String::new();
    while let Some(cause) = source {
        if let Some(forbidden) = cause.downcast_ref::<ForbiddenAddress>() {
            return AttemptError::Forbidden(forbidden.clone());
        }
        innermost = cause.to_string();
        source = cause.source();
    }
    if error.is_timeout() {
        return AttemptError::NoAnswer("no answer in time".to_owned());
    }
    AttemptError::NoAnswer(innermost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret_and_names_its_endpoint() {
        let url: EndpointUrl = "https://hooks.example:8443/s3cret?k=1".parse().unwrap();
        assert_eq!(format!("{url:?}"), "EndpointUrl(https://hooks.example:8443)");
        let other: EndpointUrl = "https://hooks.example:8443/other".parse().unwrap();
        assert_eq!(url.id(), url.clone().id());
        assert_ne!(url.id(), other.id());
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in ["hooks.example", "ftp://hooks.example", "https://ana:pw@hooks.example/", ""] {
            assert!(text.parse::<EndpointUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_says_whether_the_message_or_the_endpoint_is_at_fault() {
        let of = |status: u16, seconds: Option<u64>| {
            let retry_after = seconds.map(Duration::from_secs);
            let status = StatusCode::from_u16(status).unwrap();
            AttemptError::Status { status, retry_after }.of_endpoint()
        };
        assert_eq!(of(400, None), EndpointFailure::Message);
        assert_eq!(of(302, None), EndpointFailure::Message);
        assert_eq!(of(500, None), EndpointFailure::Endpoint);
        assert_eq!(of(503, Some(9)), EndpointFailure::Pause(Duration::from_secs(9)));
        assert_eq!(of(429, Some(9)), EndpointFailure::Pause(Duration::from_secs(9)));
        assert_eq!(of(410, None), EndpointFailure::Pause(LONGEST_PAUSE));
    }
}
