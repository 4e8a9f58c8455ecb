//! A WebSocket over a stream in memory, as a session wants it.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use signal_node::session::{Incoming, Socket, SocketError};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Frames that are collected before a write is waited for.
const QUEUED: usize = 64;

/// The node's end of a WebSocket.
pub(super) struct NodeSocket {
    stream: WebSocketStream<DuplexStream>,
    queued: VecDeque<Message>,
}

impl NodeSocket {
    /// Takes over a stream on which the upgrade is done.
    pub(super) async fn new(stream: DuplexStream) -> Self {
        let stream = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        Self { stream, queued: VecDeque::new() }
    }
}

impl Socket for NodeSocket {
    type Text = Text;

    fn poll_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Incoming<Text>, SocketError>> {
        Poll::Ready(match ready!(self.stream.poll_next_unpin(context)) {
            Some(Ok(Message::Text(text))) => Ok(Incoming::Text(Text(text))),
            Some(Ok(Message::Binary(_))) => Ok(Incoming::Binary),
            Some(Ok(Message::Close(frame))) => {
                Ok(Incoming::Closed(frame.map(|frame| frame.code.into())))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                Ok(Incoming::Control)
            }
            Some(Err(_)) | None => Err(SocketError::Gone),
        })
    }

    fn queue(&mut self, frame: Bytes) {
        let text = Utf8Bytes::try_from(frame).expect("a node writes UTF-8");
        self.queued.push_back(Message::Text(text));
    }

    fn queue_ping(&mut self) {
        self.queued.push_back(Message::Ping(Bytes::new()));
    }

    fn is_full(&self) -> bool {
        self.queued.len() >= QUEUED
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        while !self.queued.is_empty() {
            if ready!(self.stream.poll_ready_unpin(context)).is_err() {
                return Poll::Ready(Err(SocketError::Gone));
            }
            let next = self.queued.pop_front().expect("it is not empty");
            if self.stream.start_send_unpin(next).is_err() {
                return Poll::Ready(Err(SocketError::Gone));
            }
        }
        self.stream.poll_flush_unpin(context).map_err(|_| SocketError::Gone)
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        // The connection ends here either way.
        let _ = self.stream.send(Message::Close(Some(frame))).await;
    }
}

/// The text of a frame.
pub(super) struct Text(Utf8Bytes);

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.0.as_str()
    }
}
