//! The frames of `signal.v1` as a client reads and writes them.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use signal_protocol::client::RequestId;
use signal_protocol::{IceServers, LeaveReason, LeftReason, Mid, PeerId, Recovery, RoomId, Seq};

use super::event::{Me, Member, Payload, Refusal};

/// `welcome`
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, Deserialize)]
pub struct Welcome {
    pub node: String,
    /// Seconds between its pings.
    pub ping: u64,
    /// Seconds for which a lost socket may come back.
    pub grace: u64,
    pub limits: signal_protocol::server::Limits,
}

/// A member as rosters and `peer_joined` name it, and in `peer_updated` what changed.
#[derive(Debug, Deserialize)]
pub(super) struct PeerFrame<'a> {
    pub(super) id: PeerId,
    #[serde(default)]
    n: u64,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    #[serde(default)]
    polite: bool,
    pub(super) away: Option<bool>,
    #[serde(borrow)]
    pub(super) meta: Option<&'a RawValue>,
}

impl PeerFrame<'_> {
    pub(super) fn member(&self) -> Member {
        Member {
            id: self.id.clone(),
            n: self.n,
            user: self.user.as_deref().map(Into::into),
            polite: self.polite,
            away: self.away.unwrap_or_default(),
            meta: self.meta.map(Payload::new).unwrap_or_default(),
        }
    }
}

/// One of `joined.refused`.
#[derive(Debug, Deserialize)]
pub(super) struct LostRefusal<'a> {
    pub(super) mid: u64,
    #[serde(borrow)]
    pub(super) code: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
}

/// `joined`
#[derive(Debug, Deserialize)]
pub(super) struct Joined<'a> {
    pub(super) id: Option<RequestId>,
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    pub(super) recovery: Recovery,
    pub(super) mid: Mid,
    #[serde(rename = "self")]
    pub(super) me: Me,
    #[serde(borrow)]
    pub(super) peers: Option<Vec<PeerFrame<'a>>>,
    pub(super) ice: Option<IceServers>,
    #[serde(borrow, default)]
    pub(super) refused: Vec<LostRefusal<'a>>,
}

/// `peer_joined` and `peer_updated`
#[derive(Debug, Deserialize)]
pub(super) struct PeerEntry<'a> {
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    #[serde(borrow)]
    pub(super) peer: PeerFrame<'a>,
}

/// `peer_left`
#[derive(Debug, Deserialize)]
pub(super) struct PeerLeft {
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    pub(super) peer: PeerId,
    pub(super) reason: LeaveReason,
}

/// `signal`
#[derive(Debug, Deserialize)]
pub(super) struct Signal<'a> {
    pub(super) room: RoomId,
    pub(super) seq: Option<Seq>,
    #[serde(borrow)]
    pub(super) from: Cow<'a, str>,
    pub(super) to: Option<PeerId>,
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
}

/// `ack`
#[derive(Debug, Deserialize)]
pub(super) struct Ack {
    pub(super) room: RoomId,
    pub(super) mid: Mid,
    pub(super) seq: Seq,
}

/// `left`
#[derive(Debug, Deserialize)]
pub(super) struct Left {
    pub(super) room: RoomId,
    pub(super) reason: LeftReason,
}

/// `reset`
#[derive(Debug, Deserialize)]
pub(super) struct Reset<'a> {
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    pub(super) mid: Mid,
    #[serde(borrow)]
    pub(super) peers: Vec<PeerFrame<'a>>,
}

/// `ice`
#[derive(Debug, Deserialize)]
pub(super) struct Ice {
    pub(super) id: Option<RequestId>,
    pub(super) ice: Option<IceServers>,
}

/// `ok`
#[derive(Debug, Deserialize)]
pub(super) struct Okay {
    pub(super) id: Option<RequestId>,
}

/// `error`
#[derive(Debug, Deserialize)]
pub(super) struct ErrorFrame<'a> {
    pub(super) id: Option<RequestId>,
    pub(super) mid: Option<u64>,
    pub(super) room: Option<RoomId>,
    #[serde(borrow)]
    pub(super) code: Cow<'a, str>,
    pub(super) retry: bool,
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
    pub(super) after: Option<u64>,
    pub(super) expected: Option<u64>,
}

impl ErrorFrame<'_> {
    pub(super) fn after(&self) -> Option<Duration> {
        self.after.map(Duration::from_millis)
    }

    pub(super) fn refusal(&self) -> Refusal {
        let (code, message) = (self.code.to_string(), self.message.to_string());
        Refusal { code, message, after: self.after() }
    }

    /// Whether it answers no request and no message: it says what is wrong with the connection.
    pub(super) fn is_about_connection(&self) -> bool {
        self.id.is_none() && self.mid.is_none() && self.room.is_none()
    }
}

/// `goaway`
#[derive(Debug, Deserialize)]
pub(super) struct Goaway {
    pub(super) after: u64,
}

