//! The session's socket: our own codec on the stream that the handshake leaves behind.
//!
//! axum routes and checks the handshake, and hyper gives the connection up once it has answered. What it gives is
//! the bare TCP stream again wherever it was one, so that an idle session owns a socket and no buffers; any other
//! stream is driven by the same codec through hyper's wrapper.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::Either;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use signal_dialects::Dialect;
use signal_protocol::SUBPROTOCOL;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tracing::debug;
use tungstenite::handshake::derive_accept_key;
use ws_codec::{Frame, Message, WebSocket, WebSocketError};

use super::Public;
use super::connection_limiter::ConnectionPermit;
use crate::session::{Entrance, HandshakeInfo, Incoming, Socket, SocketError, run};

/// Answers an accepted handshake (RFC 6455 §4.2.2), with our subprotocol if the session speaks it.
pub(super) fn switching_protocols(headers: &HeaderMap, speaks_ours: bool) -> Response {
    let key = headers.get(SEC_WEBSOCKET_KEY).map_or(&b""[..], |key| key.as_bytes());
    let answer = [
        (CONNECTION, "upgrade".to_owned()),
        (UPGRADE, "websocket".to_owned()),
        (SEC_WEBSOCKET_ACCEPT, derive_accept_key(key)),
    ];
    // A client fails the connection when a subprotocol comes back that it has not offered (§4.1).
    let protocol = speaks_ours && headers.contains_key(SEC_WEBSOCKET_PROTOCOL);
    let protocol = protocol.then_some([(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)]);
    (StatusCode::SWITCHING_PROTOCOLS, answer, AppendHeaders(protocol.into_iter().flatten()))
        .into_response()
}

/// Serves the session once the connection has been given up by HTTP.
pub(super) async fn run_session(upgrade: OnUpgrade, pending: Box<PendingSession>) {
    // A client that went away before the answer has no session.
    let Ok(upgraded) = upgrade.await else { return };
    let PendingSession { entrance, source, dialect, public, permit } = unpack(pending);
    let (sessions, limit) = (&public.sessions, public.sessions.settings.max_message);
    // The future is chosen before it is awaited, so that the task holds the socket once.
    let session = match bare(upgraded, limit) {
        Ok(socket) => Either::Left(run(socket, entrance, (source, dialect), sessions)),
        Err(upgraded) => {
            debug!("a WebSocket over a stream that is no plain TCP");
            let socket = WebSocket::new(TokioIo::new(upgraded), &[], limit);
            Either::Right(Box::pin(run(socket, entrance, (source, dialect), sessions)))
        }
    };
    session.await;
    drop(permit);
}

/// Takes the [`PendingSession`] out of its box, which would otherwise live as long as the session.
#[expect(clippy::boxed_local, reason = "that is what it is for")]
fn unpack(pending: Box<PendingSession>) -> PendingSession {
    *pending
}

/// The result of a handshake, on its way to the session.
pub(super) struct PendingSession {
    pub(super) entrance: Entrance,
    pub(super) source: HandshakeInfo,
    /// The translator of a client that does not speak `signal.v1`.
    pub(super) dialect: Option<Box<dyn Dialect>>,
    pub(super) public: Arc<Public>,
    pub(super) permit: ConnectionPermit,
}

/// Takes the TCP stream out of what hyper gives; its own buffers end here.
pub(super) fn bare(upgraded: Upgraded, limit: usize) -> Result<WebSocket<TcpStream>, Upgraded> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>()?;
    Ok(WebSocket::new(parts.io.into_inner(), &parts.read_buf, limit))
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for WebSocket<S> {
    type Text = String;

    fn poll_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Incoming<String>, SocketError>> {
        Poll::Ready(match ready!(WebSocket::poll_recv(self, context)) {
            Ok(Message::Text(text)) => Ok(Incoming::Text(text)),
            Ok(Message::Binary(_)) => Ok(Incoming::Binary),
            Ok(Message::Ping(_) | Message::Pong) => Ok(Incoming::Control),
            Ok(Message::Close(closing)) => Ok(Incoming::Closed(closing.map(|c| c.code))),
            Err(ended) => Err(ended.into()),
        })
    }

    fn queue(&mut self, frame: Bytes) {
        WebSocket::queue(self, &Frame::Text(&frame));
    }

    fn queue_ping(&mut self) {
        WebSocket::queue(self, &Frame::Ping(&[]));
    }

    fn is_full(&self) -> bool {
        WebSocket::is_full(self)
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        WebSocket::poll_flush(self, context).map_err(SocketError::from)
    }

    async fn close(&mut self, code: u16, reason: &str) {
        // The connection ends here either way.
        let _ = WebSocket::close(self, code, reason).await;
    }
}

impl From<WebSocketError> for SocketError {
    fn from(ended: WebSocketError) -> Self {
        match ended {
            WebSocketError::Disconnected => Self::Gone,
            WebSocketError::Violated(violation) => Self::Broken(violation.code()),
        }
    }
}
