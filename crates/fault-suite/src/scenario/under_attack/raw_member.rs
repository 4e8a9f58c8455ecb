//! A client frame by frame, which keeps only the rules that its caller keeps.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use signal_protocol::PeerKey;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::client::{Context, Socket, dial_from};
use crate::history::Peer;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request to join or to leave; there is one at a time.
const REQUEST: u64 = 1;

/// One socket, and the member that it was last.
pub(crate) struct RawMember {
    context: Arc<Context>,
    socket: Socket,
    room: String,
    client: u32,
    lives: u32,
    /// The key of the member, and how often it was used.
    key: (String, u64),
}

impl RawMember {
    /// Connects from one address of this machine to a node. `client` is a number that no other client has.
    pub(crate) async fn connect(
        context: &Arc<Context>,
        (from, node): (Ipv4Addr, SocketAddr),
        token: &str,
        (room, client): (u32, u32),
    ) -> Option<Self> {
        let dialing = timeout(PATIENCE, dial_from(from, node, token));
        let socket = dialing.await.ok()?.ok()?;
        let (context, room) = (Arc::clone(context), format!("r{room}"));
        Some(Self { context, socket, room, client, lives: 0, key: (String::new(), 0) })
    }

    /// Goes on with another room; the one before is not left.
    pub(crate) fn turn_to(&mut self, room: String) {
        self.room = room;
    }

    /// Returns the key of the member, and how often it was used.
    pub(crate) fn key(&self) -> (String, u64) {
        self.key.clone()
    }

    /// Joins as a new member; returns what the node answers.
    pub(crate) async fn join(&mut self, meta: Option<&Value>) -> Option<Value> {
        let key = service_kit::random::token();
        let parsed: PeerKey = key.parse().expect("a drawn token has the form of a key");
        let peer = Peer { client: self.client, life: self.lives };
        self.lives += 1;
        self.context.directory.insert(parsed.peer().as_str().to_owned(), peer);
        self.join_with((key, 0), meta).await
    }

    /// Joins with a key that was used so often.
    pub(crate) async fn join_with(
        &mut self,
        (key, used): (String, u64),
        meta: Option<&Value>,
    ) -> Option<Value> {
        self.key = (key.clone(), used + 1);
        let mut join =
            json!({"type": "join", "id": REQUEST, "room": self.room, "key": key, "try": used + 1});
        if let Some(meta) = meta {
            join["meta"] = meta.clone();
        }
        self.request(join).await
    }

    pub(crate) async fn leave(&mut self) -> Option<Value> {
        self.request(json!({"type": "leave", "id": REQUEST, "room": self.room})).await
    }

    /// Removes a member, and bans it for so many seconds.
    pub(crate) async fn kick(&mut self, peer: &str, ban: u64) -> Option<Value> {
        let kick =
            json!({"type": "kick", "id": REQUEST, "room": self.room, "peer": peer, "ban": ban});
        self.request(kick).await
    }

    async fn request(&mut self, request: Value) -> Option<Value> {
        self.send(Message::text(request.to_string())).await?;
        loop {
            let frame = self.next().await?;
            if frame["id"] == REQUEST {
                return Some(frame);
            }
        }
    }

    /// Says so many bytes to one member, as an offer of a call that no signal before belonged to.
    pub(crate) async fn signal(&mut self, mid: u64, to: &str, filler: &str) -> Option<()> {
        let description = json!({"type": "offer", "sdp": filler});
        let session = format!("s{mid}");
        let data = json!({"signal-cluster:rtc": 1, "session": session, "description": description});
        let signal =
            json!({"type": "signal", "mid": mid, "room": self.room, "to": to, "data": data});
        self.send(Message::text(signal.to_string())).await
    }

    pub(crate) async fn send(&mut self, message: Message) -> Option<()> {
        timeout(PATIENCE, self.socket.send(message)).await.ok()?.ok()
    }

    /// Writes bytes that may be no frame.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        use tokio::io::AsyncWriteExt as _;
        self.socket.get_mut().write_all(bytes).await.ok()
    }

    /// Returns the next frame; `None` once the socket has ended, or says nothing for long.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Message::Text(text) = timeout(PATIENCE, self.socket.next()).await.ok()??.ok()? {
                return serde_json::from_str(&text).ok();
            }
        }
    }

    /// Reads until the socket has ended.
    pub(crate) async fn ended(mut self) {
        while self.next().await.is_some() {}
    }
}
