//! What is counted of the presence of users.

use prometheus::{IntCounter, IntGauge, Registry};

use super::{counter, gauge};

/// The counters of presence.
#[expect(missing_docs, reason = "the help texts say it all")]
pub struct PresenceMetrics {
    pub inboxes: IntGauge,
    pub devices: IntGauge,
    pub watches: IntGauge,
    pub changes: IntCounter,
}

impl PresenceMetrics {
    pub(super) fn registered(r: &Registry) -> Self {
        let changes = "Changes of the presence of a user that watchers on this node were told.";
        let watches = "Users that connections of this node watch, summed over the connections.";
        Self {
            inboxes: gauge(r, "signal_inboxes", "Users with devices or watchers on this node."),
            devices: gauge(r, "signal_devices_online", "Devices that are online over this node."),
            watches: gauge(r, "signal_watches", watches),
            changes: counter(r, "signal_presence_changes_total", changes),
        }
    }
}
