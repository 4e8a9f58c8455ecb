//! The keys of a room in Redis.

use signal_protocol::RoomId;

use crate::log::Op;

/// The keys of one room; the braces put them into one slot of a cluster.
pub(super) struct Keys {
    pub(super) hash: String,
    pub(super) members: String,
    pub(super) stream: String,
    pub(super) configuration: String,
    pub(super) channel: String,
}

impl Keys {
    pub(super) fn of(room: &RoomId) -> Self {
        let key = |kind: char| format!("{{{room}}}:{kind}");
        Self {
            hash: key('h'),
            members: key('m'),
            stream: key('l'),
            configuration: key('f'),
            channel: key('c'),
        }
    }

    /// Returns the key of an announcement with an idempotency key; it holds the number of the entry.
    pub(super) fn of_announcement(room: &RoomId, op: &Op) -> Option<String> {
        let Op::Announce { key: Some(key), .. } = op else { return None };
        Some(format!("{{{room}}}:i:{key}"))
    }
}
