//! What clients of `PeerJS` say, and what they are told.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::posts::WhenGone;

/// One frame of a client.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// The client lives.
    Heartbeat,
    /// For the client with this id.
    Relay { dst: Cow<'a, str>, data: Box<RawValue>, when_gone: WhenGone },
    /// The client gives its id up.
    Leave,
    /// A type that the original server ignores.
    Unknown,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    dst: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// A relayed message: what the client said of itself is replaced.
#[derive(Serialize)]
struct Relayed<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    src: &'a str,
    dst: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
}

/// `ID-TAKEN` and `ERROR`.
#[derive(Serialize)]
struct Refusal<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct Payload<'a> {
    msg: &'a str,
}

impl<'a> Message<'a> {
    /// Reads a frame of the client with the id `src`; `None`: it does not parse, or lacks what its type needs.
    pub(super) fn read(text: &'a str, src: &str) -> Option<Self> {
        let Fields { kind, dst, payload } = serde_json::from_str(text).ok()?;
        let dst = dst.filter(|dst| !dst.is_empty());
        let when_gone = match (&*kind, &dst) {
            ("HEARTBEAT", _) => return Some(Self::Heartbeat),
            ("LEAVE", None) => return Some(Self::Leave),
            ("OFFER" | "ANSWER" | "CANDIDATE", _) => WhenGone::Wait,
            ("LEAVE" | "EXPIRE", _) => WhenGone::Drop,
            _ => return Some(Self::Unknown),
        };
        let dst = dst?;
        let data = to_raw_value(&Relayed { kind: &kind, src, dst: &dst, payload }).ok()?;
        Some(Self::Relay { dst, data, when_gone })
    }
}

/// Tells that nobody with the id `src` has appeared.
pub(super) fn expire(src: &str, dst: &str) -> String {
    let expire = Relayed { kind: "EXPIRE", src, dst, payload: None };
    serde_json::to_string(&expire).unwrap_or_default()
}

/// Tells why there is no connection, in the words of the original server.
pub(super) fn error(kind: &str, msg: &str) -> String {
    let refusal = Refusal { kind, payload: Payload { msg } };
    serde_json::to_string(&refusal).unwrap_or_default()
}
