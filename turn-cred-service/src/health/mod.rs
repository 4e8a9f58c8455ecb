//! Probes the relays and keeps clients away from those that do not work.
//!
//! Every URL has a probe loop. Most rounds send one STUN Binding request, which costs the relay
//! nothing; every tenth round, and every round while the URL is not healthy, performs the whole
//! sequence of a client. One failure makes a URL `Suspect`, so others are preferred; three in a row
//! take it out of all answers, and nodes are notified so that running calls get new relays.

mod probe;
mod url_health;

use std::time::{Duration, Instant};

use service_kit::clock;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::credential::{Credential, Subject};
use crate::issuer::Issuer;
use crate::metrics::Metrics;
use crate::pool::{IceUri, Name, Standing, Standings};
use crate::relay::{ClockSkew, ConnectOptions, RelayError, SkewSearch, SkewStep};
use url_health::UrlHealth;

pub(crate) use probe::simulate_call;

/// One probe in this many performs the full client sequence.
const FULL_PROBE_EVERY: u64 = 10;

/// A suspect URL is probed this many times as often.
const SUSPECT_SPEEDUP: u32 = 4;

/// TTL of the credential used by a probe, in seconds.
const TTL: i64 = 60;

/// Interval at which the clocks are compared.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(600);

/// Probes all relays of an issuer and reports their health to it.
#[derive(Clone, Debug)]
pub(crate) struct RelayMonitor {
    pub(crate) issuer: Issuer,
    pub(crate) connect_options: ConnectOptions,
    pub(crate) every: Duration,
    pub(crate) metrics: Metrics,
}

/// A URL and its position in [`Standings`].
#[derive(Clone, Debug)]
struct MonitoredUrl {
    relay_index: usize,
    uri_index: usize,
    name: Name,
    uri: IceUri,
}

/// The new standing of a URL.
struct UrlStanding {
    url: MonitoredUrl,
    standing: Standing,
}

impl RelayMonitor {
    /// Probes every relay until the future is dropped.
    pub(crate) async fn run(self) {
        let (sender, mut changes) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        for url in self.urls() {
            if url.uri_index == 0 {
                tasks.spawn(self.clone().clock_skew_loop(url.clone()));
            }
            tasks.spawn(self.clone().probe_loop(url, sender.clone()));
        }
        drop(sender);
        let mut standings = self.issuer.standings();
        while let Some(change) = changes.recv().await {
            self.apply(&mut standings, &change);
        }
    }

    fn urls(&self) -> Vec<MonitoredUrl> {
        let relays = self.issuer.pools().relays().enumerate();
        let uris = relays.flat_map(|(relay_index, relay)| {
            relay.uris.iter().enumerate().map(move |uri| (relay_index, relay, uri))
        });
        uris.map(|(relay_index, relay, (uri_index, uri))| MonitoredUrl {
            relay_index,
            uri_index,
            name: relay.name.clone(),
            uri: uri.clone(),
        })
        .collect()
    }

    async fn probe_loop(self, url: MonitoredUrl, changes: mpsc::Sender<UrlStanding>) {
        let subject = probe_subject();
        let mut health = UrlHealth::new();
        for round in 0_u64.. {
            let is_in_doubt = health.standing() != Standing::Healthy;
            let full = is_in_doubt || round.is_multiple_of(FULL_PROBE_EVERY);
            let result = self.probe_once(&url.uri, &subject, full).await;
            self.report(&url, &result, health.standing());
            health = health.record(probe::classify(&result));
            let change = UrlStanding { url: url.clone(), standing: health.standing() };
            if changes.send(change).await.is_err() {
                return;
            }
            tokio::time::sleep(self.pause(health.standing())).await;
        }
    }

