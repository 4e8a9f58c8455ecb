//! The seam between a session and the protocol of its client.

use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use signal_protocol::{CloseCode, PeerKey, RoomId};

/// What a dialect asks of its session, in order.
pub type Effects = Vec<DialectEffect>;

/// A protocol of others, for one connection.
pub trait Dialect: Send {
    /// Returns its name, for labels and settings.
    fn name(&self) -> DialectName;

    /// Applies that the session is open.
    fn start(&mut self, _now: Instant, _effects: &mut Effects) {}

    /// Applies a text frame of the client.
    fn on_text(&mut self, text: &str, now: Instant, effects: &mut Effects);

    /// Applies that the client has answered a ping, or has sent one.
    fn on_control(&mut self) {}

    /// Applies a frame of `signal.v1`, which a client of ours would have been sent.
    fn on_frame(&mut self, frame: &str, now: Instant, effects: &mut Effects);

    /// Applies the result of the post that is in flight for this room.
    fn on_posted(
        &mut self,
        room: &RoomId,
        outcome: PostOutcome,
        now: Instant,
        effects: &mut Effects,
    );

    /// Applies the number that a room holds; `None`: the log did not answer.
    fn on_number(&mut self, _number: Option<u64>, _now: Instant, _effects: &mut Effects) {}

    /// Applies that the room ended the membership, since nobody can say what the member missed.
    fn on_lost(&mut self, room: &RoomId, now: Instant, effects: &mut Effects);

    /// Returns when [`Dialect::tick`] is due.
    fn next_tick(&self) -> Option<Instant>;

    /// Applies the passing of time.
    fn tick(&mut self, now: Instant, effects: &mut Effects);

    /// Returns when a node that drains closes the connection.
    fn drain_time(&self) -> DrainTime;

    /// Writes the client for another node that takes its connection over, if the dialect can.
    fn export(&self) -> Option<String> {
        None
    }

    /// Returns what becomes of the memberships of a client whose connection has ended.
    fn after(&self, _end: ConnectionEnd) -> MembershipEnd {
        MembershipEnd::Leave
    }
}

/// The dialects there are.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialectName {
    Topics,
    PeerJs,
    Matchbox,
    SocketIo,
}

impl DialectName {
    /// Every dialect.
    pub const ALL: [Self; 4] = [Self::Topics, Self::PeerJs, Self::Matchbox, Self::SocketIo];

    /// Returns the name in labels and settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Topics => "topics",
            Self::PeerJs => "peerjs",
            Self::Matchbox => "matchbox",
            Self::SocketIo => "socketio",
        }
    }
}

/// What a dialect asks of its session.
#[derive(Debug)]
pub enum DialectEffect {
    /// Send this text to the client.
    Send(String),
    /// Join a room; `joined` or `error` with this id comes back as a frame.
    Join(RoomJoin),
    /// Leave a room; `ok` with this id comes back as a frame.
    Leave {
        /// The room.
        room: RoomId,
        /// The id of the answer.
        id: u64,
    },
    /// Check the token of a client whose handshake carried none, and let it in without one where that may be. A client that is in
    /// gets the frame `welcome`, and an `error` tells that it is rejected.
    Authenticate(Option<String>),
    /// Send a signal of the member; `ack` or `error` comes back as a frame.
    Signal(RoomSignal),
    /// Post into a room, and report with [`Dialect::on_posted`].
    Post(RoomPost),
    /// Advance the number that a room holds, unless it is past `from`, and report it with [`Dialect::on_number`].
    Advance {
        /// The room.
        room: RoomId,
        /// The number that is to be passed; 0: it is only told.
        from: u64,
    },
    /// Send a WebSocket ping; the answer comes as [`Dialect::on_control`].
    Ping,
    /// Close the connection after what is queued.
    Close(CloseCode),
    /// Count a frame that had no effect.
    Ignore(IgnoredReason),
}

/// A join of a client that does not know of rooms.
#[derive(Debug)]
pub struct RoomJoin {
    /// The room.
    pub room: RoomId,
    /// What the client calls it. The rooms of a token are compared with this name.
    pub name: String,
    /// The key of the member; `None`: a random one.
    pub key: Option<PeerKey>,
    /// How many members the room takes before it is locked for good; `None`: as many as others of its dialect.
    pub seats: Option<u32>,
    /// The entry behind which a client resumes; `None`: nothing is replayed to it.
    pub position: Option<u64>,
    /// The id of the answer.
    pub id: u64,
}

impl RoomJoin {
    /// Joins a room that is not locked, without a replay.
    #[must_use]
    pub fn new(room: RoomId, name: String, key: Option<PeerKey>, id: u64) -> Self {
        Self { room, name, key, seats: None, position: None, id }
    }
}

/// A signal of a member to all others of its room.
#[derive(Clone, Debug)]
pub struct RoomSignal {
    /// The room.
    pub room: RoomId,
    /// The member's own count of its signals: 1, 2, 3 … without holes.
    pub mid: u64,
    /// What the others get.
    pub data: Box<RawValue>,
}

/// A signal into a room by one who need not be a member.
#[derive(Clone, Debug)]
pub struct RoomPost {
    /// The room.
    pub room: RoomId,
    /// What the client calls it. The rooms of a token are compared with this name.
    pub name: String,
    /// Tells a repeated post from the next one.
    pub count: u64,
    /// What the members get.
    pub data: Box<RawValue>,
}

/// What became of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostOutcome {
    /// It is in the log of the room, once.
    Posted,
    /// Nobody is present in the room. Nothing has happened.
    Gone,
    /// The log did not answer, or the room is being restored: it may be posted again with the same count.
    Unavailable,
    /// The sender is over its rate. Nothing has happened.
    Limited,
    /// The token of the client does not open the room. Nothing has happened.
    Forbidden,
}

impl PostOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::Posted, Self::Gone, Self::Unavailable, Self::Limited, Self::Forbidden];
}

/// Why a frame had no effect; a label of `signal_dialect_ignored_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoredReason {
    /// It does not parse.
    Malformed,
    /// Its type is not known.
    UnknownType,
    /// Nobody gets it.
    NoReceiver,
    /// The client is over a rate, or in too many rooms, or has too much waiting.
    Limit,
    /// The room is full.
    Full,
    /// The token does not open the room.
    Forbidden,
    /// The log was unavailable for too long.
    Unavailable,
}

impl IgnoredReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::UnknownType,
        Self::NoReceiver,
        Self::Limit,
        Self::Full,
        Self::Forbidden,
        Self::Unavailable,
    ];

    /// Returns the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownType => "unknown_type",
            Self::NoReceiver => "no_receiver",
            Self::Limit => "limit",
            Self::Full => "full",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The client has closed it, or its page was left.
    Goodbye,
    /// It broke, or the node has closed it.
    Lost,
    /// Another node has taken it over.
    Moved,
}

/// What becomes of the memberships of a connection that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipEnd {
    /// The members leave: the client has nothing that it could resume with.
    Leave,
    /// The members stay for the grace: the client resumes over another connection.
    Detach,
}

/// When a node that drains closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainTime {
    /// At a moment of its own, as a client of ours is asked to move: the client connects again by itself.
    Early,
    /// At the deadline: the client does not come back to what it had.
    Deadline,
}

/// How long a post, or a join that failed, waits until it is tried again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(250);
