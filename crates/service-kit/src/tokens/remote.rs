//! Public keys of an identity provider, kept through its outages.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, redirect};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::jwks::{KeySet, MAX_BYTES};

/// Interval of regular fetches.
const REFRESH_EVERY: Duration = Duration::from_secs(300);
/// Shortest time between fetches caused by unknown `kid`s: forged tokens must not flood the
/// provider.
const REFETCH_AFTER: Duration = Duration::from_secs(30);
/// First pause after a failed fetch; doubles up to [`REFETCH_AFTER`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Timeout of one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Greatest age of kept keys: a provider that was silent for so long may have withdrawn them.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Longest wait of a caller with an unknown `kid`.
const WAIT_TIMEOUT: Duration = Duration::from_secs(3);

/// The keys of the last successful fetch.
#[derive(Clone, Default)]
struct FetchedKeys {
    keys: Arc<KeySet>,
    /// `None` before the first one.
    at: Option<Instant>,
}

/// The keys behind one URL, and the state of their fetches.
pub(super) struct RemoteKeys {
    url: Url,
    client: Client,
    keys: RwLock<FetchedKeys>,
    /// Wakes the fetch loop after an unknown `kid`.
    fetch_requested: Notify,
    /// Earliest time of the next fetch caused by an unknown `kid`.
    refetch_from: Mutex<Instant>,
    fetching: AtomicBool,
    /// Number of finished fetches.
    fetched: watch::Sender<u64>,
}

impl RemoteKeys {
    /// Checks the URL and creates the client; fetches nothing.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let url: Url = url.parse().map_err(|error| format!("is not a URL: {error}"))?;
        if !is_https_or_loopback(&url) {
            return Err("must be https: plain http is accepted on loopback only".into());
        }
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(FETCH_TIMEOUT)
            .build()
            .map_err(|error| format!("no HTTP client can be made: {error}"))?;
        Ok(Self {
            url,
            client,
            keys: RwLock::default(),
            fetch_requested: Notify::new(),
            refetch_from: Mutex::new(Instant::now()),
            fetching: AtomicBool::new(true), // the first fetch is under way from the start
            fetched: watch::Sender::new(0),
        })
    }

    /// Returns the keys of the last successful fetch; none if it is longer ago than [`MAX_AGE`].
    pub(super) fn current(&self) -> Arc<KeySet> {
        let FetchedKeys { keys, at } =
            self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let fresh = at.is_some_and(|at| at.elapsed() < MAX_AGE);
        if fresh { keys } else { Arc::default() }
    }

    /// Requests a fetch after an unknown `kid`, unless one runs or was caused that way recently.
    pub(super) fn request_fetch(&self) {
        let now = Instant::now();
        let mut from = self.refetch_from.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= *from && !self.fetching.swap(true, Ordering::SeqCst) {
            *from = now + REFETCH_AFTER;
            self.fetch_requested.notify_one();
        }
    }

    /// Waits for the running fetch, if any. Subscribes before it checks `fetching`: a fetch that
    /// ends in between would otherwise be waited for in vain.
    pub(super) async fn wait_idle(&self) {
        let mut fetched = self.fetched.subscribe();
        if self.fetching.load(Ordering::SeqCst) {
            // A fetch slower than [`WAIT_TIMEOUT`] ends in the error "unknown key".
            let _ = timeout(WAIT_TIMEOUT, fetched.changed()).await;
        }
    }

    /// Fetches until `shutdown`.
    pub(super) async fn run(&self, shutdown: CancellationToken) {
        let mut retry = FIRST_RETRY;
        while let Some(outcome) = shutdown.run_until_cancelled(self.fetch()).await {
            let pause = self.store(outcome, &mut retry);
            self.fetching.store(false, Ordering::SeqCst);
            self.fetched.send_modify(|count| *count += 1);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(pause) => self.fetching.store(true, Ordering::SeqCst),
                () = self.fetch_requested.notified() => {}
            }
        }
    }

    /// Stores fetched keys or keeps the previous ones; returns the pause until the next fetch.
    fn store(&self, outcome: Result<KeySet, String>, retry: &mut Duration) -> Duration {
        match outcome {
            Ok(keys) => {
                match keys.counts() {
                    (0, skipped) => warn!(
                        skipped,
                        "the token keys are withdrawn: the set has none that verifies"
                    ),
                    (count, skipped) => info!(count, skipped, "fetched the token keys"),
                }
                let fetched = FetchedKeys { keys: Arc::new(keys), at: Some(Instant::now()) };
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = fetched;
                *retry = FIRST_RETRY;
                REFRESH_EVERY
            }
            Err(reason) => {
                let pause = *retry;
                warn!(
                    "cannot fetch the token keys, keeping the previous ones for a day at most: {reason}"
                );
                *retry = (pause * 2).min(REFETCH_AFTER);
                pause
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let request = self.client.get(self.url.clone());
        // The URL may contain a password, so errors are reported without it.
        let without_url = |error: reqwest::Error| error.without_url().to_string();
        let mut response = request.send().await.map_err(without_url)?;
        if response.status() != StatusCode::OK {
            return Err(format!("the provider answered {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(without_url)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(format!("the key set has more than {MAX_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(body).map_err(|_| "the key set is not UTF-8")?;
        KeySet::parse(&text)
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// Requires TLS except on loopback: whoever can replace the keys can sign any token.
fn is_https_or_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn kept_keys_have_a_greatest_age_and_an_empty_set_replaces_them() {
        let remote = RemoteKeys::new("https://id.example/keys").unwrap();
        let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let mut retry = FIRST_RETRY;
        remote.store(KeySet::parse(set), &mut retry);
        assert!(remote.current().has("a"));
        remote.store(KeySet::parse(r#"{"keys":[]}"#), &mut retry);
        assert!(!remote.current().has("a"), "withdrawn");

        remote.store(KeySet::parse(set), &mut retry);
        remote.store(Err("away".to_owned()), &mut retry);
        tokio::time::advance(MAX_AGE.checked_sub(FIRST_RETRY).unwrap()).await;
        assert!(remote.current().has("a"), "kept through an outage");
        tokio::time::advance(FIRST_RETRY).await;
        assert!(!remote.current().has("a"), "but not for ever");
    }

    #[test]
    fn keys_over_plain_http_are_taken_from_loopback_only() {
        for (url, good) in [
            ("https://id.example/keys", true),
            ("http://127.0.0.1:9/keys", true),
            ("http://[::1]:9/keys", true),
            ("http://localhost/keys", true),
            ("http://id.example/keys", false),
            ("http://127.0.0.1.id.example/keys", false),
            ("file:///etc/passwd", false),
            ("keys", false),
        ] {
            assert_eq!(RemoteKeys::new(url).is_ok(), good, "{url}");
        }
    }
}
