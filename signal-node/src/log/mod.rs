//! The seam between a node and its rooms: one ordered log per room.
//!
//! Decisions that all nodes must agree on are made behind [`RoomLog`], in one atomic step per call: membership, capacity,
//! roles and order. There are two logs, [`memory`] for one process and [`redis`] for many. Both pass the suite in
//! `tests/it/log_suite/`, and the first one reads as the specification of the second one's scripts.

mod call;
mod calls;
mod changed_queues;
mod entry;
mod event_store;
mod events;
mod feed;
mod join;
mod judgement;
pub mod memory;
mod profile;
pub mod redis;
mod revocation;
mod timeline;
mod types;

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use signal_protocol::{NodeId, RoomId, Seq};
use tokio::sync::watch;
use utoipa::ToSchema;

pub use call::{Claim, Op, Outcome, Post, Record, Restored, RoomView};
pub use calls::{
    CALL_LIFE, CALLS_REMEMBERED, CallState, CallStep, CallView, CallsView, RINGING_CALLS, Ring,
};
pub use changed_queues::{ChangedBy, ChangedQueues};
pub use entry::{Batch, Entry, ResetMember, Volatile};
pub use event_store::EventStore;
pub use events::{
    CallChange, CallEvent, Claimant, DEAD_LETTERS, DeadLetter, EVENTS_PER_QUEUE, EndpointId,
    EventContent, EventQueue, EventScope, LONGEST_PAUSE, Letter, MissedReason, Position, Progress,
    QueuedEvent, RoomEvent, Taken,
};
pub use feed::{Feed, FeedEvent, FeedSender, feed};
pub use join::{Join, JoinRefusal, Joined};
pub use judgement::{Judgement, Silent};
pub use profile::RoomProfile;
pub use revocation::{Revocations, Revoked, RevokedBy, RevokedList, Until, Written};
pub use timeline::{TimelineKey, TimelineStore};
pub use types::{Payload, RosterMember, SocketId};

/// One ordered log per room, shared by all nodes of a cluster.
pub trait RoomLog: Send + Sync + 'static {
    /// Subscribes to a room; when this returns, every later entry reaches the [`Feed`] or is covered by a
    /// [`FeedEvent::Gap`]. Dropping the feed ends the subscription.
    fn open(&self, room: &RoomId) -> BoxFuture<'_, Result<Feed, LogError>>;

    /// Applies the steps in `ops` atomically and in order, and returns one [`Outcome`] for each. `seen` is the highest
    /// number that the caller knows of in this room.
    ///
    /// After [`LogError::Unavailable`] the outcome is unknown; the same call may be made again and has no
    /// second effect. After [`LogError::WriteRefused`] nothing has happened, and it may be made again, too. After [`LogError::RolledBack`] nothing has happened: the log has lost what the caller
    /// has seen. Only a call that begins with [`Op::Restore`] or [`Op::Reset`] is taken then.
    fn call<'a>(
        &'a self,
        room: &'a RoomId,
        seen: Seq,
        ops: &'a [Op],
    ) -> BoxFuture<'a, Result<Vec<Outcome>, LogError>>;

    /// Reads the kept batches that end after `after`, oldest first, at most `limit` of them.
    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Batch>, LogError>>;

    /// Publishes volatile signals to the nodes that are subscribed now; nothing is stored.
    fn publish_volatile<'a>(
        &'a self,
        room: &'a RoomId,
        volatiles: &'a [Volatile],
    ) -> BoxFuture<'a, Result<(), LogError>>;
}

/// The heartbeats of all nodes, kept beside the rooms.
pub trait HeartbeatStore: Send + Sync + 'static {
    /// Increments this node's counter if `beats`, and returns the counters of all nodes.
    fn exchange<'a>(
        &'a self,
        node: &'a NodeId,
        beats: bool,
    ) -> BoxFuture<'a, Result<Heartbeats, LogError>>;

    /// Returns what is wrong with the connections to the log, if heartbeats alone do not show it.
    fn trouble(&self) -> Option<Trouble>;

    /// Stores the load of this node, for `/v1/cluster`.
    fn report<'a>(
        &'a self,
        node: &'a NodeId,
        load: &'a Load,
    ) -> BoxFuture<'a, Result<(), LogError>>;

    /// Reads the load of every node, as stored last.
    fn loads(&self) -> BoxFuture<'_, Result<Vec<(NodeId, Load)>, LogError>>;

    /// Removes nodes from the list: this one as it stops, or others that failed long ago.
    fn forget<'a>(&'a self, nodes: &'a [NodeId]) -> BoxFuture<'a, Result<(), LogError>>;

    /// Counts the reconnects.
    fn reconnects(&self) -> watch::Receiver<u64>;
}

/// The counters of all nodes at one moment.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats {
    /// The moment, by the clock of the log.
    pub clock: Duration,
    /// How often the heart of each node has beaten.
    pub counters: Vec<(NodeId, u64)>,
}

