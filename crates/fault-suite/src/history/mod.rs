//! What every client saw and every fault did, as one list in the order of time.
//!
//! A history is all that the checks look at: it can be written to a file, read back, and checked
//! again without the cluster that it came from.

mod fault_kind;
mod file;
mod peer;
mod recorder;

pub use fault_kind::FaultKind;
pub use file::HistoryError;
pub use peer::{ParsePeerError, Peer, UNRECORDED};
pub use recorder::{Log, Recorder};

use std::time::Duration;

use serde::{Deserialize, Serialize};
pub use signal_protocol::{LeaveReason, LeftReason, Recovery};

/// Returns whole microseconds, as a history tells every time.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What held for the whole run; times are in microseconds.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSettings {
    pub scenario: String,
    /// The seed of everything that was drawn.
    pub seed: u64,
    /// How many members a room may hold.
    pub capacity: usize,
    /// A node silent for this long is suspected.
    pub lease: u64,
    /// How long a lost socket may come back as the same member.
    pub grace: u64,
    /// How often a silent socket is pinged.
    pub ping: u64,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// What held for the whole run.
    pub settings: RunSettings,
    /// What happened, in the order of time.
    pub events: Vec<Event>,
}

/// One thing that happened.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds since the run began, by the one monotonic clock of the suite.
    pub at: u64,
    /// The client it happened to.
    pub who: u32,
    #[serde(flatten)]
    pub what: What,
}

/// In [`Event::who`]: the suite itself.
pub const SUITE: u32 = u32::MAX;

/// What happened.
///
/// `number` counts a client's own signals over all its lives, from 1.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A socket was welcomed.
    Opened {
        /// The node behind it.
        node: u8,
    },
    /// The socket that held the membership is gone.
    Closed {
        /// The close code; 1006 without a closing handshake.
        code: u16,
    },
    /// The membership holds on a socket.
    Joined(Box<Joined>),
    /// A signal was handed over for sending.
    Sent {
        number: u32,
        /// Whom it is for; everyone else in the room if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Peer>,
    },
    /// All own signals up to this one are acknowledged or were refused.
    Settled {
        /// The last of them.
        number: u32,
    },
    /// A signal was refused for good.
    Refused { number: u32 },
    /// All own signals that were not settled are given up: this is a new member.
    Dropped,
    /// A signal arrived, above the position.
    Received {
        /// Who sent it, by the stamp of the node.
        from: Peer,
        /// The number its sender gave it.
        number: u32,
        /// Its place in the room's log.
        seq: u64,
        /// Whether it was addressed.
        to_me: bool,
    },
    /// An `ack` moved the position.
    Position { seq: u64 },
    /// Another member came in.
    PeerJoined {
        /// Its place in the room's log.
        seq: u64,
        #[serde(flatten)]
        seen: Seen,
    },
    /// Another member went away or came back.
    PeerAway {
        /// Its place in the room's log.
        seq: u64,
        peer: Peer,
        /// Which of the two.
        away: bool,
    },
    /// Another member is gone.
    PeerLeft {
        /// Its place in the room's log.
        seq: u64,
        peer: Peer,
        reason: LeaveReason,
    },
    /// History was lost, and this is the roster now.
    Reset {
        /// Where the log goes on.
        seq: u64,
        roster: Box<[Seen]>,
    },
    /// The membership was ended by the cluster.
    Ended { reason: LeftReason },
    /// The client stops for good, as a close code told it to.
    Stopped { code: u16 },
    /// The client asks to leave.
    Leaving,
    /// The client dropped its socket and does not come back.
    Vanished,
    /// A join was refused; it is repeated later.
    Turned { code: Box<str> },
    /// The node said that it cannot serve.
    Unavailable,
    /// The node asked to be left.
    GoAway,
    /// What the client holds for the roster, when all is quiet.
    Roster {
        /// The others, and whether they are away.
        peers: Box<[(Peer, bool)]>,
    },
    /// What the client has set for its `meta`, and holds for that of the others, when all is quiet. Each is a count of updates.
    Metas {
        /// Its own; nothing if the last update was given up with the membership that it was made for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        own: Option<u32>,
        /// Those of the others.
        peers: Box<[(Peer, u32)]>,
    },
    /// What a node says of its health, if it differs from what it said before.
    Health {
        /// Which node.
        node: u8,
        /// `signal_log_up`.
        up: bool,
        /// Whether `/readyz` is 200.
        ready: bool,
        /// The kinds of `signal_log_trouble` that are 1.
        trouble: Box<[Box<str>]>,
    },
    /// The keys of Redis that have no end, when all is quiet.
    EndlessKeys { keys: Box<[Box<str>]> },
    Fault {
        /// Its number in the schedule.
        fault: u32,
        kind: FaultKind,
        /// The node it affects, if one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<u8>,
    },
    /// The back end asks for an announcement to a room.
    Announcing {
        /// Announcements are counted over all rooms.
        number: u32,
    },
    /// The announcement is in the log of the room, as the cluster says.
    Announced {
        number: u32,
        room: u32,
        /// Its place in the log of the room.
        seq: u64,
    },
    /// An announcement arrived, above the position.
    AnnouncementReceived {
        number: u32,
        /// Its place in the log of the room.
        seq: u64,
    },
    /// The back end asks for a member to be removed, and its subject to be kept out.
    Kicking {
        peer: Peer,
        /// For how long, in microseconds.
        ban: u64,
    },
    /// The member is removed, as the cluster says.
    Kicked { peer: Peer },
    /// The back end asks for a room to be locked or bounded, or for the end of that.
    Configuring { room: u32 },
    /// The room takes no new members, or this many, as the cluster says.
    Configured {
        room: u32,
        locked: bool,
        cap: u64,
        /// The last place in the log of the room by then, or an earlier one.
        seq: u64,
    },
    /// A fault is over.
    Healed {
        /// Its number in the schedule.
        fault: u32,
    },
    /// Clients who mean harm begin; what came before was quiet.
    Attack {
        /// A p99 of joins below this counts as this: so much is noise of the machine. In microseconds.
        floor: u64,
    },
    /// They have ended.
    AttackOver,
    /// A good client has tried to get into a room.
    Attempt {
        /// How long it took from opening a socket, in microseconds.
        took: u64,
        is_in: bool,
    },
    /// The resident memory of a process.
    Memory { process: Box<str>, bytes: u64 },
}

/// A `joined`.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    pub peer: Peer,
    pub room: u32,
    /// The place in the room's log from which on everything is told.
    pub seq: u64,
    pub recovery: Recovery,
    /// Which join of the room it was.
    pub n: u64,
    /// The others, unless everything missed was told before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roster: Option<Box<[Seen]>>,
}

/// Another member as told.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub peer: Peer,
    /// Which join of the room it was.
    pub n: u64,
    /// Whether the one who is told this is the polite side towards it.
    pub polite: bool,
    /// Whether its socket is lost.
    #[serde(default)]
    pub away: bool,
}
