//! What a client says: one header that is read, and a payload that is carried unopened.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::calls::{Call, CallAnswer, CallGrant, Cancel};
use crate::codes::ErrorCode;
pub use crate::fields::{Attempt, Meta, RequestId};
use crate::frame_fault::{FrameFault, fault, fault_with_meta, refuse, unsupported};
use crate::ids::{Mid, PeerId, PeerKey, RoomId, Seq};
use crate::limits;
use crate::presence::{Online, Users};
use crate::report::Report;

/// One message of a client, borrowed from the frame it came in.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug)]
pub enum ClientMessage<'a> {
    Hello(Hello<'a>),
    /// Enters a room, or comes back to it.
    Join(Join<'a>),
    /// Says something to one member or to all others, kept in the log.
    Signal(Signal<'a>),
    /// Says something once, never kept and without a place in the order.
    Volatile(Volatile<'a>),
    /// Replaces the member's `meta`.
    Update(Update<'a>),
    /// Leaves a room for good.
    Leave(Leave),
    /// Asks for fresh ICE servers.
    Ice(Request),
    Auth(Auth<'a>),
    Kick(Kick),
    /// Reports how a WebRTC connection came about, or not.
    Report(Box<Report>),
    /// Makes a device of the user reachable, or says how it is now.
    Online(Online<'a>),
    /// Takes the device off again.
    Offline(Request),
    /// Asks to be told of the presence of users.
    Watch(Users),
    /// Asks to be told no more.
    Unwatch(Users),
    /// Rings the devices of another user.
    Call(Call<'a>),
    Accept(CallAnswer),
    Decline(CallAnswer),
    Cancel(Cancel),
    /// Asks for a `pong`.
    Ping,
}

/// `hello`
#[derive(Debug, Deserialize)]
pub struct Hello<'a> {
    /// The token; without it the client asks to be anonymous.
    #[serde(borrow)]
    pub token: Option<Token<'a>>,
}

/// A token on its way to being verified; never printed.
#[derive(Deserialize)]
pub struct Token<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// `join`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct Join<'a> {
    pub id: Option<RequestId>,
    /// The room to enter.
    pub room: RoomId,
    pub key: PeerKey,
    /// Counts the client's joins with this key, from 1.
    #[serde(rename = "try")]
    pub attempt: Attempt,
    /// The client's position in the log, if it was in the room before.
    pub seq: Option<Seq>,
    /// The last of its messages that was settled, if it was in the room before.
    pub mid: Option<Mid>,
    /// What the member tells about itself.
    #[serde(borrow)]
    pub meta: Option<Meta<'a>>,
    /// The call that gives the right to enter, where the token does not.
    pub call: Option<CallGrant>,
}

/// `signal` with a `mid`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct Signal<'a> {
    pub mid: Mid,
    /// The room it is said in.
    pub room: RoomId,
    /// The one it is for; everyone else in the room if absent.
    pub to: Option<PeerId>,
    /// Relayed byte for byte.
    #[serde(borrow)]
    pub data: &'a RawValue,
}

/// `signal` with `"volatile":true`
#[derive(Debug, Deserialize)]
pub struct Volatile<'a> {
    /// The room it is said in.
    pub room: RoomId,
    /// The one it is for; everyone else in the room if absent.
    pub to: Option<PeerId>,
    /// Relayed byte for byte.
    #[serde(borrow)]
    pub data: &'a RawValue,
}

/// `update`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct Update<'a> {
    pub mid: Mid,
    /// The room it holds in.
    pub room: RoomId,
    /// Replaces the former `meta` as a whole.
    #[serde(borrow)]
    pub meta: Meta<'a>,
}

/// `leave`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct Leave {
    pub id: Option<RequestId>,
    /// The room to leave.
    pub room: RoomId,
}

/// `ice` and `offline`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct Request {
    pub id: Option<RequestId>,
}

/// `auth`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct Auth<'a> {
    pub id: Option<RequestId>,
    #[serde(borrow)]
    pub token: Token<'a>,
}

/// `kick`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Deserialize)]
pub struct Kick {
    pub id: Option<RequestId>,
    /// The room to remove from.
    pub room: RoomId,
    /// The member to remove.
    pub peer: PeerId,
    /// Seconds for which the member's subject may not come back.
    #[serde(default)]
    pub ban: u64,
}

/// The fields that tell which message it is.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    volatile: bool,
}

/// Reads one text frame. Keys may come in any order; unknown ones are ignored.
///
/// # Errors
/// [`FrameFault`] says what is wrong; it is a reason to answer, never to close.
pub fn parse(text: &str) -> Result<ClientMessage<'_>, FrameFault> {
    let kind: Kind<'_> = serde_json::from_str(text).map_err(|error| fault(text, &error))?;
    let message = match (kind.kind.as_ref(), kind.volatile) {
        ("signal", false) => serde_json::from_str(text).map(ClientMessage::Signal),
        ("signal", true) => serde_json::from_str(text).map(ClientMessage::Volatile),
        ("update", _) => serde_json::from_str(text).map(ClientMessage::Update),
        ("ping", _) => Ok(ClientMessage::Ping),
        ("join", _) => serde_json::from_str(text).map(ClientMessage::Join),
        ("leave", _) => serde_json::from_str(text).map(ClientMessage::Leave),
        ("hello", _) => serde_json::from_str(text).map(ClientMessage::Hello),
        ("ice", _) => serde_json::from_str(text).map(ClientMessage::Ice),
        ("auth", _) => serde_json::from_str(text).map(ClientMessage::Auth),
        ("report", _) => return report(text),
        ("kick", _) => serde_json::from_str(text).map(ClientMessage::Kick),
        ("call", _) => serde_json::from_str(text).map(ClientMessage::Call),
        ("accept", _) => serde_json::from_str(text).map(ClientMessage::Accept),
        ("decline", _) => serde_json::from_str(text).map(ClientMessage::Decline),
        ("cancel", _) => serde_json::from_str(text).map(ClientMessage::Cancel),
        ("online", _) => serde_json::from_str(text).map(ClientMessage::Online),
        ("offline", _) => serde_json::from_str(text).map(ClientMessage::Offline),
        ("watch", _) => serde_json::from_str(text).map(ClientMessage::Watch),
        ("unwatch", _) => serde_json::from_str(text).map(ClientMessage::Unwatch),
        (other, _) => return Err(unsupported(text, other)),
    };
    let describe = match kind.kind.as_ref() {
        "join" | "update" | "online" => fault_with_meta,
        _ => fault,
    };
    message.map_err(|error| describe(text, &error))
}

