//! What back ends are told of rooms and calls: events, queued beside the room that they are of.
//!
//! A log stores an event in the step that makes the change, so there is no change without its event. It stores none unless
//! that was asked for. Each endpoint reads the queue at its own pace: the log keeps its position, its failed attempts, and
//! which node sends now. An event stays until every endpoint is past it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signal_protocol::{CallEnd, CallId, LeaveReason, NodeId, PeerId, RoomId, RoomTag, Subject};

/// How many events a queue holds; the oldest give way. Only a room that changes all the time while an endpoint is down has as
/// many.
pub const EVENTS_PER_QUEUE: usize = 10_000;

/// How many dead letters are kept; the oldest give way.
pub const DEAD_LETTERS: usize = 10_000;

/// How long a queue waits at most after a failed attempt.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// A queue of events.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventQueue {
    /// The events of a room, or of the calls in an inbox.
    Room(RoomId),
    /// Dead letters that an operator has sent again.
    Replays,
}

impl EventQueue {
    /// The name of [`EventQueue::Replays`], which no room has.
    const REPLAYS: &str = "~replays";

    /// Reads what [`fmt::Display`] wrote; `None` for anything else.
    #[must_use]
    pub fn stored(name: &str) -> Option<Self> {
        if name == Self::REPLAYS {
            return Some(Self::Replays);
        }
        RoomId::stored(name).map(Self::Room)
    }
}

impl fmt::Display for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => room.fmt(f),
            Self::Replays => f.write_str(Self::REPLAYS),
        }
    }
}

/// Which events a room has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventScope {
    /// A room of `signal.v1`: its beginning and end, and its members.
    Room,
    /// An inbox: the calls in it.
    Calls,
}

impl EventScope {
    /// Returns the events of a room; `None`: none. A topic of a dialect may have any number of rooms in a second.
    #[must_use]
    pub fn of(room: &RoomId) -> Option<Self> {
        match room.tag() {
            None => Some(Self::Room),
            Some(RoomTag::Inbox) => Some(Self::Calls),
            Some(
                RoomTag::Topic
                | RoomTag::PeerJs
                | RoomTag::Matchbox
                | RoomTag::MatchboxPeer
                | RoomTag::SocketIo
                | RoomTag::Node,
            ) => None,
        }
    }
}

/// One thing that a back end is told of.
#[expect(missing_docs, reason = "the names are those of the events")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomEvent {
    RoomStarted,
    RoomEnded,
    PeerJoined {
        peer: PeerId,
        /// The subject of its token; `None` if anonymous.
        user: Option<Subject>,
    },
    PeerLeft {
        peer: PeerId,
        /// The subject of its token; `None` if anonymous.
        user: Option<Subject>,
        reason: LeaveReason,
        /// How long it was a member.
        stayed: Duration,
    },
    Call(Box<CallEvent>),
}

/// A change of a call.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEvent {
    pub call: CallId,
    /// The caller.
    pub from: Subject,
    /// The user who is called.
    pub to: Subject,
    pub room: RoomId,
    pub change: CallChange,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallChange {
    /// It rings at so many devices.
    Ringing(usize),
    /// This device has it.
    Accepted(PeerId),
    /// The user did not get it.
    Missed(MissedReason),
    /// It is over: it was accepted, or declined.
    Ended(CallEnd),
}

/// Why a user has missed a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissedReason {
    /// No device was online when it began to ring. It rings on: a device that comes in time gets it.
    Offline,
    /// Nobody answered in time.
    Timeout,
    /// The caller gave up.
    Cancelled,
}

impl MissedReason {
    const ALL: [Self; 3] = [Self::Offline, Self::Timeout, Self::Cancelled];

    /// Returns its name in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }

    /// Finds it by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl CallChange {
    /// Returns what the end of a call that rang means: a user who declined has not missed it.
    #[must_use]
    pub fn end_of_ringing(end: CallEnd) -> Self {
        match end {
            CallEnd::Timeout => Self::Missed(MissedReason::Timeout),
            CallEnd::Cancelled => Self::Missed(MissedReason::Cancelled),
            CallEnd::Declined | CallEnd::AnsweredElsewhere | CallEnd::Glare | CallEnd::HungUp => {
                Self::Ended(end)
            }
        }
    }
}

/// The place of an event in its queue; it grows, and comes from the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When the event was stored, in milliseconds since 1970.
    pub at: u64,
    /// Its number in that millisecond.
    pub n: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at, self.n)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, n) = text.split_once('-').ok_or(())?;
        Ok(Self { at: at.parse().map_err(drop)?, n: n.parse().map_err(drop)? })
    }
}

/// Names an endpoint by its URL, without telling the URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointId(pub Arc<str>);

/// An event in a queue.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedEvent {
    pub position: Position,
    pub content: EventContent,
}

/// What there is to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventContent {
    /// Something new.
    Event(RoomEvent),
    /// A dead letter, for its endpoint alone.
    Replay(Box<Letter>),
    /// Something that only another version can read; it is skipped.
    Unknown,
}

/// A message as it was to be sent.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    pub endpoint: EndpointId,
    /// By which the back end recognises a repeated one.
    pub id: String,
    pub body: String,
}

/// A message that could not be delivered.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    #[serde(flatten)]
    pub letter: Letter,
    /// When it was given up, in milliseconds since 1970.
    pub at: u64,
    /// What the last attempt came to.
    pub error: String,
}

/// Who sends what for an endpoint.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    pub queue: &'a EventQueue,
    pub endpoint: &'a EndpointId,
    pub node: &'a NodeId,
}

/// What a node gets of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The endpoint has everything.
    Nothing,
    /// Another node sends, or the endpoint has a pause: the queue may be asked again after that.
    Later(Duration),
    /// The next events, which nobody else gets for the time of the lease.
    Events {
        /// How often the first one was tried.
        attempts: u32,
        /// Never none.
        events: Vec<QueuedEvent>,
    },
}

/// What came of the events that were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last one that is done with.
    pub position: Option<Position>,
    /// How often the next one was tried.
    pub attempts: u32,
    /// How long nobody tries it again, up to [`LONGEST_PAUSE`].
    pub pause: Duration,
}
