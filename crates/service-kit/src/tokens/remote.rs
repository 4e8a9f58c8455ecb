//! Public keys fetched from an identity provider and kept through its outages.

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

/// How often the keys are fetched when nobody asks for an unknown one.
const REFRESH_EVERY: Duration = Duration::from_secs(300);
/// How soon unknown `kid`s may cause another fetch: forged tokens must not flood the provider.
const REFETCH_AFTER: Duration = Duration::from_secs(30);
/// The first pause after a failed fetch; it doubles up to [`REFETCH_AFTER`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// How long one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller with an unknown `kid` waits for a fetch.
const WAIT_TIMEOUT: Duration = Duration::from_secs(3);

/// The keys behind one URL.
pub(super) struct RemoteKeys {
    url: Url,
    client: Client,
    keys: RwLock<Arc<KeySet>>,
    /// Says that somebody met an unknown `kid`.
    fetch_requested: Notify,
    /// When an unknown `kid` may cause a fetch again.
    refetch_from: Mutex<Instant>,
    fetching: AtomicBool,
    /// Counts the fetches that ended.
    fetched: watch::Sender<u64>,
}

impl RemoteKeys {
    /// Checks the URL and prepares the client; nothing is fetched yet.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let url: Url = url.parse().map_err(|error| format!("is not a URL: {error}"))?;
        if !is_https_or_loopback(&url) {
            return Err("is not https: keys over plain http are taken from loopback only".into());
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

    /// Hands out the keys last fetched.
    pub(super) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks for a fetch after an unknown `kid`, unless one was caused that way just now.
    pub(super) fn request_fetch(&self) {
        let now = Instant::now();
        let mut from = self.refetch_from.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= *from && !self.fetching.swap(true, Ordering::SeqCst) {
            *from = now + REFETCH_AFTER;
            self.fetch_requested.notify_one();
        }
    }

    /// Waits for the fetch under way, if there is one.
    pub(super) async fn wait_idle(&self) {
        let mut fetched = self.fetched.subscribe();
        if self.fetching.load(Ordering::SeqCst) {
            // A fetch slower than the patience ends in the answer "unknown key".
            let _ = timeout(WAIT_TIMEOUT, fetched.changed()).await;
        }
    }

    /// Fetches now and again until `shutdown`.
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

    /// Stores what was fetched, or keeps what there is, and says how long to pause.
    fn store(&self, outcome: Result<KeySet, String>, retry: &mut Duration) -> Duration {
        match outcome {
            Ok(keys) => {
                info!("fetched the token keys");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                *retry = FIRST_RETRY;
                REFRESH_EVERY
            }
            Err(reason) => {
                let pause = *retry;
                warn!("cannot fetch the token keys, keeping the ones at hand: {reason}");
                *retry = (pause * 2).min(REFETCH_AFTER);
                pause
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let request = self.client.get(self.url.clone());
        // The error is told without the URL, which may hold a password.
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

/// Who can change the keys can sign any token, so they travel encrypted or not at all.
fn is_https_or_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

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
