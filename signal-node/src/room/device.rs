//! The devices of a user, and how the user is by them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use signal_protocol::presence::DeviceView;
use signal_protocol::{NodeId, PeerId, PresenceState, ServerMessage, Subject};

use crate::log::{Entry, Payload, RosterMember};

/// How a device is, as the log keeps it: the `meta` of a member of an inbox.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceStatus<'a> {
    #[serde(borrow)]
    pub state: Cow<'a, str>,
    /// When it said so, in milliseconds since 1970.
    pub since: u64,
    /// What it tells about itself.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<&'a RawValue>,
}

impl<'a> DeviceStatus<'a> {
    /// Reads a stored status. One that a later version has written differently is `online`.
    #[must_use]
    pub fn read(payload: &'a Payload) -> Self {
        let unknown = Self { state: PresenceState::ONLINE.into(), since: 0, meta: None };
        serde_json::from_str(payload.get()).unwrap_or(unknown)
    }

    /// Writes it for the log.
    #[must_use]
    pub fn to_payload(&self) -> Payload {
        to_raw_value(self).expect("texts and numbers are JSON").into()
    }
}

/// One device.
struct Device {
    /// Its number among the joins of the inbox.
    n: u64,
    node: NodeId,
    status: Payload,
}

/// The devices of one user.
#[derive(Default)]
pub(super) struct Devices {
    map: BTreeMap<PeerId, Device>,
}

impl Devices {
    /// Takes over a roster.
    pub(super) fn read(roster: &[RosterMember]) -> Self {
        let device = |member: &RosterMember| {
            let (n, node, status) = (member.n, member.node.clone(), member.meta.clone());
            (member.peer.clone(), Device { n, node, status })
        };
        Self { map: roster.iter().map(device).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Tells whether a device is online over a node of which this holds.
    pub(super) fn any_on(&self, is_meant: impl Fn(&NodeId) -> bool) -> bool {
        self.map.values().any(|device| is_meant(&device.node))
    }

    /// Applies an entry of the inbox.
    pub(super) fn apply(&mut self, entry: &Entry) {
        if let Entry::Joined { peer, n, node, meta, .. } = entry {
            let known = self.map.remove(peer).map(|device| device.status);
            let Some(status) = meta.clone().or(known) else { return };
            self.map.insert(peer.clone(), Device { n: *n, node: node.clone(), status });
        } else if let Entry::Updated { peer, meta, .. } = entry {
            if let Some(device) = self.map.get_mut(peer) {
                device.status = meta.clone();
            }
        } else if let Entry::Left { peer, .. } = entry {
            self.map.remove(peer);
        }
    }

    /// Writes `presence`.
    pub(super) fn frame(&self, user: &Subject, offline_since: Option<u64>) -> String {
        let statuses = self.statuses();
        let (state, since) = summary(&statuses, offline_since);
        let devices = statuses.iter().map(|(id, status)| DeviceView {
            id,
            state: &status.state,
            since: status.since,
            meta: status.meta,
        });
        ServerMessage::Presence { user, state, since, devices: devices.collect() }.to_json()
    }

    /// Returns a hash of all that a watcher sees but times.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (id, status) in self.statuses() {
            (id, &status.state, status.meta.map(RawValue::get)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Returns the devices in the order in which they came.
    fn statuses(&self) -> Vec<(&PeerId, DeviceStatus<'_>)> {
        let mut devices: Vec<_> = self.map.iter().collect();
        devices.sort_by_key(|(_, device)| device.n);
        devices.into_iter().map(|(id, device)| (id, DeviceStatus::read(&device.status))).collect()
    }
}

/// Returns how a user is, and since when: `online` if a device is, otherwise the last text of a device's own, otherwise `away`.
fn summary<'a>(
    devices: &'a [(&PeerId, DeviceStatus<'a>)],
    offline_since: Option<u64>,
) -> (&'a str, Option<u64>) {
    let is = |state: &'static str| move |status: &&DeviceStatus<'_>| status.state == state;
    let statuses = || devices.iter().map(|(_, status)| status);
    if devices.is_empty() {
        return (PresenceState::OFFLINE, offline_since);
    }
    if let Some(since) =
        statuses().filter(is(PresenceState::ONLINE)).map(|status| status.since).min()
    {
        return (PresenceState::ONLINE, Some(since));
    }
    match statuses().rfind(|status| status.state != PresenceState::AWAY) {
        Some(status) => (&status.state, Some(status.since)),
        None => (PresenceState::AWAY, statuses().map(|status| status.since).max()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str, since: u64) -> DeviceStatus<'_> {
        DeviceStatus { state: state.into(), since, meta: None }
    }

    #[test]
    fn a_user_is_online_by_one_device_else_as_the_last_text_says_else_away() {
        let id = "p_a".parse().unwrap();
        for (states, state, since) in [
            (&[][..], "offline", Some(9)),
            (&[("away", 1), ("online", 3), ("online", 2)], "online", Some(2)),
            (&[("busy", 1), ("in a car", 2), ("away", 3)], "in a car", Some(2)),
            (&[("away", 1), ("away", 3), ("away", 2)], "away", Some(3)),
        ] {
            let devices: Vec<_> =
                states.iter().map(|(state, at)| (&id, status(state, *at))).collect();
            assert_eq!(summary(&devices, Some(9)), (state, since), "{states:?}");
        }
    }

    #[test]
    fn a_status_of_a_later_version_is_online() {
        let raw = RawValue::from_string(r#"{"status":7}"#.to_owned()).unwrap();
        assert_eq!(DeviceStatus::read(&raw.into()).state, "online");
    }
}
