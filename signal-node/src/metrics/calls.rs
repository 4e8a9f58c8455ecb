//! What is counted of calls, as clients report them. A client may report anything, so labels come from closed sets.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus::{HistogramVec, IntCounterVec, Opts, Registry};
use signal_protocol::IceServers;
use signal_protocol::report::{
    CallReport, CallState, CandidateType, EndReason, RelayFault, Transport,
};

/// Buckets for the time to connect: a second is good, and the SDK restarts ICE after 15.
const SETUP_BUCKETS: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Names of relays that are told apart.
const RELAYS: usize = 64;

/// The codes that are told apart (RFC 8489 §14.8, RFC 8656 §19; 701: no answer, W3C WebRTC §4.8.2).
const CODES: [u16; 9] = [400, 401, 403, 437, 438, 442, 486, 508, 701];

/// What stands for everything else.
const OTHER: &str = "other";

/// Ways of media, as `signal_calls_total` names them.
const PATHS: [&str; 6] = ["host", "srflx", "relay_udp", "relay_tcp", "relay_tls", "none"];

/// What became of an attempt to connect, as one side reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallOutcome {
    Connected,
    Recovered,
    /// No path was found.
    Failed,
    /// The path was lost.
    Lost,
    /// The attempt ended before a path was found.
    Abandoned,
}

impl CallOutcome {
    const ALL: [Self; 5] =
        [Self::Connected, Self::Recovered, Self::Failed, Self::Lost, Self::Abandoned];

    fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Recovered => "recovered",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Abandoned => "abandoned",
        }
    }

    /// Returns what a report adds; `None` if another report of the same attempt has counted, or will.
    fn of(call: &CallReport) -> Option<Self> {
        let was_connected = call.connected.is_some();
        match call.state {
            CallState::Connected => Some(Self::Connected),
            CallState::Recovered => Some(Self::Recovered),
            CallState::Failed if was_connected => Some(Self::Lost),
            CallState::Failed => Some(Self::Failed),
            // An attempt that another one replaces goes on in it.
            CallState::Ended if call.reason == Some(EndReason::Restarted) => None,
            CallState::Ended if was_connected || call.failed.is_some() => None,
            CallState::Ended => Some(Self::Abandoned),
            CallState::Pending | CallState::Other => None,
        }
    }
}

/// Why lines of timelines, or reports, were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimelineDrop {
    /// A client reported more than it may.
    Rate,
    /// More lines waited for the log than may.
    Full,
    /// The log did not take them.
    Log,
}

impl TimelineDrop {
    const ALL: [Self; 3] = [Self::Rate, Self::Full, Self::Log];

    fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Full => "full",
            Self::Log => "log",
        }
    }
}

/// The counters of calls.
pub struct CallMetrics {
    setup: HistogramVec,
    calls: IntCounterVec,
    relay_errors: IntCounterVec,
    dropped: IntCounterVec,
    /// The relays that ICE servers of this node have named.
    relays: Mutex<BTreeSet<String>>,
}

impl CallMetrics {
    pub(super) fn registered(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels);
            super::registered(registry, metric.expect("the names are valid"))
        };
        let setup = ("signal_call_setup_seconds", "Time to connect, as each side reports it.");
        let calls = "Connections of one side to another, as it reports them.";
        let errors = "Errors of relays and STUN servers, as clients report them.";
        let dropped = "Reports and lines of timelines dropped.";
        let metrics = Self {
            setup: super::seconds(registry, setup, &SETUP_BUCKETS, &["path"]),
            calls: counters("signal_calls_total", calls, &["outcome", "path"]),
            relay_errors: counters("signal_relay_errors_total", errors, &["relay", "code"]),
            dropped: counters("signal_timeline_dropped_total", dropped, &["cause"]),
            relays: Mutex::default(),
        };
        metrics.begin_at_zero();
        metrics
    }

    fn begin_at_zero(&self) {
        for outcome in CallOutcome::ALL {
            for path in PATHS {
                self.calls.with_label_values(&[outcome.name(), path]);
            }
        }
        for path in PATHS {
            self.setup.with_label_values(&[path]);
        }
        self.begin_relay(OTHER);
        for cause in TimelineDrop::ALL {
            self.dropped.with_label_values(&[cause.name()]);
        }
    }

    /// Begins the series of a relay, so that its first error is an increase.
    fn begin_relay(&self, relay: &str) {
        for code in CODES {
            self.relay_errors.with_label_values(&[relay, &code.to_string()]);
        }
        self.relay_errors.with_label_values(&[relay, OTHER]);
    }

    /// Counts what was dropped.
    pub fn dropped(&self, cause: TimelineDrop, count: usize) {
        self.dropped.with_label_values(&[cause.name()]).inc_by(count as u64);
    }

    /// Notes the relays of ICE servers: only their names become labels.
    pub fn know(&self, servers: &IceServers) {
        let mut known = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        for url in servers.ice_servers.iter().flat_map(|server| &server.urls) {
            let name = host_and_port(url);
            if known.len() < RELAYS && !known.contains(name) {
                known.insert(name.to_owned());
                self.begin_relay(name);
            }
        }
    }

    /// Counts what a report says.
    pub fn reported(&self, call: &CallReport) {
        let Some(outcome) = CallOutcome::of(call) else { return };
        let path = path(call);
        self.calls.with_label_values(&[outcome.name(), path]).inc();
        if let (CallOutcome::Connected, Some(after)) = (outcome, call.connected) {
            self.setup.with_label_values(&[path]).observe(f64::from(after) / 1_000.0);
        }
        if matches!(outcome, CallOutcome::Connected | CallOutcome::Failed) {
            call.errors.iter().for_each(|error| self.relay_error(error));
        }
    }

    fn relay_error(&self, error: &RelayFault) {
        let known = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        let relay = known.get(&error.relay).map_or(OTHER, String::as_str);
        let code = error.code.to_string();
        let code = if CODES.contains(&error.code) { code.as_str() } else { OTHER };
        self.relay_errors.with_label_values(&[relay, code]).inc();
    }
}

