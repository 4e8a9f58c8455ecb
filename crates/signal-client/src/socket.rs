//! One socket: a task that owns it, a bounded queue to it, and what it hears in the driver's inbox.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::core::LinkId;
use crate::transport::{ABNORMAL, Socket, Unopened};

/// Frames that wait to be written: some windows of messages. A socket that holds up more is given up.
const OUTBOX: usize = 4_096;
/// Frames that are written at once.
const BATCH: usize = 64;
/// How long a node may take to answer a close frame.
const CLOSED_WITHIN: Duration = Duration::from_secs(4);

/// What a socket heard.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug)]
pub enum SocketEvent {
    Text(Utf8Bytes),
    /// A sign of life.
    Alive,
    /// The end, or that the socket could not be opened.
    Closed(Unopened),
}

/// Where sockets tell what they hear.
pub type Inbox = mpsc::Sender<(LinkId, SocketEvent)>;

/// A socket that is being opened or open; it ends with this value.
pub struct SocketTask {
    outbox: mpsc::Sender<Message>,
    task: Option<JoinHandle<()>>,
}

impl SocketTask {
    /// Waits for a socket to open, says `hello` if there is one, and then hears what comes.
    pub fn start(
        link: LinkId,
        opening: impl Future<Output = Result<Socket, Unopened>> + Send + 'static,
        hello: Option<String>,
        inbox: Inbox,
    ) -> Self {
        let (outbox, frames) = mpsc::channel(OUTBOX);
        let task = tokio::spawn(run(link, opening, hello, inbox, frames));
        Self { outbox, task: Some(task) }
    }

    /// Queues a frame; false if the socket takes no more.
    #[must_use]
    pub fn send(&self, text: String) -> bool {
        self.outbox.try_send(Message::text(text)).is_ok()
    }

    /// Has the socket closed once everything queued is written.
    pub fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        if self.outbox.try_send(Message::Close(Some(frame))).is_ok() {
            // From here on it ends by itself.
            self.task = None;
        }
    }
}

impl Drop for SocketTask {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn run(
    link: LinkId,
    opening: impl Future<Output = Result<Socket, Unopened>>,
    hello: Option<String>,
    inbox: Inbox,
    mut frames: mpsc::Receiver<Message>,
) {
    let opened = tokio::select! {
        opened = opening => opened,
        // Nothing is sent before the welcome, so that this is the close frame.
        _ = frames.recv() => return,
    };
    let closed = match opened {
        Ok(socket) => {
            let (sink, stream) = socket.split();
            tokio::select! {
                closed = read(link, stream, &inbox) => closed,
                () = write(sink, hello, frames) => ended(ABNORMAL, "the socket is broken"),
            }
        }
        Err(unopened) => unopened,
    };
    // A driver that has ended does not listen.
    let _ = inbox.send((link, SocketEvent::Closed(closed))).await;
}

fn ended(code: u16, message: &str) -> Unopened {
    Unopened { code, message: message.to_owned(), retry_after: None }
}

async fn read(link: LinkId, mut stream: SplitStream<Socket>, inbox: &Inbox) -> Unopened {
    loop {
        let heard = match stream.next().await {
            Some(Ok(Message::Text(text))) => SocketEvent::Text(text),
            Some(Ok(Message::Close(Some(frame)))) => {
                return ended(frame.code.into(), frame.reason.as_str());
            }
            Some(Ok(Message::Close(None))) => return ended(1005, "closed without a code"),
            Some(Ok(_)) => SocketEvent::Alive,
            Some(Err(error)) => return ended(ABNORMAL, &error.to_string()),
            None => return ended(ABNORMAL, "the connection was lost"),
        };
        // A driver that has ended does not listen; what it has queued is written all the same.
        let _ = inbox.send((link, heard)).await;
    }
}

/// Writes what is queued, whatever has collected at once.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    hello: Option<String>,
    mut frames: mpsc::Receiver<Message>,
) {
    if let Some(hello) = hello
        && sink.send(Message::text(hello)).await.is_err()
    {
        return;
    }
    let mut batch = Vec::new();
    while frames.recv_many(&mut batch, BATCH).await > 0 {
        for message in batch.drain(..) {
            if sink.feed(message).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
    // The socket was closed here: wait for the node to end it, but not for ever.
    let _ = timeout(CLOSED_WITHIN, std::future::pending::<()>()).await;
}
