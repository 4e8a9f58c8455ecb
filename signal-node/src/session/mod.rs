//! One connection: a pure machine that decides, and the task that does what it says.
//!
//! The machine ([`Machine`]) takes what was heard and the time, and returns effects: no socket, no clock, no
//! lock, so that every sentence of `docs/PROTOCOL.md` tests as a function. The task ([`run()`]) owns the socket.

mod calls;
mod context;
mod dialect;
mod dialect_joins;
mod dialect_session;
mod effect;
mod handover;
mod heartbeat;
mod ice;
mod identity;
mod inbox;
mod machine;
mod memberships;
mod message_rate;
mod moved;
mod node_events;
mod outgoing_calls;
mod perform;
mod presence;
mod report;
mod requests;
mod run;
mod session_timers;
mod settings;
mod socket;
mod socket_log;
mod startup_token;
mod traffic;
mod watches;
mod write;

#[cfg(test)]
mod tests;

pub use context::Context;
pub(crate) use dialect_joins::random_key;
pub use effect::{CallJoin, DeviceJoin, Effect, IcePurpose, OutgoingCall, VerifyPurpose};
pub use handover::{Handover, Invitation};
pub use identity::{Entrance, Identity, MovedIdentity, MovedSession, Rights, SessionRejection};
pub use machine::Machine;
pub use node_events::NodeEvents;
pub use run::{HandshakeInfo, run};
pub use session_timers::SessionTimers;
pub use settings::SessionSettings;
pub use socket::{Incoming, Socket, SocketError};
pub use startup_token::StartupToken;
