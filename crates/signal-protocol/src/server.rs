//! What a node says. Each value becomes one text frame with [`ServerMessage::to_json`].

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::calls::{CallEnd, RingView};
use crate::codes::ErrorCode;
use crate::fields::RequestId;
use crate::ice::IceServers;
use crate::ids::{CallId, Mid, NodeId, PeerId, RoomId, Seq};
use crate::presence::DeviceView;
use crate::subject::Subject;

/// Returns whole milliseconds, as frames tell a time (`after`, `within`).
#[must_use]
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What the node grants, told in `welcome.limits`.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of one client frame.
    pub message: usize,
    /// Rooms on one connection.
    pub rooms: usize,
    /// Messages a second, in the long run.
    pub rate: u32,
    pub burst: u32,
    /// Kept messages without an `ack`.
    pub unacked: u64,
    /// Users that one connection watches; a node of an earlier version takes no `watch`.
    #[serde(default)]
    pub watches: usize,
}

/// How a join ended (`joined.recovery`).
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    New,
    /// The same member; every missed entry came before.
    Replay,
    /// The same member; the roster stands for what was missed.
    Snapshot,
}

impl Recovery {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::New, Self::Replay, Self::Snapshot];

    /// Returns its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Replay => "replay",
            Self::Snapshot => "snapshot",
        }
    }

    /// Finds it by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// Why a member is gone (`peer_left.reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It said `leave`.
    Left,
    /// It did not come back within the grace.
    Timeout,
    /// A moderator removed it.
    Kicked,
}

/// Why this socket's membership ended (`left.reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftReason {
    /// A newer socket of the same client holds it.
    Replaced,
    /// A moderator ended it.
    Kicked,
    /// It was away for too long, as seen by the others.
    Expired,
}

/// Why ICE servers were sent (`ice.reason`).
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IceReason {
    /// The former ones are halfway to their end.
    Refresh,
    Request,
    Rotate,
    /// A relay is about to stop.
    Drain,
}

/// The receiver itself, in `joined`.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SelfView<'a> {
    pub id: &'a PeerId,
    /// Its number among the joins of the room.
    pub n: u64,
}

/// A message up to `mid` that was refused for good, in the `joined` of a member that comes back: the `error` that said so may
/// have been lost with its socket.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedMessage<'a> {
    pub mid: Mid,
    /// Why it was refused.
    pub code: ErrorCode,
    /// The same for people.
    pub message: &'a str,
}

/// Another member, as one receiver is told of it. What did not change is absent.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, Serialize)]
pub struct PeerView<'a> {
    pub id: &'a PeerId,
    /// Its number among the joins of the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// The subject of its token; absent if anonymous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a Subject>,
    /// "Towards this peer *you* are the polite side" (W3C webrtc-pc §10.7, perfect negotiation).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub polite: Option<bool>,
    /// It lost its socket and may come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub away: Option<bool>,
    /// What it tells about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<&'a RawValue>,
}

/// One message of a node.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are the wire's, told in docs/PROTOCOL.md")]
pub enum ServerMessage<'a> {
    /// The connection is authenticated.
    Welcome {
        node: &'a NodeId,
        ping: u64,
        grace: u64,
        features: &'a [&'a str],
        limits: &'a Limits,
    },
    /// The join took effect at `seq`.
    Joined {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        room: &'a RoomId,
        seq: Seq,
        recovery: Recovery,
        mid: Mid,
        #[serde(rename = "self")]
        me: SelfView<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        peers: Option<Vec<PeerView<'a>>>,
        ice: Option<&'a IceServers>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        refused: Vec<RefusedMessage<'a>>,
    },
    PeerJoined {
        room: &'a RoomId,
        seq: Seq,
        peer: PeerView<'a>,
    },
    /// A member changed its `meta`, went away or came back.
    PeerUpdated {
        room: &'a RoomId,
        seq: Seq,
        peer: PeerView<'a>,
    },
    /// A member is gone.
    PeerLeft {
        room: &'a RoomId,
        seq: Seq,
        peer: &'a PeerId,
        reason: LeaveReason,
    },
    /// Something another member said; without `seq` if volatile.
    Signal {
        room: &'a RoomId,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<Seq>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        volatile: bool,
        from: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a PeerId>,
        data: &'a RawValue,
    },
    /// All own messages up to `mid` are settled, and the receiver stands at `seq`.
    Ack {
        room: &'a RoomId,
        mid: Mid,
        seq: Seq,
    },
    /// The membership of this socket ended.
    Left {
        room: &'a RoomId,
        reason: LeftReason,
    },
    /// History was lost; this is the roster now.
    Reset {
        room: &'a RoomId,
        seq: Seq,
        mid: Mid,
        peers: Vec<PeerView<'a>>,
    },
    /// ICE servers to use from now on.
    Ice {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        ice: Option<&'a IceServers>,
        reason: IceReason,
    },
    /// The device is online.
    Online {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        device: &'a PeerId,
    },
    /// The device is not online over this socket any more.
    Offline {
        reason: LeftReason,
    },
    /// How a user that is watched is now.
    Presence {
        user: &'a Subject,
        state: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<u64>,
        devices: Vec<DeviceView<'a>>,
    },
    /// A user calls: the device rings.
    Ring(RingView<'a>),
    /// The call rings, on so many devices.
    Ringing {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        call: &'a CallId,
        room: &'a RoomId,
        devices: usize,
    },
    /// A device has the call.
    CallAccepted {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        call: &'a CallId,
        room: &'a RoomId,
        device: &'a PeerId,
    },
    /// The call is over, for everyone or for this device.
    CallEnded {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        call: &'a CallId,
        reason: CallEnd,
    },
    /// The request took effect.
    Ok {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
    },
    /// The request was refused.
    Error(ErrorFrame<'a>),
    /// The node is about to stop: resume elsewhere after `after` ms, within `within` ms.
    Goaway {
        reason: &'a str,
        after: u64,
        within: u64,
    },
    /// Answers `ping`.
    Pong,
}

/// The body of `error`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ErrorFrame<'a> {
    /// The request it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// The kept message it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mid: Option<Mid>,
    /// The room of that message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<&'a RoomId>,
    /// The user that is watched no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a Subject>,
    /// What is wrong, for a program.
    pub code: ErrorCode,
    /// Whether the same message may succeed later.
    pub retry: bool,
    /// What is wrong, for a person.
    pub message: &'a str,
    /// Milliseconds after which trying again makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// With `out_of_order`: the `mid` that is next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Mid>,
}

impl<'a> ErrorFrame<'a> {
    /// Answers no request in particular.
    #[must_use]
    pub fn new(code: ErrorCode, message: &'a str) -> Self {
        Self {
            id: None,
            mid: None,
            room: None,
            user: None,
            code,
            retry: code.retry(),
            message,
            after: None,
            expected: None,
        }
    }
}

impl ServerMessage<'_> {
    /// Writes the frame.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("only strings are keys, and memory does not fail")
    }
}