/// What is wrong between a node and the log, with the words of the log or the names of its servers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The log does not answer.
    #[error("Redis has not answered for a lease ({0}): clients are told to look elsewhere")]
    CutOff(String),
    /// The log answers and refuses to write.
    #[error("Redis refuses to write ({0}): clients are told to look elsewhere")]
    ReadOnly(String),
    /// Calls are answered, and nothing comes over the subscriptions.
    #[error(
        "Redis does not answer on the connection of subscriptions ({0}): clients are told to look elsewhere"
    )]
    Deaf(String),
    /// Some servers of a cluster do not answer: their rooms are not reachable, the others are.
    #[error(
        "a part of the Redis Cluster has not answered for a lease ({0}): its rooms are unavailable"
    )]
    Partial(String),
}

impl Trouble {
    /// The names of all kinds.
    pub const NAMES: [&str; 4] = ["cut_off", "read_only", "deaf", "partial"];

    /// Returns the name of the kind, for metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CutOff(_) => "cut_off",
            Self::ReadOnly(_) => "read_only",
            Self::Deaf(_) => "deaf",
            Self::Partial(_) => "partial",
        }
    }

    /// Tells whether it keeps every room of the node from its log.
    #[must_use]
    pub fn cuts_off(&self) -> bool {
        !matches!(self, Self::Partial(_))
    }
}

/// What a node carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Load {
    /// Its version.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// WebSocket connections.
    pub connections: i64,
    /// Rooms that have members there.
    pub rooms: i64,
    /// Whether it is about to stop.
    pub draining: bool,
}

/// Bounds on the log of a room.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// How old an entry may become.
    pub age: Duration,
    /// How many entries are kept.
    pub length: usize,
    /// How many bytes of entries are kept.
    pub bytes: usize,
    /// How long the keys of a room outlive its last use: longer than any member may be away.
    pub room: Duration,
}

impl Retention {
    /// Returns the bounds for a room: entries of a dialect's room are kept for a shorter time.
    #[must_use]
    pub fn of(&self, room: &RoomId) -> Self {
        let age = RoomProfile::of(room).map_or(self.age, |profile| profile.age.min(self.age));
        Self { age, ..*self }
    }
}

/// How long the count of a sender's posts into a room is kept after its last one. A post is repeated for a few seconds only.
pub const POSTS_REMEMBERED: Duration = Duration::from_secs(60);

/// How long the configuration of a room is kept at least, and the idempotency key of an announcement.
pub const REMEMBERED: Duration = Duration::from_secs(86_400);

/// How long nodes may restore their members after a reset. A member that was not restored by then is away.
pub const RESTORE_WINDOW: Duration = Duration::from_secs(5);

/// How long the node of a suspected member has at least to reclaim it before the member may be removed.
pub const RECLAIM_WINDOW: Duration = Duration::from_secs(2);

/// How late a join may arrive. Its client has been answered `unavailable` before that, and a node listens to a room for longer
/// after its last join, so that it notices a late copy that enters.
pub const JOIN_VALID_FOR: Duration = Duration::from_secs(8);

/// How many members one step suspects or removes, so that a room with many of them does not hold Redis for long.
pub const MEMBERS_PER_STEP: usize = 256;

/// How many of the last members that left a room remembers, to know a late copy of their joins.
pub const LEFT_REMEMBERED: usize = 64;

/// How far the log's clock may be behind the numbers of a room before the log asks whether it may have lost entries.
pub const CLOCK_BEHIND: Duration = Duration::from_secs(1);

/// How many numbers it passes over then at least: more than a room gives between two snapshots of Redis (277 a second for an hour).
pub const PASSED_OVER: u64 = 1_000_000;

/// And how many more, a number each microsecond, before that begins again. Two logs that begin with the same copy, one after the other,
/// pass over to different numbers.
pub const PASSED_OVER_BY_CLOCK: Duration = Duration::from_secs(16);

/// Why a call to a log failed. The caller may repeat it.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// Redis cannot be reached, or is too slow. The outcome is unknown.
    #[error("the room log is not reachable: {0}")]
    Unavailable(String),
    /// Redis and this node do not accept each other: the user, the password, a right, or a certificate. It does not end
    /// by itself.
    #[error("the connection is rejected: {0}")]
    Rejected(String),
    /// Redis answers and refuses to write, in its own words. Nothing has happened.
    #[error("the room log refuses to write: {0}")]
    WriteRefused(String),
    /// The log ends before entries that the caller has seen: writes were lost.
    #[error("the room log has lost what came after {head}")]
    RolledBack { head: Seq },
    /// Redis cannot hold rooms, with what to do about it.
    #[error("the room log cannot be kept there: {0}")]
    Unsuitable(String),
    /// Redis answered something that our scripts never answer.
    #[error("the room log answered out of turn: {0}")]
    UnexpectedReply(String),
}

impl LogError {
    /// Tells whether the same call may succeed later, unchanged.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::WriteRefused(_))
    }
}
