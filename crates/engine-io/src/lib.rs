//! Engine.IO, revisions 3 and 4, without binary data: packets over HTTP polling and over WebSocket, without I/O, clock or async.
//!
//! Sources: the protocol descriptions of `socketio/engine.io-protocol` (revisions 3 and 4), and what the servers of
//! `socketio/engine.io` do where those say nothing.
//!
//! - [`packet`]: one packet as text
//! - [`payload`]: several packets in the body of a request or an answer
//! - [`request`]: the query of a request, the first packet of a session, and the errors of requests
//! - [`session`]: a session as a state machine: which transport carries it, what waits, and how it moves to a WebSocket

pub mod packet;
pub mod payload;
pub mod request;
pub mod session;

pub use packet::Packet;
pub use payload::PayloadError;
pub use request::{Open, Query, RequestError, Revision, Transport};
pub use session::{Effect, Effects, End, Session};
