//! The WebSocket that carries an Engine.IO session.

use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use ws_codec::WebSocket;

use super::super::super::websocket::bare;
use crate::session::{Incoming, Socket, SocketError};

/// A WebSocket, over the bare TCP stream wherever the connection is one.
pub(super) enum Carrier {
    Tcp(WebSocket<TcpStream>),
    Other(Box<WebSocket<TokioIo<Upgraded>>>),
}

impl Carrier {
    /// Takes the connection over once HTTP has given it up; `None`: the client is gone.
    pub(super) async fn take(upgrade: OnUpgrade, limit: usize) -> Option<Self> {
        let upgraded = upgrade.await.ok()?;
        Some(match bare(upgraded, limit) {
            Ok(socket) => Self::Tcp(socket),
            Err(upgraded) => {
                let socket = WebSocket::new(TokioIo::new(upgraded), &[], limit);
                Self::Other(Box::new(socket))
            }
        })
    }

    pub(super) fn poll_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Incoming<String>, SocketError>> {
        match self {
            Self::Tcp(socket) => Socket::poll_recv(socket, context),
            Self::Other(socket) => Socket::poll_recv(&mut **socket, context),
        }
    }

    pub(super) fn queue(&mut self, text: String) {
        let frame = Bytes::from(text);
        match self {
            Self::Tcp(socket) => Socket::queue(socket, frame),
            Self::Other(socket) => Socket::queue(&mut **socket, frame),
        }
    }

    pub(super) fn queue_ping(&mut self) {
        match self {
            Self::Tcp(socket) => Socket::queue_ping(socket),
            Self::Other(socket) => Socket::queue_ping(&mut **socket),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Tcp(socket) => Socket::is_full(socket),
            Self::Other(socket) => Socket::is_full(&**socket),
        }
    }

    pub(super) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SocketError>> {
        match self {
            Self::Tcp(socket) => Socket::poll_flush(socket, context),
            Self::Other(socket) => Socket::poll_flush(&mut **socket, context),
        }
    }

    pub(super) async fn close(&mut self, code: u16, reason: &str) {
        match self {
            Self::Tcp(socket) => Socket::close(socket, code, reason).await,
            Self::Other(socket) => Socket::close(&mut **socket, code, reason).await,
        }
    }
}
