//! A WebSocket over a stream in memory, as a session wants it.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use signal_node::session::{Incoming, Interrupted, Socket};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// The node's end of a WebSocket.
pub(super) struct NodeSocket(WebSocketStream<DuplexStream>);

impl NodeSocket {
    /// Takes over a stream on which the upgrade is done.
    pub(super) async fn new(stream: DuplexStream) -> Self {
        Self(WebSocketStream::from_raw_socket(stream, Role::Server, None).await)
    }
}

impl Socket for NodeSocket {
    type Text = Text;

    async fn recv(&mut self) -> Result<Incoming<Text>, Interrupted> {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Ok(Incoming::Text(Text(text))),
            Some(Ok(Message::Binary(_))) => Ok(Incoming::Binary),
            Some(Ok(Message::Close(frame))) => {
                Ok(Incoming::Closed(frame.map(|frame| frame.code.into())))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                Ok(Incoming::Control)
            }
            Some(Err(_)) | None => Err(Interrupted::Gone),
        }
    }

    async fn feed(&mut self, frame: Bytes) -> Result<(), Interrupted> {
        let text = Utf8Bytes::try_from(frame).map_err(|_| Interrupted::Gone)?;
        self.0.feed(Message::Text(text)).await.map_err(|_| Interrupted::Gone)
    }

    async fn ping(&mut self) -> Result<(), Interrupted> {
        self.0.feed(Message::Ping(Bytes::new())).await.map_err(|_| Interrupted::Gone)
    }

    async fn flush(&mut self) -> Result<(), Interrupted> {
        self.0.flush().await.map_err(|_| Interrupted::Gone)
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        // The connection ends here either way.
        let _ = self.0.send(Message::Close(Some(frame))).await;
    }
}

/// The text of a frame.
pub(super) struct Text(Utf8Bytes);

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.0.as_str()
    }
}
