//! The rooms that have members on this node.
//!
//! Each has one task (`task.rs`), which owns the subscription and the calls to the log, around one [`Replica`],
//! which is pure: what it does follows from its inputs and the time. A replica collects what its members say while a
//! call to the log is in flight and sends it as the next one; it pushes every entry that comes back into the outbox of
//! each member it is for, encoded once. It waits for nobody: a member that reads too slowly loses its socket.
//!
//! Arrows: `registry → task → replica → {outcomes, entries} → {ringing, watching} → requests → local_room → {recovery, presence} →
//! pending_joins → {replay, append_queue, log_cursor} → fanout → members → outbox`, without a circle.

mod append_queue;
mod calls;
mod command;
mod context;
mod device;
mod effect;
mod entries;
mod fanout;
#[cfg(test)]
mod harness;
mod history;
#[cfg(test)]
mod join_tests;
mod local_room;
mod log_cursor;
#[cfg(test)]
mod loss_tests;
mod members;
mod outbox;
mod outcomes;
mod pending_joins;
mod posting;
mod presence;
#[cfg(test)]
mod presence_tests;
mod recovery;
mod registry;
mod replay;
mod replica;
mod replies;
mod requester;
mod requests;
mod ringing;
mod sender_counts;
mod task;
#[cfg(test)]
mod task_tests;
#[cfg(test)]
mod tests;
mod timed_log;
mod timers;
mod volatile_queue;
mod wakeups;
mod watchers;
mod watching;

pub use append_queue::AppendCall;
pub use command::{
    CallCommand, Command, JoinCommand, MessageId, Ordered, Reply, RingCommand, WatchCommand,
};
pub use context::{ClusterView, Environment, RoomContext, RoomSettings};
pub use device::DeviceStatus;
pub use effect::{Count, Effects};
pub use fanout::describe;
pub use outbox::{Delivery, Enqueued, FrameEvent, Outbox, Overflow};
pub use posting::PostRequest;
pub use registry::{Busy, RoomHandle, Rooms};
pub use replay::Replay;
pub use replica::{Input, Replica};
pub use timed_log::TimedLog;
pub use wakeups::{Wakeup, Wakeups};
