//! Events as the scripts write them, back in our types. Nothing in it is trusted to be well-formed.

use std::str::FromStr;

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};
use signal_protocol::{CallEnd, LeaveReason};

use super::words::{Words, garbled, micros};
use crate::log::{CallChange, CallEvent, LogError, MissedReason, RoomEvent};

/// Reads one line.
pub(super) fn event(line: &str) -> Result<RoomEvent, LogError> {
    let mut words = Words(line.split(' '));
    match words.word()? {
        "room.started" => Ok(RoomEvent::RoomStarted),
        "room.ended" => Ok(RoomEvent::RoomEnded),
        "peer.joined" => {
            Ok(RoomEvent::PeerJoined { peer: words.parse()?, user: words.optional("~")? })
        }
        "peer.left" => Ok(RoomEvent::PeerLeft {
            peer: words.parse()?,
            user: words.optional("~")?,
            reason: leave_reason(words.word()?)?,
            stayed: micros(words.parse()?),
        }),
        kind => call_event(kind, &mut words),
    }
}

fn leave_reason(word: &str) -> Result<LeaveReason, LogError> {
    let deserializer: StrDeserializer<'_, ValueError> = word.into_deserializer();
    LeaveReason::deserialize(deserializer).map_err(|_| garbled(format!("reason {word:?}")))
}

/// Reads `<kind> <call> <caller> <callee> <room> <detail>`.
fn call_event(kind: &str, words: &mut Words<'_>) -> Result<RoomEvent, LogError> {
    let (call, from, to, room) = (words.parse()?, words.parse()?, words.parse()?, words.parse()?);
    let change = change(kind, words.word()?).ok_or_else(|| garbled(format!("event {kind:?}")))?;
    Ok(RoomEvent::Call(Box::new(CallEvent { call, from, to, room, change })))
}

fn change(kind: &str, detail: &str) -> Option<CallChange> {
    match kind {
        "call.ringing" => usize::from_str(detail).ok().map(CallChange::Ringing),
        "call.accepted" => detail.parse().ok().map(CallChange::Accepted),
        "call.missed" => MissedReason::from_name(detail).map(CallChange::Missed),
        "call.ended" => CallEnd::from_name(detail).map(CallChange::Ended),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use signal_protocol::Subject;

    use super::*;

    #[test]
    fn lines_of_the_scripts_are_read_and_others_refused() {
        let left = event("peer.left p_a auth0%7C5f kicked 1500000").unwrap();
        let user = Some(Subject::new("auth0|5f").unwrap());
        let stayed = Duration::from_millis(1_500);
        let (peer, reason) = ("p_a".parse().unwrap(), LeaveReason::Kicked);
        assert_eq!(left, RoomEvent::PeerLeft { peer, user, reason, stayed });
        let RoomEvent::Call(missed) = event("call.missed c1 ana bo demo offline").unwrap() else {
            panic!("a call");
        };
        assert_eq!(missed.change, CallChange::Missed(MissedReason::Offline));
        for line in [
            "",
            "peer.left p_a ~ gone 1",
            "call.missed c1 ana bo demo glare",
            "call.lost c1 a b r x",
        ] {
            assert!(event(line).is_err(), "{line}");
        }
    }
}
