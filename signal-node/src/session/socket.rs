//! The WebSocket as a session uses it, over any transport.

use std::future::Future;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::identity::MovedSession;

#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug)]
pub enum Incoming<T> {
    Text(T),
    /// A binary frame; `signal.v1` has none, so the connection is closed 1003.
    Binary,
    /// A ping or pong.
    Control,
    /// The client closes, with this code if it sent one.
    Closed(Option<u16>),
    /// Another node takes the connection over: [`Socket::release`] gives it what it needs.
    Release,
}

/// Why a socket cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketError {
    /// The connection is broken or closed.
    Gone,
    /// The client broke RFC 6455; the connection is closed with this code (§7.4.1).
    Broken(u16),
}

/// A WebSocket over any transport. It is polled, since a future would take memory in every idle session.
pub trait Socket: Send {
    /// The text of a frame.
    type Text: AsRef<str> + Send;
    /// Polls for the next frame.
    fn poll_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Incoming<Self::Text>, SocketError>>;
    /// Queues a text frame; [`Socket::poll_flush`] writes it.
    fn queue(&mut self, frame: Bytes);
    /// Queues a ping.
    fn queue_ping(&mut self);
    /// Tells whether the write buffer is full: flush before queuing more.
    fn is_full(&self) -> bool;
    /// Writes what is queued; a later call continues where this one stopped.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>>;
    /// Gives the session to the node that has asked for it, which [`Incoming::Release`] has told; `None`: it cannot be moved.
    fn release(&mut self, _session: Option<MovedSession>) {}
    /// Sends a close frame.
    fn close(&mut self, code: u16, reason: &str) -> impl Future<Output = ()> + Send;
}
