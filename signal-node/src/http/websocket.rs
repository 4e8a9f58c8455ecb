//! axum's WebSocket as the session's socket, with the close codes that axum leaves unsaid.

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use bytes::Bytes;
use futures_util::SinkExt;
use tungstenite::Error;
use tungstenite::error::CapacityError;

use crate::session::{Incoming, Interrupted, Socket};

/// Bytes read at once. tungstenite allocates this for every connection, and by default 128 KiB.
const READ_BUFFER: usize = 4 * 1024;

/// Bytes collected before a write; a flush ends every turn, so this only joins what belongs together.
const WRITE_BUFFER: usize = 4 * 1024;

/// Sets the buffers and bounds of a connection.
pub(super) fn bounded(
    upgrade: WebSocketUpgrade,
    max_message: usize,
    outbox_bytes: usize,
) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(outbox_bytes.max(WRITE_BUFFER) + max_message)
        .max_message_size(max_message)
        .max_frame_size(max_message)
}

impl Socket for WebSocket {
    type Text = TextFrame;

    async fn recv(&mut self) -> Result<Incoming<TextFrame>, Interrupted> {
        match WebSocket::recv(self).await {
            Some(Ok(Message::Text(text))) => Ok(Incoming::Text(TextFrame(text))),
            Some(Ok(Message::Binary(_))) => Ok(Incoming::Binary),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Incoming::Control),
            Some(Ok(Message::Close(frame))) => Ok(Incoming::Closed(frame.map(|frame| frame.code))),
            Some(Err(error)) => Err(interrupted(error)),
            None => Err(Interrupted::Gone),
        }
    }

    async fn feed(&mut self, frame: Bytes) -> Result<(), Interrupted> {
        let text = Utf8Bytes::try_from(frame).map_err(|_| Interrupted::Gone)?;
        SinkExt::feed(self, Message::Text(text)).await.map_err(|_| Interrupted::Gone)
    }

    async fn ping(&mut self) -> Result<(), Interrupted> {
        SinkExt::feed(self, Message::Ping(Bytes::new())).await.map_err(|_| Interrupted::Gone)
    }

    async fn flush(&mut self) -> Result<(), Interrupted> {
        SinkExt::flush(self).await.map_err(|_| Interrupted::Gone)
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code, reason: reason.into() };
        // The connection ends here either way.
        let _ = self.send(Message::Close(Some(frame))).await;
    }
}

/// The text of a frame, still in the buffer it was read into.
pub struct TextFrame(Utf8Bytes);

impl AsRef<str> for TextFrame {
    fn as_ref(&self) -> &str {
        self.0.as_str()
    }
}

/// Finds the close code for what the WebSocket layer rejects (RFC 6455 §7.4.1).
fn interrupted(error: axum::Error) -> Interrupted {
    let inner = error.into_inner();
    let Some(error) = inner.downcast_ref::<Error>() else { return Interrupted::Gone };
    match error {
        Error::Utf8(_) => Interrupted::Broken(1007),
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Interrupted::Broken(1009),
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            Interrupted::Gone
        }
        Error::Protocol(_) => Interrupted::Broken(1002),
        _ => Interrupted::Gone,
    }
}
