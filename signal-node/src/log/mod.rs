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
use signal_protocol::{RoomId, Seq};

pub use call::{Claim, Join, JoinRefusal, Joined, Op, Outcome, RosterMember, SocketId};
pub use entry::{Batch, Entry, Payload, Volatile};
pub use feed::{Feed, FeedEvent, FeedSender, feed};

/// One ordered log per room, shared by all nodes of a cluster.
pub trait RoomLog: Send + Sync + 'static {
    /// Subscribes to a room; when this returns, every later entry reaches the [`Feed`] or is covered by a
    /// [`FeedEvent::Gap`]. Dropping the feed ends the subscription.
    fn open(&self, room: &RoomId) -> BoxFuture<'_, Result<Feed, LogError>>;

    /// Takes the steps in `ops`, all or none, in order, without anything in between. There is one
    /// [`Outcome`] for each.
    ///
    /// After an error the outcome is unknown; the same call may be made again and has no second effect.
    fn call<'a>(
        &'a self,
        room: &'a RoomId,
        ops: &'a [Op],
    ) -> BoxFuture<'a, Result<Vec<Outcome>, LogError>>;

    /// Reads the kept batches that end after `after`, oldest first.
    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: Seq,
    ) -> BoxFuture<'a, Result<Vec<Batch>, LogError>>;

    /// Tells something once to whoever listens now; nothing is kept.
    fn tell<'a>(
        &'a self,
        room: &'a RoomId,
        volatile: Volatile,
    ) -> BoxFuture<'a, Result<(), LogError>>;
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
    /// Redis answered what our scripts never say.
    #[error("the room log answered out of turn: {0}")]
    Garbled(String),
}