/// Returns host and port of a `stun:`, `turn:` or `turns:` URL (RFC 7064, RFC 7065).
fn host_and_port(url: &str) -> &str {
    let address = url.split_once(':').map_or(url, |(_, address)| address);
    address.split('?').next().unwrap_or(address)
}

/// Returns the way of the media. A relay that the other side uses is reached by UDP from here.
fn path(call: &CallReport) -> &'static str {
    match (call.local, call.remote) {
        (None | Some(CandidateType::Other), _) => "none",
        (Some(CandidateType::Relay), _) => match call.protocol {
            Some(Transport::Tcp) => "relay_tcp",
            Some(Transport::Tls) => "relay_tls",
            Some(Transport::Udp | Transport::Other) | None => "relay_udp",
        },
        (_, Some(CandidateType::Relay)) => "relay_udp",
        (Some(CandidateType::Host), Some(CandidateType::Host)) => "host",
        (Some(CandidateType::Host | CandidateType::Srflx | CandidateType::Prflx), _) => "srflx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(state: CallState, connected: Option<u32>) -> CallReport {
        let (local, remote) = (Some(CandidateType::Host), Some(CandidateType::Relay));
        CallReport { state, connected, local, remote, ..CallReport::default() }
    }

    fn metrics() -> CallMetrics {
        CallMetrics::registered(&Registry::new())
    }

    #[test]
    fn an_attempt_counts_once_for_each_thing_that_became_of_it() {
        let metrics = metrics();
        for (state, connected) in [
            (CallState::Pending, None),
            (CallState::Connected, Some(400)),
            (CallState::Failed, Some(400)),
            (CallState::Ended, Some(400)),
            (CallState::Failed, None),
            (CallState::Ended, None),
        ] {
            metrics.reported(&report(state, connected));
        }
        let count = |outcome| metrics.calls.with_label_values(&[outcome, "relay_udp"]).get();
        assert_eq!(["connected", "lost", "failed", "abandoned"].map(count), [1, 1, 1, 1]);
        assert_eq!(metrics.setup.with_label_values(&["relay_udp"]).get_sample_count(), 1);
    }

    #[test]
    fn only_relays_that_the_node_has_named_become_labels() {
        let metrics = metrics();
        let servers = r#"{"iceServers":[{"urls":["turns:eu.example.org:5349?transport=tcp"]}],"ttl":1,"refreshAfter":1,"enforcement":"allocate"}"#;
        metrics.know(&serde_json::from_str(servers).unwrap());
        let error = |relay: &str, code| RelayFault {
            relay: relay.to_owned(),
            transport: Transport::Tls,
            code,
            count: 1,
            at: 0,
        };
        let errors = vec![error("eu.example.org:5349", 401), error("made.up:1", 9)];
        metrics.reported(&CallReport { errors, ..report(CallState::Failed, None) });
        let count = |relay, code| metrics.relay_errors.with_label_values(&[relay, code]).get();
        assert_eq!((count("eu.example.org:5349", "401"), count("other", "other")), (1, 1));
    }
}