    async fn probe_once(
        &self,
        uri: &IceUri,
        subject: &Subject,
        full: bool,
    ) -> Result<(), RelayError> {
        let began = Instant::now();
        let result = if full {
            probe::simulate_call(uri, &self.connect_options, &self.credential(subject, TTL)).await
        } else {
            probe::check_binding(uri, &self.connect_options).await
        };
        self.metrics.relays.probe_seconds.observe(began.elapsed().as_secs_f64());
        result
    }

    /// Compares the relay's clock with this machine's, which expiries are computed from, and warns
    /// before the difference costs credentials.
    async fn clock_skew_loop(self, url: MonitoredUrl) {
        let name = &url.name;
        loop {
            if let Ok(ClockSkew::Ahead(seconds)) = self.skew(&url.uri).await {
                self.metrics.relays.clock_skew.with_label_values(&[name.as_str()]).set(seconds);
                if seconds.unsigned_abs() > self.issuer.clamp_ttl(None).as_secs() / 4 {
                    warn!(relay = %name, seconds, "the clock of relay {name} is {seconds} s ahead \
                        of this machine's: it may reject valid credentials or accept expired ones");
                }
            }
            tokio::time::sleep(CLOCK_CHECK_INTERVAL).await;
        }
    }

    async fn skew(&self, uri: &IceUri) -> Result<ClockSkew, RelayError> {
        let (mut search, subject) = (SkewSearch::default(), probe_subject());
        loop {
            match search.next() {
                SkewStep::Found(skew) => return Ok(skew),
                SkewStep::Try(offset) => {
                    let credential = self.credential(&subject, offset);
                    search.record(
                        offset,
                        probe::accepts_credential(uri, &self.connect_options, &credential).await?,
                    );
                }
            }
        }
    }

    /// Issues a credential that expires `offset` seconds from now.
    fn credential(&self, subject: &Subject, offset: i64) -> Credential {
        let keys = self.issuer.keys();
        let expiry = clock::unix_seconds().saturating_add_signed(offset);
        Credential::issue(keys.signing.current().signing(), &keys.pseudonym_of(subject), expiry)
    }

    fn pause(&self, standing: Standing) -> Duration {
        // Decide about a suspect quickly; a URL that is down may take a full interval to come back.
        if standing == Standing::Suspect { self.every / SUSPECT_SPEEDUP } else { self.every }
    }

    fn report(&self, url: &MonitoredUrl, result: &Result<(), RelayError>, standing: Standing) {
        let (name, uri) = (&url.name, &url.uri);
        let outcome = if result.is_ok() { "ok" } else { "failed" };
        self.metrics.relays.probes.with_label_values(&[name.as_str(), outcome]).inc();
        if let (Err(error), Standing::Healthy) = (result, standing) {
            warn!(relay = %name, %uri, %error, "relay {name} failed at {uri}: {error}");
        }
    }

    /// Stores a standing and, if it changed, publishes the new health table.
    fn apply(&self, standings: &mut Standings, change: &UrlStanding) {
        let UrlStanding { url: MonitoredUrl { relay_index, uri_index, name, uri }, standing } =
            change;
        let up = i64::from(standing.is_offered());
        self.metrics.relays.up.with_label_values(&[name.as_str(), uri.as_str()]).set(up);
        let before = standings.of_uri(*relay_index, *uri_index);
        if before == *standing {
            return;
        }
        standings.set(*relay_index, *uri_index, *standing);
        self.issuer.set_health(standings.clone());
        let works = self
            .issuer
            .pools()
            .relays()
            .enumerate()
            .any(|(at, _)| standings.of_relay(at).is_offered());
        self.metrics.relays.degraded.set(i64::from(!works));
        info!(relay = %name, uri = %uri, standing = ?standing, "relay {name} is {standing:?} at \
            {uri}");
    }
}

/// A new user per loop: with a shared one, all probes of all instances would count against one
/// quota.
fn probe_subject() -> Subject {
    let name = format!("prober-{}", service_kit::random::token());
    name.parse().expect("base64url is allowed in subjects")
}
