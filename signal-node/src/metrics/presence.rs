//! What is counted of the presence of users.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};
use signal_protocol::CallEnd;

use super::{begin, counter, counters, gauge, seconds};

/// Buckets for the time until a person answers.
const RING_BUCKETS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];

/// The outcome of a call that was accepted.
const ACCEPTED: &str = "accepted";

/// The counters of presence.
#[expect(missing_docs, reason = "the help texts say it all")]
pub struct PresenceMetrics {
    pub inboxes: IntGauge,
    pub devices: IntGauge,
    pub watches: IntGauge,
    pub changes: IntCounter,
    calls: IntCounterVec,
    ring_seconds: HistogramVec,
}

impl PresenceMetrics {
    pub(super) fn registered(r: &Registry) -> Self {
        let changes = "Changes of the presence of a user that watchers on this node were told.";
        let watches = "Users that connections of this node watch, summed over the connections.";
        let calls = counters(
            r,
            "signal_rings_total",
            "Calls by name of callers on this node, by outcome.",
            "outcome",
        );
        begin(&calls, CallEnd::ALL.iter().map(|end| end.name()).chain([ACCEPTED]));
        let ring = ("signal_ring_seconds", "How long calls by name rang until their outcome.");
        Self {
            calls,
            ring_seconds: seconds(r, ring, &RING_BUCKETS, &[]),
            inboxes: gauge(r, "signal_inboxes", "Users with devices or watchers on this node."),
            devices: gauge(r, "signal_devices_online", "Devices that are online over this node."),
            watches: gauge(r, "signal_watches", watches),
            changes: counter(r, "signal_presence_changes_total", changes),
        }
    }

    /// Counts what a caller here was told: the end of a call, or that it was accepted. The end of one that was accepted before
    /// is no further outcome.
    pub fn call(&self, end: Option<CallEnd>, rang: Option<Duration>) {
        if let Some(rang) = rang {
            self.calls.with_label_values(&[end.map_or(ACCEPTED, CallEnd::name)]).inc();
            self.ring_seconds.with_label_values(&[] as &[&str]).observe(rang.as_secs_f64());
        }
    }
}
