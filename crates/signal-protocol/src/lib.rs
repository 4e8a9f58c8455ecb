//! The wire protocol `signal.v1`: what may be said, in types. No I/O, no clock, no async.
//!
//! `docs/PROTOCOL.md` is the same thing in prose. Every example there is a file in `wire/`, which the tests
//! of this crate and of the JavaScript client both read, so that neither side can drift alone.
//!
//! - [`ids`]: names that parse or do not exist
//! - [`client`]: what a client says
//! - [`server`]: what a node says
//! - [`calls`]: one user rings another one
//! - [`presence`]: whether users can be reached
//! - [`codes`]: why something was refused, and what to do next
//! - [`ice`]: the ICE servers a browser is handed
//! - [`subject`]: the holder of a token, and how its text travels
//! - [`report`]: what a client reports of a WebRTC connection
//! - [`limits`]: how large anything may be

pub mod calls;
pub mod client;
pub mod codes;
mod fields;
mod frame_fault;
pub mod ice;
mod id_error;
pub mod ids;
pub mod limits;
pub mod presence;
pub mod report;
mod room_tag;
pub mod server;
pub mod subject;

pub use calls::CallEnd;
pub use client::{ClientMessage, parse};
pub use codes::{CloseCode, ErrorCode};
pub use frame_fault::FrameFault;
pub use ice::{Enforcement, IceServer, IceServers};
pub use id_error::IdError;
pub use ids::{CallId, Mid, NodeId, PeerId, PeerKey, RoomId, Seq};
pub use presence::PresenceState;
pub use room_tag::RoomTag;
pub use server::{IceReason, LeaveReason, LeftReason, PeerView, Recovery, ServerMessage};
pub use subject::{Subject, decode, encode};

/// The WebSocket subprotocol of this version (RFC 6455 §1.9); the only one a node ever echoes.
pub const SUBPROTOCOL: &str = "signal.v1";
