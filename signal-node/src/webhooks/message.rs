//! Events as messages: their types, ids and bodies.

use std::str::FromStr;

use serde_json::{Value, json};
use service_kit::clock;
use sha2::{Digest as _, Sha256};
use signal_protocol::RoomId;

use crate::log::{CallChange, CallEvent, EventQueue, Position, RoomEvent};

/// The types of events.
#[expect(missing_docs, reason = "the names are those of the events")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    RoomStarted,
    RoomEnded,
    PeerJoined,
    PeerLeft,
    CallRinging,
    CallAccepted,
    CallMissed,
    CallEnded,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 8] = [
        Self::RoomStarted,
        Self::RoomEnded,
        Self::PeerJoined,
        Self::PeerLeft,
        Self::CallRinging,
        Self::CallAccepted,
        Self::CallMissed,
        Self::CallEnded,
    ];

    /// Returns its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RoomStarted => "room.started",
            Self::RoomEnded => "room.ended",
            Self::PeerJoined => "peer.joined",
            Self::PeerLeft => "peer.left",
            Self::CallRinging => "call.ringing",
            Self::CallAccepted => "call.accepted",
            Self::CallMissed => "call.missed",
            Self::CallEnded => "call.ended",
        }
    }

    pub(super) fn of(event: &RoomEvent) -> Self {
        match event {
            RoomEvent::RoomStarted => Self::RoomStarted,
            RoomEvent::RoomEnded => Self::RoomEnded,
            RoomEvent::PeerJoined { .. } => Self::PeerJoined,
            RoomEvent::PeerLeft { .. } => Self::PeerLeft,
            RoomEvent::Call(call) => match call.change {
                CallChange::Ringing(_) => Self::CallRinging,
                CallChange::Accepted(_) => Self::CallAccepted,
                CallChange::Missed(_) => Self::CallMissed,
                CallChange::Ended(_) => Self::CallEnded,
            },
        }
    }
}

impl FromStr for EventType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("write some of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Returns the id of an event: the same whoever sends it however often. It has no full stop, which separates the parts that
/// are signed, and does not tell the room.
pub(super) fn id(queue: &EventQueue, Position { at, n }: Position) -> String {
    let digest = Sha256::digest(queue.to_string());
    let queue = digest[..8].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("evt_{queue}_{at}_{n}")
}

/// Writes the body of an event.
pub(super) fn body(room: &RoomId, event: &RoomEvent, at: u64) -> String {
    let data = match event {
        RoomEvent::RoomStarted | RoomEvent::RoomEnded => json!({"room": room}),
        RoomEvent::PeerJoined { peer, user } => json!({"room": room, "peer": peer, "user": user}),
        RoomEvent::PeerLeft { peer, user, reason, stayed } => {
            let seconds = stayed.as_secs();
            json!({"room": room, "peer": peer, "user": user, "reason": reason, "seconds": seconds})
        }
        RoomEvent::Call(call) => call_data(call),
    };
    let (kind, timestamp) = (EventType::of(event).name(), clock::rfc3339_millis(at));
    json!({"type": kind, "timestamp": timestamp, "data": data}).to_string()
}

fn call_data(CallEvent { call, from, to, room, change }: &CallEvent) -> Value {
    let (name, detail) = match change {
        CallChange::Ringing(devices) => ("devices", json!(devices)),
        CallChange::Accepted(device) => ("device", json!(device)),
        CallChange::Missed(reason) => ("reason", json!(reason.name())),
        CallChange::Ended(reason) => ("reason", json!(reason.name())),
    };
    json!({"call": call, "from": from, "to": to, "room": room, name: detail})
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use signal_protocol::{LeaveReason, Subject};

    use super::*;
    use crate::log::MissedReason;

    const AT: u64 = 1_795_366_362_123;

    fn parsed(event: &RoomEvent) -> Value {
        serde_json::from_str(&body(&"demo".parse().unwrap(), event, AT)).unwrap()
    }

    #[test]
    fn a_body_has_type_time_and_data_and_nulls_for_who_is_anonymous() {
        let (peer, stayed) = ("p_a".parse().unwrap(), Duration::from_millis(61_999));
        let left = RoomEvent::PeerLeft { peer, user: None, reason: LeaveReason::Timeout, stayed };
        let data = json!({"room": "demo", "peer": "p_a", "user": null, "reason": "timeout", "seconds": 61});
        let timestamp = "2026-11-22T16:52:42.123Z";
        let expected = json!({"type": "peer.left", "timestamp": timestamp, "data": data});
        assert_eq!(parsed(&left), expected);
    }

    #[test]
    fn a_call_tells_both_users_as_their_tokens_name_them() {
        let [from, to] = ["auth0|ana", "bo"].map(|name| Subject::new(name).unwrap());
        let (call, room) = ("c1".parse().unwrap(), "meet".parse().unwrap());
        let change = CallChange::Missed(MissedReason::Offline);
        let event = RoomEvent::Call(Box::new(CallEvent { call, from, to, room, change }));
        let expected = json!({"call": "c1", "from": "auth0|ana", "to": "bo", "room": "meet", "reason": "offline"});
        assert_eq!(
            (&parsed(&event)["type"], &parsed(&event)["data"]),
            (&json!("call.missed"), &expected)
        );
    }

    #[test]
    fn an_id_is_that_of_its_room_and_place_and_has_no_full_stop() {
        let of =
            |room: &str, n| id(&EventQueue::Room(room.parse().unwrap()), Position { at: AT, n });
        assert_eq!(of("a.b", 0), of("a.b", 0));
        assert_ne!(of("a.b", 0), of("a.b", 1));
        assert_ne!(of("a.b", 0), of("a.c", 0));
        assert!(!of("a.b", 0).contains('.') && of("a.b", 0).ends_with("_1795366362123_0"));
    }

    #[test]
    fn every_type_is_found_by_its_name() {
        for kind in EventType::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("room.*".parse::<EventType>().unwrap_err().contains("room.started"));
    }
}
