//! How text travels: in WebSocket frames, or with its length before it for the floor.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::problem::Problem;

/// Bytes read at once; by default it would be 128 KiB, for each of ten thousand clients.
const READ_BUFFER: usize = 4 * 1024;

pub(super) enum Wire {
    WebSocket(WebSocketStream<TcpStream>),
    Plain(Framed<TcpStream, LengthDelimitedCodec>),
}

impl Wire {
    /// Connects from one address to another, and upgrades to a WebSocket if there is a request for it.
    pub(super) async fn connect(
        upgrade: Option<Request>,
        to: SocketAddr,
        from: SocketAddr,
    ) -> Result<Self, Problem> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(from)?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        let Some(request) = upgrade else {
            return Ok(Self::Plain(Framed::new(stream, LengthDelimitedCodec::new())));
        };
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        Ok(Self::WebSocket(socket))
    }

    pub(super) async fn feed(&mut self, text: String) -> Result<(), Problem> {
        match self {
            Self::WebSocket(socket) => Ok(socket.feed(Message::text(text)).await?),
            Self::Plain(stream) => Ok(stream.feed(Bytes::from(text)).await?),
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), Problem> {
        match self {
            Self::WebSocket(socket) => Ok(socket.flush().await?),
            Self::Plain(stream) => Ok(SinkExt::<Bytes>::flush(stream).await?),
        }
    }

    /// Waits for the next text. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<String, Problem> {
        match self {
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                    Some(Ok(Message::Close(frame))) => {
                        let why = frame.map(|frame| frame.to_string()).unwrap_or_default();
                        return Err(Problem::Refused("a WebSocket", format!("close {why}")));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => return Err(Problem::Refused("a WebSocket", "nothing more".to_owned())),
                }
            },
            Self::Plain(stream) => match stream.next().await {
                Some(text) => Ok(String::from_utf8_lossy(&text?).into_owned()),
                None => Err(Problem::Refused("the floor", "nothing more".to_owned())),
            },
        }
    }
}
