//! What a session needs of a WebSocket, whatever it is made of.

use std::future::Future;
use std::task::{Context, Poll};

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
pub enum SocketError {
    /// It is gone.
    Gone,
    /// The other side broke RFC 6455; it is told by this close code (§7.4.1).
    Broken(u16),
}

/// A WebSocket, whatever it is made of. It is polled, since a future would take room in every idle session.
pub trait Socket: Send {
    /// The text of a frame.
    type Text: AsRef<str> + Send;
    /// Waits for the next frame.
    fn poll_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Incoming<Self::Text>, SocketError>>;
    /// Queues a text frame; [`Socket::poll_flush`] writes it.
    fn queue(&mut self, frame: Bytes);
    /// Queues a ping.
    fn queue_ping(&mut self);
    /// Tells whether so much is queued that it should be written before there is more.
    fn is_full(&self) -> bool;
    /// Writes what is queued; the next call goes on where it was.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>>;
    /// Writes a close frame.
    fn close(&mut self, code: u16, reason: &str) -> impl Future<Output = ()> + Send;
}
