//! The seam between a node and the rooms: one ordered log per room.
//!
//! Everything that must be decided once for all nodes is decided behind this trait, in one atomic step per
//! call: who is in the room, who offers, what comes before what. There are two logs: [`memory`] for one
//! process, [`redis`] for many. They pass the same suite (`tests/it/log_suite.rs`), and the first one reads
//! as the specification of the scripts of the second.

mod call;
mod entry;
mod feed;
pub mod memory;
pub mod redis;

use std::time::Duration;

use futures_util::future::BoxFuture;
use signal_protocol::{NodeId, RoomId, Seq};
use tokio::sync::watch;

pub use call::{
    Claim, Join, JoinRefusal, Joined, Op, Outcome, Restored, RosterMember, Silent, SocketId,
};
pub use entry::{Batch, Entry, Payload, Survivor, Volatile};
pub use feed::{Feed, FeedEvent, FeedSender, feed};

/// One ordered log per room, shared by all nodes of a cluster.
pub trait RoomLog: Send + Sync + 'static {
    /// Subscribes to a room; when this returns, every later entry reaches the [`Feed`] or is covered by a
    /// [`FeedEvent::Gap`]. Dropping the feed ends the subscription.
    fn open(&self, room: &RoomId) -> BoxFuture<'_, Result<Feed, LogError>>;

    /// Takes the steps in `ops`, all or none, in order, without anything in between. There is one
    /// [`Outcome`] for each. `seen` is the highest number that the caller knows of in this room.
    ///
    /// After [`LogError::Unavailable`] the outcome is unknown; the same call may be made again and has no
    /// second effect. After [`LogError::RolledBack`] nothing has happened: the log has lost what the caller
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

    /// Tells these once to whoever listens now; nothing is kept.
    fn tell<'a>(
        &'a self,
        room: &'a RoomId,
        volatiles: &'a [Volatile],
    ) -> BoxFuture<'a, Result<(), LogError>>;
}

/// The heartbeats of all nodes, kept beside the rooms.
pub trait Pulse: Send + Sync + 'static {
    /// Raises this node's counter if `beats`, and returns the counters of all nodes.
    fn feel<'a>(
        &'a self,
        node: &'a NodeId,
        beats: bool,
    ) -> BoxFuture<'a, Result<Vec<(NodeId, u64)>, LogError>>;

    /// Takes nodes off the list: one that ends, or those that ended long ago.
    fn forget<'a>(&'a self, nodes: &'a [NodeId]) -> BoxFuture<'a, Result<(), LogError>>;

    /// Counts how often the connection had to be made again.
    fn reconnects(&self) -> watch::Receiver<u64>;
}

/// How much of a room a log keeps, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// How old an entry may become.
    pub age: Duration,
    /// How many entries are kept.
    pub length: usize,
    /// How many bytes of entries are kept.
    pub bytes: usize,
    /// How long a room outlives its last sign of life: longer than any member may be away.
    pub room: Duration,
}

/// Why a log did not answer. The caller may repeat the call.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Redis is away, or too slow.
    #[error("the room log is not reachable: {0}")]
    Unavailable(String),
    /// The log ends before what the caller has seen of it: writes were lost.
    #[error("the room log has lost what came after {head}")]
    RolledBack {
        /// Where it ends.
        head: Seq,
    },
    /// Redis answered what our scripts never say.
    #[error("the room log answered out of turn: {0}")]
    Garbled(String),
}
