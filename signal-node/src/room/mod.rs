//! The rooms that have members on this node: one worker each, which alone knows its order.
//!
//! A worker collects what its members say while a call to the log is in flight and sends it as the next one;
//! it hands every entry that comes back to the members it is for, encoded once. It waits for nobody: a member
//! that reads too slowly loses its socket, not the room its pace.

mod calls;
mod command;
mod fanout;
mod joining;
mod members;
mod mending;
mod outbox;
mod outcome;
mod registry;
mod replay;
mod requests;
mod telling;
mod timers;
mod track;
mod worker;

pub use command::{Command, JoinCommand, Kept, Reply};
pub use fanout::describe;
pub use outbox::{Delivery, Handed, Mark, Nudge, Nudges, Outbox, Overflow};
pub use registry::{Busy, Ground, RoomHandle, RoomSettings, Rooms};
