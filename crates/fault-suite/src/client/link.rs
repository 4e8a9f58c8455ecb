//! One WebSocket: a task that owns it, a queue to it, and what it hears in the client's inbox.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use service_kit::clock;
use service_kit::tokens::{Claims, mint};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::frame::PING;
use crate::cluster::SECRET;

/// How long a socket may take until it is welcomed.
const WELCOME_WITHIN: Duration = Duration::from_secs(8);
/// How long an answer to `ping` may take.
const PONG_WITHIN: Duration = Duration::from_secs(4);
/// Frames that wait to be written: a window of signals sent twice, and pings.
const OUTBOX: usize = 1024;
/// A lost socket without a closing handshake.
const ABNORMAL: u16 = 1006;

/// A WebSocket to a node.
pub type Socket = WebSocketStream<TcpStream>;

/// What a link heard.
pub(super) enum Heard {
    Text(Utf8Bytes),
    Closed(u16),
}

/// What a client hears: on which link, and what.
pub(super) type Inbox = mpsc::Sender<(u64, Heard)>;

/// A socket being opened, or open.
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) door: usize,
    outbox: mpsc::Sender<Message>,
    task: Option<JoinHandle<()>>,
    ping: Option<Duration>,
    heard: Instant,
    asked: Option<Instant>,
}

impl Link {
    pub(super) fn open(
        number: u64,
        (door, address): (usize, SocketAddr),
        token: String,
        inbox: Inbox,
    ) -> Self {
        let (outbox, frames) = mpsc::channel(OUTBOX);
        let task = Some(tokio::spawn(live(number, address, token, inbox, frames)));
        Self { number, door, outbox, task, ping: None, heard: Instant::now(), asked: None }
    }

    /// Queues a frame; false if the socket takes no more.
    pub(super) fn send(&self, text: String) -> bool {
        self.outbox.try_send(Message::text(text)).is_ok()
    }

    /// Has the socket closed once everything queued is written.
    pub(super) fn close(mut self) {
        let _ = self.outbox.try_send(Message::Close(None));
        // From here on it ends by itself.
        self.task = None;
    }

    /// The socket was welcomed, and is asked for a sign of life after so much silence.
    pub(super) fn welcomed(&mut self, ping: Duration) {
        self.ping = Some(ping);
    }

    pub(super) fn is_welcome(&self) -> bool {
        self.ping.is_some()
    }

    /// Something arrived.
    pub(super) fn alive(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// When silence needs attention next.
    pub(super) fn watch_at(&self) -> Instant {
        let Some(ping) = self.ping else { return self.heard + WELCOME_WITHIN };
        self.asked.map_or(self.heard + ping, |asked| asked + PONG_WITHIN)
    }

    /// Breaks the silence if it is time; false if the socket is to be given up.
    pub(super) fn watch(&mut self, now: Instant) -> bool {
        if now < self.watch_at() {
            return true;
        }
        let silent = self.asked.is_some() || self.ping.is_none();
        self.asked = Some(now);
        !silent && self.send(PING.to_owned())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A token that opens every room to this subject for a day.
#[must_use]
pub fn token(subject: &str) -> String {
    let mut claims = Claims::new(subject, clock::unix_seconds() + 86_400);
    claims.rooms = vec!["*".to_owned()];
    mint(&claims, SECRET.as_bytes())
}

/// Opens a WebSocket to a node.
///
/// # Errors
/// When the node or something on the way refuses.
pub async fn dial(address: SocketAddr, token: &str) -> Result<Socket, Error> {
    let mut request = format!("ws://{address}/v1/ws").into_client_request()?;
    let offered = HeaderValue::from_str(&format!("signal.v1, bearer.{token}"))?;
    request.headers_mut().insert("sec-websocket-protocol", offered);
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(client_async(request, stream).await?.0)
}

async fn live(
    number: u64,
    address: SocketAddr,
    token: String,
    inbox: Inbox,
    frames: mpsc::Receiver<Message>,
) {
    let code = match dial(address, &token).await {
        Ok(socket) => {
            let (sink, stream) = socket.split();
            tokio::select! {
                code = read(number, stream, &inbox) => code,
                () = write(sink, frames) => ABNORMAL,
            }
        }
        Err(_) => ABNORMAL,
    };
    // A client that has ended does not listen.
    let _ = inbox.send((number, Heard::Closed(code))).await;
}

async fn read(number: u64, mut stream: SplitStream<Socket>, inbox: &Inbox) -> u16 {
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Text(text) => {
                if inbox.send((number, Heard::Text(text))).await.is_err() {
                    return ABNORMAL;
                }
            }
            Message::Close(Some(frame)) => return frame.code.into(),
            Message::Close(None) => return 1005,
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    ABNORMAL
}

/// Writes what is queued, whatever has collected at once.
async fn write(mut sink: SplitSink<Socket, Message>, mut frames: mpsc::Receiver<Message>) {
    let mut batch = Vec::new();
    while frames.recv_many(&mut batch, 64).await > 0 {
        for message in batch.drain(..) {
            if sink.feed(message).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
    // The link was closed here: wait for the node to end the socket, but not for ever.
    let _ = timeout(PONG_WITHIN, std::future::pending::<()>()).await;
}
