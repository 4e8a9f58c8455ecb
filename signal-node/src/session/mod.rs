//! One connection: a pure machine that decides, and the task that does what it says.
//!
//! The machine ([`Machine`]) takes what was heard and the time, and returns effects: no socket, no clock, no
//! lock, so that every sentence of `docs/PROTOCOL.md` tests as a function. The task ([`run()`]) owns the socket.

mod context;
mod effect;
mod handover;
mod heartbeat;
mod ice;
mod identity;
mod machine;
mod pace;
mod perform;
mod requests;
mod run;
mod seats;
mod socket;
mod sweep;
mod write;

#[cfg(test)]
mod tests;

pub use context::{Context, Entrance, Notices};
pub use effect::{Effect, IcePurpose, VerifyPurpose};
pub use handover::{Handover, Invitation};
pub use ice::IceOwner;
pub use identity::{Identity, Refused, Rights};
pub use machine::{Machine, SessionSettings};
pub use run::{Source, run};
pub use socket::{Incoming, Interrupted, Socket};
pub use sweep::Sweeper;
