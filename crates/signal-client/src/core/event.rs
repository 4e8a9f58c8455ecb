//! What a client is told, in types.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use signal_protocol::{LeaveReason, PeerId, Recovery, Seq};

/// JSON as it came or goes: never parsed on the way.
#[derive(Clone)]
pub struct Payload(Arc<RawValue>);

impl Payload {
    pub(super) fn new(raw: &RawValue) -> Self {
        Self(raw.to_owned().into())
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// When the value has no form in JSON.
    pub fn from_value(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(|raw| Self(raw.into()))
    }

    /// Returns the JSON text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Reads it as a value.
    ///
    /// # Errors
    /// When the JSON is not of that type.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::new(serde_json::from_str("{}").expect("an empty object is JSON"))
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.get().len())
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Payload {}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Another member of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id, for as long as it is a member.
    pub id: PeerId,
    /// Its number among the joins of the room.
    pub n: u64,
    /// The subject of its token; none if it is anonymous.
    pub user: Option<Arc<str>>,
    /// Whether this client is the polite side towards it (W3C WebRTC, "Perfect negotiation example").
    pub polite: bool,
    /// Whether it lost its socket and may come back.
    pub away: bool,
    /// What it tells about itself; an object.
    pub meta: Payload,
}

/// This client as a member: `self` in `joined`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Me {
    /// The id by which the others know this member.
    pub id: PeerId,
    /// Its number among the joins of the room.
    pub n: u64,
}

/// Who sent a signal.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    Peer(PeerId),
    /// A back end, over the REST interface of a node.
    Server,
}

/// Something in a room, in the order in which all of its members see it.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// This client is in the room, or is back.
    Joined {
        /// The place in the room's log.
        seq: Seq,
        /// How it came back: [`Recovery::New`] makes it a new member.
        recovery: Recovery,
        me: Me,
        /// The others. `None` after [`Recovery::Replay`]: the events before told of every change.
        members: Option<Vec<Member>>,
    },
    /// The connection was lost; the client comes back by itself.
    Away,
    PeerJoined {
        /// The place in the room's log.
        seq: Seq,
        member: Member,
    },
    /// A member went away, came back, or changed its `meta`.
    PeerUpdated {
        /// The place in the room's log.
        seq: Seq,
        peer: PeerId,
        /// Whether it is away now, if that changed.
        away: Option<bool>,
        /// What it tells about itself now, if that changed.
        meta: Option<Payload>,
    },
    /// A member is gone.
    PeerLeft {
        /// The place in the room's log.
        seq: Seq,
        peer: PeerId,
        reason: LeaveReason,
    },
    /// A signal, delivered once and in order.
    Signal {
        /// The place in the room's log.
        seq: Seq,
        /// Who sent it, by the stamp of the node.
        from: Sender,
        /// Whether it was for this client alone.
        addressed: bool,
        data: Payload,
    },
    /// A volatile signal: it may be lost, and may overtake others.
    Volatile {
        /// Who sent it, by the stamp of the node.
        from: Sender,
        /// Whether it was for this client alone.
        addressed: bool,
        data: Payload,
    },
    /// The cluster lost a part of the room's history; this is the roster now, and what was in flight may be gone. A member
    /// that is missing is gone only if it is still missing after the grace.
    Reset {
        /// The place in the room's log.
        seq: Seq,
        members: Vec<Member>,
    },
    /// A join failed for a passing reason and is repeated.
    Delayed(Refusal),
    /// This client was away for too long and is not a member any more. It joins anew by itself, as a new member; what
    /// was not settled is given up.
    Expired,
    /// The membership has ended for good. No event follows.
    Left(LeftBecause),
}

/// Why a membership ended for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeftBecause {
    /// This client left.
    #[error("this client left the room")]
    Left,
    /// Another client holds the membership.
    #[error("another client with the same key holds the membership")]
    Replaced,
    /// A moderator removed this client.
    #[error("a moderator removed this client from the room")]
    Kicked,
    /// The node refused the join.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection has stopped for good.
    #[error(transparent)]
    Stopped(#[from] Stop),
}

/// An `error` of a node: why it refused something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The code of docs/PROTOCOL.md, section 10.
    pub code: String,
    /// The same for people.
    pub message: String,
    /// When trying again makes sense, if the node said so.
    pub after: Option<Duration>,
}

/// Why the connection has stopped for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// This client closed it.
    #[error("the client was closed")]
    Closed,
    /// A node closed it, with a code after which a client does not come back.
    #[error("the node closed the connection with {code}: {message}")]
    Code {
        /// The close code of docs/PROTOCOL.md, section 11; or the HTTP status 401.
        code: u16,
        /// What the node said.
        message: String,
    },
}

/// Why a message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The node refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// So many messages are waiting to be settled that no more are accepted: await some of them first.
    #[error("{0} messages are not settled yet: await some of them before you send more")]
    Full(usize),
    /// The frame would be larger than the node accepts.
    #[error("the frame has {bytes} bytes; the node accepts {most}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// The value has no form in JSON.
    #[error("the data cannot be written as JSON: {0}")]
    Json(String),
    /// This client came back as a new member, or the room was left, before the message was settled. It may have been
    /// delivered.
    #[error("the membership ended before the message was settled; it may have been delivered")]
    Ended,
    /// There is no connection.
    #[error("there is no connection now")]
    NotConnected,
}
