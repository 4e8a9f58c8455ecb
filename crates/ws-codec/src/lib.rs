//! The server's side of the WebSocket protocol (RFC 6455), for connections that are idle nearly all the time.
//!
//! A connection that waits owns no buffer: what arrives is read through one buffer per thread, a message is one
//! allocation of its exact size, and what is written goes through buffers that a thread lends. Only a frame that
//! has come in part, or frames that the other side does not take, are kept with their connection.
//!
//! There are no extensions and no client's side. [`Decoder`] and [`Frame`] know nothing of sockets; [`WebSocket`]
//! drives them over any stream that a handshake has left behind.

mod decoder;
mod frame;
mod scratch;
mod stream;

pub use decoder::{Decoded, Decoder, Message};
pub use frame::{Closing, Frame, Violation};
pub use stream::{WebSocket, WebSocketError};
