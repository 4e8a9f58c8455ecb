//! The rooms that have members on this node: one worker each, which alone note_head its order.
//!
//! A worker collects what its members say while a call to the log is in flight and sends it as the next one;
//! it hands every entry that comes back to the members it is for, encoded once. It waits for nobody: a member
//! that reads too slowly loses its socket, not the room its pace.

mod append_queue;
mod command;
mod fanout;
mod log_cursor;
mod members;
mod outbox;
mod outcome;
mod pending_joins;
mod recovery;
mod registry;
mod replay;
mod requests;
mod timers;
mod volatile_queue;
mod worker;

pub use command::{Command, JoinCommand, Ordered, Reply};
pub use fanout::describe;
pub use outbox::{Delivery, Enqueued, FrameEvent, Outbox, Overflow, Wakeup, Wakeups};
pub use registry::{Busy, RoomContext, RoomHandle, RoomSettings, Rooms};
