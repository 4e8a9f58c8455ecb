//! Watches the relays, so that nobody is sent to one that does not work.
//!
//! Every URL is tried all the time: mostly with a STUN Binding request, which costs the relay nothing,
//! now and then, and whenever something is wrong, with everything that a client does. One failure makes
//! a URL suspect and others preferred; three in a row take it out of all answers, and the nodes beside us
//! are told so that calls under way learn of a better relay.

mod judge;
mod probe;

use std::time::{Duration, Instant};

use service_kit::clock;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::credential::{Credential, Subject};
use crate::issuer::Issuer;
use crate::metrics::Metrics;
use crate::pool::{IceUri, Name, Standing, Standings};
use crate::relay::{Dialing, RelayError, Skew, SkewSearch, SkewStep};
use judge::Judge;

pub(crate) use probe::call;

/// One try in this many does all that a client does.
const CALL_EVERY: u64 = 10;

/// How much sooner a URL is tried again that is in doubt.
const IN_DOUBT: u32 = 4;

/// How long the credential lives that a try is made with, in seconds.
const TTL: i64 = 60;

/// How often clocks are compared.
const COMPARE_EVERY: Duration = Duration::from_secs(600);

/// What watching takes.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) issuer: Issuer,
    pub(crate) dialing: Dialing,
    pub(crate) every: Duration,
    pub(crate) metrics: Metrics,
}

/// One URL under watch.
#[derive(Clone, Debug)]
struct Watched {
    relay: usize,
    uri: usize,
    name: Name,
    text: IceUri,
}

/// What was found of a URL.
struct Found {
    watched: Watched,
    standing: Standing,
}

impl Watch {
    /// Watches every relay until dropped.
    pub(crate) async fn run(self) {
        let (found, mut findings) = mpsc::channel(64);
        let mut tries = JoinSet::new();
        for watched in self.watched() {
            if watched.uri == 0 {
                tries.spawn(self.clone().keep_comparing(watched.clone()));
            }
            tries.spawn(self.clone().keep_trying(watched, found.clone()));
        }
        drop(found);
        let mut standings = self.issuer.standings();
        while let Some(finding) = findings.recv().await {
            self.note(&mut standings, &finding);
        }
    }

    fn watched(&self) -> Vec<Watched> {
        let relays = self.issuer.pools().relays().enumerate();
        let uris =
            relays.flat_map(|(relay, r)| r.uris.iter().enumerate().map(move |u| (relay, r, u)));
        uris.map(|(relay, r, (uri, text))| Watched {
            relay,
            uri,
            name: r.name.clone(),
            text: text.clone(),
        })
        .collect()
    }

    async fn keep_trying(self, watched: Watched, found: mpsc::Sender<Found>) {
        let subject = prober();
        let mut judge = Judge::new();
        for round in 0_u64.. {
            let doubted = judge.standing() != Standing::Healthy;
            let in_full = doubted || round.is_multiple_of(CALL_EVERY);
            let tried = self.try_once(&watched.text, &subject, in_full).await;
            self.tell(&watched, &tried, judge.standing());
            judge = judge.judge(probe::outcome(&tried));
            let finding = Found { watched: watched.clone(), standing: judge.standing() };
            if found.send(finding).await.is_err() {
                return;
            }
            tokio::time::sleep(self.pause(judge.standing())).await;
        }
    }

    async fn try_once(
        &self,
        uri: &IceUri,
        subject: &Subject,
        in_full: bool,
    ) -> Result<(), RelayError> {
        let began = Instant::now();
        let tried = if in_full {
            probe::call(uri, &self.dialing, &self.credential(subject, TTL)).await
        } else {
            probe::greet(uri, &self.dialing).await
        };
        self.metrics.relays.probe_seconds.observe(began.elapsed().as_secs_f64());
        tried
    }

    /// Compares the clock of a relay with ours, by which credentials end, and warns while there is time.
    async fn keep_comparing(self, watched: Watched) {
        let name = &watched.name;
        loop {
            if let Ok(Skew::Ahead(seconds)) = self.skew(&watched.text).await {
                self.metrics.relays.clock_skew.with_label_values(&[name.as_str()]).set(seconds);
                if seconds.unsigned_abs() > self.issuer.settle(None).as_secs() / 4 {
                    warn!(relay = %name, seconds, "the clock of relay {name} is {seconds} s ahead of ours: \
                          it may refuse credentials that are good, or accept some that are over");
                }
            }
            tokio::time::sleep(COMPARE_EVERY).await;
        }
    }

    async fn skew(&self, uri: &IceUri) -> Result<Skew, RelayError> {
        let (mut search, subject) = (SkewSearch::default(), prober());
        loop {
            match search.next() {
                SkewStep::Found(skew) => return Ok(skew),
                SkewStep::Try(offset) => {
                    let credential = self.credential(&subject, offset);
                    search.learn(offset, probe::admits(uri, &self.dialing, &credential).await?);
                }
            }
        }
    }

    /// A credential of ours that ends at an offset from now, in seconds.
    fn credential(&self, subject: &Subject, offset: i64) -> Credential {
        let keys = self.issuer.keys();
        let expiry = clock::unix_seconds().saturating_add_signed(offset);
        Credential::issue(keys.signing.current().signing(), &keys.hide(subject), expiry)
    }

    fn pause(&self, standing: Standing) -> Duration {
        // Suspicion is settled quickly; what is down may take its time.
        if standing == Standing::Suspect { self.every / IN_DOUBT } else { self.every }
    }

    fn tell(&self, watched: &Watched, tried: &Result<(), RelayError>, standing: Standing) {
        let (name, uri) = (&watched.name, &watched.text);
        let result = if tried.is_ok() { "ok" } else { "failed" };
        self.metrics.relays.probes.with_label_values(&[name.as_str(), result]).inc();
        if let (Err(error), Standing::Healthy) = (tried, standing) {
            warn!(relay = %name, %uri, %error, "relay {name} failed at {uri}: {error}");
        }
    }

    /// Takes a finding in.
    fn note(&self, standings: &mut Standings, finding: &Found) {
        let Found { watched: Watched { relay, uri, name, text }, standing } = finding;
        let up = i64::from(standing.is_offered());
        self.metrics.relays.up.with_label_values(&[name.as_str(), text.as_str()]).set(up);
        let before = standings.of_uri(*relay, *uri);
        if before == *standing {
            return;
        }
        standings.set(*relay, *uri, *standing);
        self.issuer.set_health(standings.clone());
        let works =
            self.issuer.pools().relays().enumerate().any(|(at, _)| standings.of(at).is_offered());
        self.metrics.relays.degraded.set(i64::from(!works));
        info!(relay = %name, uri = %text, standing = ?standing, "relay {name} is {standing:?} at {text}");
    }
}

/// Who tries: another one each time, so that the quota of one is not that of all.
fn prober() -> Subject {
    let name = format!("prober-{}", service_kit::random::token());
    name.parse().expect("base64url is allowed in subjects")
}
