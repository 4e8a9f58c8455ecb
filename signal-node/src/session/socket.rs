//! What a session needs of a WebSocket, whatever it is made of.

use std::future::Future;

use bytes::Bytes;

/// What a socket brings.
#[derive(Debug)]
pub enum Incoming<T> {
    /// A text frame.
    Text(T),
    /// A binary frame, which `signal.v1` does not have.
    Binary,
    /// A ping or pong.
    Control,
    /// The other side closes, with this code if it gave one.
    Closed(Option<u16>),
}

/// Why a socket cannot be read or written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// It is gone.
    Gone,
    /// The other side broke RFC 6455; it is told by this close code (§7.4.1).
    Broken(u16),
}

/// A WebSocket, whatever it is made of. `recv` is cancel-safe.
pub trait Socket: Send {
    /// The text of a frame.
    type Text: AsRef<str> + Send;
    /// Waits for the next frame.
    fn recv(&mut self) -> impl Future<Output = Result<Incoming<Self::Text>, Interrupted>> + Send;
    /// Queues a text frame; [`Socket::flush`] writes it.
    fn feed(&mut self, frame: Bytes) -> impl Future<Output = Result<(), Interrupted>> + Send;
    /// Queues a ping.
    fn ping(&mut self) -> impl Future<Output = Result<(), Interrupted>> + Send;
    /// Writes what is queued.
    fn flush(&mut self) -> impl Future<Output = Result<(), Interrupted>> + Send;
    /// Writes a close frame.
    fn close(&mut self, code: u16, reason: &str) -> impl Future<Output = ()> + Send;
}