/// What a node says.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    Welcome(Welcome),
    Joined(Joined<'a>),
    PeerJoined(PeerEntry<'a>),
    PeerUpdated(PeerEntry<'a>),
    PeerLeft(PeerLeft),
    Signal(Signal<'a>),
    Ack(Ack),
    Left(Left),
    Reset(Reset<'a>),
    Ice(Ice),
    Ok(Okay),
    Error(ErrorFrame<'a>),
    Goaway(Goaway),
    Pong,
    /// Of a later version of the protocol.
    Unknown,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

/// Reads a frame. The type first, since an internally tagged enum cannot borrow a [`RawValue`].
pub(super) fn parse(text: &str) -> Result<Frame<'_>, serde_json::Error> {
    let kind: Kind<'_> = serde_json::from_str(text)?;
    match kind.kind.as_ref() {
        "signal" => serde_json::from_str(text).map(Frame::Signal),
        "ack" => serde_json::from_str(text).map(Frame::Ack),
        "peer_joined" => serde_json::from_str(text).map(Frame::PeerJoined),
        "peer_updated" => serde_json::from_str(text).map(Frame::PeerUpdated),
        "peer_left" => serde_json::from_str(text).map(Frame::PeerLeft),
        "pong" => Ok(Frame::Pong),
        "welcome" => serde_json::from_str(text).map(Frame::Welcome),
        "joined" => serde_json::from_str(text).map(Frame::Joined),
        "left" => serde_json::from_str(text).map(Frame::Left),
        "reset" => serde_json::from_str(text).map(Frame::Reset),
        "ice" => serde_json::from_str(text).map(Frame::Ice),
        "ok" => serde_json::from_str(text).map(Frame::Ok),
        "error" => serde_json::from_str(text).map(Frame::Error),
        "goaway" => serde_json::from_str(text).map(Frame::Goaway),
        _ => Ok(Frame::Unknown),
    }
}

/// What a client says, besides `signal` and `update`, which wait for their `mid`
/// ([`Body`](super::outgoing::Body)).
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Request<'a> {
    Hello {
        client: &'a str,
    },
    Join {
        id: RequestId,
        room: &'a RoomId,
        key: &'a str,
        #[serde(rename = "try")]
        attempt: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<Seq>,
        /// The last own message that is settled.
        #[serde(skip_serializing_if = "Option::is_none")]
        mid: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        meta: Option<&'a Payload>,
    },
    Leave {
        id: RequestId,
        room: &'a RoomId,
    },
    Kick {
        id: RequestId,
        room: &'a RoomId,
        peer: &'a PeerId,
        #[serde(skip_serializing_if = "Option::is_none")]
        ban: Option<u64>,
    },
    Auth {
        id: RequestId,
        token: &'a str,
    },
    Ice {
        id: RequestId,
    },
    Ping,
}

impl Request<'_> {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("only strings are keys, and memory does not fail")
    }
}

/// Returns the first frame of a connection that shows no token.
#[must_use]
pub fn hello(client: &str) -> String {
    Request::Hello { client }.text()
}

/// Returns what follows the head of a `signal` frame.
pub(super) fn signal_rest(room: &RoomId, to: Option<&PeerId>, data: &Payload) -> String {
    let to = to.map(|id| format!(r#""to":"{id}","#)).unwrap_or_default();
    format!(r#""room":"{room}",{to}"data":{}}}"#, data.get())
}

/// Returns what follows the head of an `update` frame.
pub(super) fn update_rest(room: &RoomId, meta: &Payload) -> String {
    format!(r#""room":"{room}","meta":{}}}"#, meta.get())
}

#[cfg(test)]
mod tests {
    use signal_protocol::ClientMessage;

    use super::*;

    /// Comes only to clients that ask for presence or calls, which this one does not.
    const NOT_ASKED_FOR: [&str; 7] =
        ["call_accepted", "call_ended", "offline", "online", "presence", "ring", "ringing"];

    /// Every frame that a node may send to it is known, by the golden files of the protocol crate.
    #[test]
    fn all_golden_frames_of_the_server_parse() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../signal-protocol/wire");
        let mut kinds = std::collections::BTreeSet::new();
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|file| file.to_string_lossy().contains("/server.")) {
            let text = std::fs::read_to_string(&file).unwrap();
            let frame = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let Kind { kind } = serde_json::from_str(&text).unwrap();
            let is_known = !matches!(frame, Frame::Unknown);
            assert_ne!(is_known, NOT_ASKED_FOR.contains(&&*kind), "{}", file.display());
            kinds.insert(kind.into_owned());
        }
        assert_eq!(kinds.len(), 21, "a kind of frame has no golden file: {kinds:?}");
    }

    #[test]
    fn all_that_a_client_says_is_read_by_a_node() {
        let room: RoomId = "demo".parse().unwrap();
        let peer: PeerId = "p_u1BMnQ3PWsFKcSzG2oqhFg".parse().unwrap();
        let (data, key) = (Payload::from_value(&[1]).unwrap(), "q83vEjRWeJCrze8SNFZ4kA");
        let signal = super::super::outgoing::Body {
            kind: "signal",
            rest: signal_rest(&room, Some(&peer), &data),
        };
        let frame = signal.frame(7);
        let Ok(ClientMessage::Signal(read)) = signal_protocol::parse(&frame) else {
            panic!("{frame}")
        };
        assert_eq!((read.mid.0, read.to, read.data.get()), (7, Some(peer.clone()), "[1]"));
        let requests = [
            Request::Hello { client: "test" },
            Request::Join {
                id: 1,
                room: &room,
                key,
                attempt: 2,
                seq: Some(Seq(9)),
                mid: Some(3),
                meta: None,
            },
            Request::Leave { id: 2, room: &room },
            Request::Kick { id: 3, room: &room, peer: &peer, ban: Some(60) },
            Request::Auth { id: 4, token: "t" },
            Request::Ice { id: 5 },
            Request::Ping,
        ];
        for request in requests {
            signal_protocol::parse(&request.text()).unwrap();
        }
    }
}
