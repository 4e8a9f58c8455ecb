//! The client as a pure state machine: what happened and the time go in, effects come out. No socket, no task, no clock.
//!
//! [`Machine::on`] takes an [`Input`] and the time; [`Machine::next_effect`] returns what is to be done, in order. The
//! crate's own driver does it with tokio and tungstenite; a simulation does it with a clock of its own.
//!
//! `outgoing` is a member's stream of messages, `membership` one room of the client, `connection` the policy of its
//! sockets, `machine` puts them together.

mod backoff;
mod connection;
mod context;
mod effect;
mod event;
mod frame;
mod link;
mod links;
mod log_position;
mod machine;
mod membership;
mod outgoing;
mod roster;

#[cfg(test)]
mod tests;
mod token;

pub use effect::{Effect, Input, LinkId, Loss, MemberId, MoveReason, State, Ticket};
pub use event::{LeftBecause, Me, Member, Payload, Refusal, RoomEvent, SendError, Sender, Stop};
pub use frame::{Welcome, hello};
pub use machine::Machine;
pub use membership::KeySource;
pub use roster::Roster;
pub use token::{Token, TokenSource};