/// Reads a `report`, which is smaller than other frames may be.
fn report(text: &str) -> Result<ClientMessage<'_>, FrameFault> {
    if text.len() > limits::REPORT_BYTES {
        let message = format!("a report may have {} bytes", limits::REPORT_BYTES);
        return Err(refuse(text, ErrorCode::TooLarge, message));
    }
    let report = serde_json::from_str(text).map_err(|error| fault(text, &error))?;
    Ok(ClientMessage::Report(report))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_payload_is_carried_byte_for_byte_whatever_the_order_of_the_keys() {
        let text = r#"{"data":{"b": 1.0e2,"a":"\u00e9"},"room":"demo","mid":4,"type":"signal"}"#;
        let Ok(ClientMessage::Signal(signal)) = parse(text) else { panic!("not a signal") };
        assert_eq!(signal.data.get(), r#"{"b": 1.0e2,"a":"\u00e9"}"#);
        assert_eq!(signal.mid, Mid(4));
        assert!(signal.to.is_none());
    }

    #[test]
    fn a_fault_names_the_message_it_answers() {
        let fault =
            parse(r#"{"type":"signal","mid":9,"room":"demo","to":17,"data":1}"#).unwrap_err();
        assert_eq!(fault.code, ErrorCode::BadRequest);
        assert_eq!((fault.mid, fault.room.unwrap().as_str()), (Some(Mid(9)), "demo"));
        assert!(fault.message.contains("expected a string"), "{}", fault.message);
    }

    #[test]
    fn a_join_counts_from_one_and_its_meta_is_an_object_of_bounded_size() {
        let join = |attempt: u64, meta: &str| {
            let key = "k".repeat(22);
            format!(
                r#"{{"type":"join","id":7,"room":"demo","key":"{key}","try":{attempt},"meta":{meta}}}"#
            )
        };
        let largest = format!(r#"{{"a":"{}"}}"#, "x".repeat(limits::META_BYTES - 8));
        let larger = format!(r#"{{"a":"{}"}}"#, "x".repeat(limits::META_BYTES - 7));
        assert!(matches!(parse(&join(1, &largest)), Ok(ClientMessage::Join(_))));
        for (attempt, meta, code, says) in [
            (0, "{}", ErrorCode::BadRequest, "try counts from 1"),
            (1, "[]", ErrorCode::BadRequest, "meta must be an object"),
            (1, larger.as_str(), ErrorCode::TooLarge, "meta may have 4096 bytes"),
        ] {
            let fault = parse(&join(attempt, meta)).unwrap_err();
            assert_eq!((fault.code, fault.id), (code, Some(7)), "{meta}");
            assert!(fault.message.contains(says), "{}", fault.message);
        }
    }

    #[test]
    fn a_bad_room_name_is_a_bad_request_that_names_the_character() {
        let fault = parse(r#"{"type":"leave","id":5,"room":"de/mo"}"#).unwrap_err();
        assert_eq!((fault.code, fault.id), (ErrorCode::BadRequest, Some(5)));
        assert!(fault.message.contains("'/' at byte 2"), "{}", fault.message);
    }

    #[test]
    fn an_unknown_type_is_unsupported_and_keeps_its_id() {
        let fault = parse(r#"{"type":"dance","id":3}"#).unwrap_err();
        assert_eq!((fault.code, fault.id), (ErrorCode::Unsupported, Some(3)));
    }

    #[test]
    fn a_spoofed_from_is_ignored() {
        assert!(matches!(
            parse(r#"{"type":"signal","from":"p_x","mid":1,"room":"demo","data":1}"#),
            Ok(ClientMessage::Signal(_))
        ));
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let text = format!("{{\"type\":\"signal\",\"data\":{}", "[".repeat(50_000));
        assert_eq!(parse(&text).unwrap_err().code, ErrorCode::BadRequest);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_json_object_makes_the_parser_panic(
            kind in prop::sample::select(vec![
                "join", "signal", "update", "leave", "kick", "auth", "online", "offline", "watch", "unwatch",
                "call", "accept", "decline", "cancel",
            ]),
            room in ".{0,70}", mid in any::<i64>(), key in ".{0,30}",
        ) {
            let frame = serde_json::json!({
                "type": kind, "room": room, "mid": mid, "key": key, "data": mid, "device": key, "try": mid,
                "state": room, "users": [room], "call": room, "to": room,
            });
            let _ = parse(&frame.to_string());
        }
    }
}
