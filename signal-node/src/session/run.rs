//! The task of one connection: the only owner of its socket.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use service_kit::tokens::Verifier;
use signal_protocol::client::RequestId;
use signal_protocol::server::ErrorFrame;
use signal_protocol::{CloseCode, ErrorCode, IceServers, Mid, PeerId, RoomId, ServerMessage};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::effect::{Effect, IcePurpose, VerifyPurpose};
use super::identity::{Identity, Refused};
use super::machine::{Machine, SessionSettings};
use crate::credentials::Credentials;
use crate::log::{Join, SocketId};
use crate::metrics::Metrics;
use crate::room::{
    Busy, Command, Delivery, JoinCommand, Kept, Mark, Outbox, Overflow, Reply, RoomHandle, Rooms,
};

/// A socket that takes nothing for this long is a slow consumer's.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long the other side has to answer our close frame (RFC 6455 §7.1.1).
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Frames written before the socket is listened to again.
const FRAMES_PER_TURN: usize = 64;

/// What a socket brings.
#[derive(Debug)]
pub enum Incoming<T> {
    /// A text frame.
    Text(T),
    /// A binary frame, which `signal.v1` does not have.
    Binary,
    /// A ping or pong.
    Control,
    /// The other side closes, with this code if it gave one.
    Closed(Option<u16>),
}

/// Why a socket cannot be read or written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// It is gone.
    Gone,
    /// The other side broke RFC 6455; it is told by this close code (§7.4.1).
    Broken(u16),
}

/// A WebSocket, whatever it is made of. `recv` is cancel-safe.
pub trait Socket: Send {
    /// The text of a frame.
    type Text: AsRef<str> + Send;
    /// Waits for the next frame.
    fn recv(&mut self) -> impl Future<Output = Result<Incoming<Self::Text>, Interrupted>> + Send;
    /// Queues a text frame; [`Socket::flush`] writes it.
    fn feed(&mut self, frame: Bytes) -> impl Future<Output = Result<(), Interrupted>> + Send;
    /// Queues a ping.
    fn ping(&mut self) -> impl Future<Output = Result<(), Interrupted>> + Send;
    /// Writes what is queued.
    fn flush(&mut self) -> impl Future<Output = Result<(), Interrupted>> + Send;
    /// Writes a close frame.
    fn close(&mut self, code: u16, reason: &str) -> impl Future<Output = ()> + Send;
}

/// What every session of a node shares.
pub struct Context {
    /// What holds for every session.
    pub settings: Arc<SessionSettings>,
    /// The rooms of this node.
    pub rooms: Arc<Rooms>,
    /// Who verifies tokens.
    pub verifier: Arc<Verifier>,
    /// Where ICE servers come from.
    pub credentials: Option<Credentials>,
    /// What the node counts.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the node stops.
    pub stop: CancellationToken,
}

impl Context {
    /// Verifies a token.
    ///
    /// # Errors
    /// [`Refused`] says which close code and error code it is answered with.
    pub async fn verify(&self, token: &str) -> Result<Identity, Refused> {
        let claims = self.verifier.verify_fresh(token, service_kit::clock::unix_now()).await?;
        Identity::holder(claims, service_kit::clock::unix_now(), Instant::now())
    }
}

/// How a connection comes in.
#[derive(Debug)]
pub enum Entrance {
    /// It showed a valid token.
    Known(Identity),
    /// It has to say `hello`; whether that may be anonymous.
    Stranger {
        /// It may.
        anonymous: bool,
    },
    /// It showed a token that opens nothing; browsers learn that only behind the upgrade.
    TurnedAway(Refused),
}

/// How a connection ended, for the log and the metrics.
enum Ending {
    /// We closed it.
    Closed(u16, &'static str),
    /// The other side closed it, or it broke.
    Left(Option<u16>),
}

type IceAnswer = (IcePurpose, Option<Arc<IceServers>>);

struct Session<'a, S> {
    context: &'a Context,
    socket: S,
    machine: Machine,
    outbox: Arc<Outbox>,
    handles: HashMap<RoomId, RoomHandle>,
    ice: FuturesUnordered<BoxFuture<'a, IceAnswer>>,
}

/// Serves one connection until it ends.
pub async fn run<S: Socket>(socket: S, entrance: Entrance, context: &Context) {
    let metrics = &context.metrics;
    metrics.opened.inc();
    metrics.connections.inc();
    let began = Instant::now();
    let mut session = Session::new(socket, &entrance, context);
    if let Entrance::TurnedAway(refused) = &entrance {
        session.machine.turn_away(refused);
    }
    let ending = session.serve().await;
    session.detach().await;
    metrics.connections.dec();
    let (code, initiator) = match ending {
        Ending::Closed(code, name) => (code.to_string(), name),
        Ending::Left(code) => (code.map_or("none".to_owned(), |_| "client".to_owned()), "client"),
    };
    metrics.closed.with_label_values(&[&code]).inc();
    let seconds = began.elapsed().as_secs_f64();
    info!(socket.id = %session.machine.socket(), close.code = code, seconds, "connection ended: {initiator}");
}

impl<'a, S: Socket> Session<'a, S> {
    fn new(socket: S, entrance: &Entrance, context: &'a Context) -> Self {
        let (identity, anonymous) = match entrance {
            Entrance::Known(identity) => (Some(identity.clone()), false),
            Entrance::Stranger { anonymous } => (None, *anonymous),
            Entrance::TurnedAway(_) => (None, false),
        };
        let settings = context.settings.clone();
        let outbox = Arc::new(Outbox::new(settings.outbox_bytes));
        let machine = Machine::new(settings, identity, anonymous, Instant::now());
        let (handles, ice) = (HashMap::new(), FuturesUnordered::new());
        Self { context, socket, machine, outbox, handles, ice }
    }

    async fn serve(&mut self) -> Ending {
        loop {
            if let Some(code) = self.apply().await {
                return self.close(code).await;
            }
            let tick = self.machine.next_tick();
            tokio::select! {
                incoming = self.socket.recv() => match incoming {
                    Ok(Incoming::Text(text)) => {
                        self.context.metrics.received.inc();
                        self.machine.frame(text.as_ref(), Instant::now());
                    }
                    Ok(Incoming::Control) => self.machine.heard(Instant::now()),
                    Ok(Incoming::Binary) => return self.close_raw(1003, "text frames only").await,
                    Ok(Incoming::Closed(code)) => return Ending::Left(code),
                    Err(Interrupted::Broken(code)) => {
                        return self.close_raw(code, "WebSocket protocol error").await;
                    }
                    Err(Interrupted::Gone) => return Ending::Left(None),
                },
                () = self.outbox.filled() => match self.write().await {
                    Ok(()) => {}
                    Err(Unwritten::Slow) => return self.close(CloseCode::SlowConsumer).await,
                    Err(Unwritten::Gone) => return Ending::Left(None),
                },
                Some((purpose, servers)) = self.ice.next() => {
                    self.machine.ice_answered(purpose, servers, Instant::now());
                }
                () = tokio::time::sleep_until(tick) => self.machine.tick(Instant::now()),
                () = self.context.stop.cancelled() => return self.close(CloseCode::Drain).await,
            }
        }
    }

    /// Does what the machine says; returns the code if it says to close.
    async fn apply(&mut self) -> Option<CloseCode> {
        loop {
            let effects = self.machine.effects();
            if effects.is_empty() {
                return None;
            }
            for effect in effects {
                if let Effect::Close(code) = effect {
                    return Some(code);
                }
                self.effect(effect).await;
            }
        }
    }

    async fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send(frame) => {
                self.outbox.hand(frame);
            }
            Effect::Refuse(code, frame) => {
                self.context.metrics.refused(code);
                self.outbox.hand(frame);
            }
            // A socket that is gone is noticed where it is read.
            Effect::Ping => drop(self.ping().await),
            Effect::Close(_) => {}
            Effect::Verify(token, purpose) => self.verify(&token, purpose).await,
            Effect::FetchIce(purpose) => self.fetch_ice(purpose),
            Effect::Join(room, join, id, ice) => self.join(room, *join, id, ice),
            Effect::Keep(room, peer, mid, what) => self.keep(&room, peer, mid, what),
            Effect::Tell(room, volatile) => {
                // Volatile signals may be lost; a busy room is one way.
                let _ = self.ask(&room, Command::Tell(volatile));
            }
            Effect::Leave(room, peer, id) => {
                let (socket, reply) = (self.machine.socket(), self.reply(id));
                if let Some(handle) = self.handles.get(&room) {
                    handle.insist(Command::Leave { peer, socket, reply }).await;
                }
            }
            Effect::Kick(room, peer, ban, id) => self.kick(&room, peer, ban, id),
        }
    }

    async fn ping(&mut self) -> Result<(), Interrupted> {
        self.socket.ping().await?;
        self.socket.flush().await
    }

    fn reply(&self, id: Option<RequestId>) -> Reply {
        Reply { outbox: self.outbox.clone(), id }
    }

    fn ask(&self, room: &RoomId, command: Command) -> Result<(), Busy> {
        self.handles.get(room).ok_or(Busy)?.ask(command)
    }

    async fn verify(&mut self, token: &str, purpose: VerifyPurpose) {
        let verdict = self.context.verify(token).await;
        self.machine.verified(purpose, verdict);
    }

    fn fetch_ice(&mut self, purpose: IcePurpose) {
        let (context, subject) = (self.context, self.machine.ice_subject());
        self.ice.push(Box::pin(async move {
            let servers = match &context.credentials {
                Some(credentials) => credentials.fetch(&subject).await,
                None => None,
            };
            (purpose, servers)
        }));
    }

    fn join(
        &mut self,
        room: RoomId,
        join: Join,
        id: Option<RequestId>,
        ice: Option<Arc<IceServers>>,
    ) {
        let command = JoinCommand { join, ice, reply: self.reply(id) };
        if let Ok(handle) = self.context.rooms.enter(&room, Command::Join(Box::new(command))) {
            self.handles.insert(room, handle);
        } else {
            let error = ErrorFrame::new(ErrorCode::Unavailable, "the room is too busy");
            self.reply(id).refuse(error, Some(Mark::Refused(room)));
        }
    }

    fn keep(&self, room: &RoomId, peer: PeerId, mid: Mid, what: Kept) {
        let socket: SocketId = self.machine.socket();
        if self.ask(room, Command::Kept { peer, socket, mid, what }).is_err() {
            let error = ErrorFrame::new(ErrorCode::Unavailable, "the room is too busy");
            let error = ErrorFrame { mid: Some(mid), room: Some(room), ..error };
            self.outbox.hand(ServerMessage::Error(error).to_json());
        }
    }

    fn kick(&self, room: &RoomId, peer: PeerId, ban: Duration, id: Option<RequestId>) {
        let reply = self.reply(id);
        if self.ask(room, Command::Kick { peer, ban, reply: reply.clone() }).is_err() {
            reply.refuse(ErrorFrame::new(ErrorCode::Unavailable, "the room is too busy"), None);
        }
    }

    /// Writes some of what waits, then lets the socket be read again.
    async fn write(&mut self) -> Result<(), Unwritten> {
        let written = timeout(WRITE_PATIENCE, self.write_some()).await;
        let marks = written.map_err(|_| Unwritten::Slow)??;
        for mark in marks {
            self.machine.marked(&mark);
            if let Mark::Refused(room) | Mark::Left(room) | Mark::Ended(room, _) = mark {
                self.handles.remove(&room);
            }
        }
        Ok(())
    }

    async fn write_some(&mut self) -> Result<Vec<Mark>, Unwritten> {
        let mut marks = Vec::new();
        for _ in 0..FRAMES_PER_TURN {
            let Some(Delivery { frame, mark }) = self.outbox.take()? else { break };
            self.socket.feed(frame).await?;
            self.context.metrics.sent.inc();
            marks.extend(mark);
        }
        self.socket.flush().await?;
        Ok(marks)
    }

    async fn close(&mut self, code: CloseCode) -> Ending {
        if code != CloseCode::SlowConsumer {
            // What was said before the end is part of it, as far as the client still listens.
            while timeout(CLOSE_PATIENCE, self.write_some())
                .await
                .is_ok_and(|w| w.is_ok_and(|m| !m.is_empty()))
            {}
        }
        self.close_raw(code.number(), code.name()).await
    }

    /// Closes, and waits a moment for the answer, so that the code is not lost to a reset.
    async fn close_raw(&mut self, code: u16, reason: &'static str) -> Ending {
        let goodbye = async {
            self.socket.close(code, reason).await;
            while let Ok(incoming) = self.socket.recv().await {
                if matches!(incoming, Incoming::Closed(_)) {
                    break;
                }
            }
        };
        // A peer that does not answer is gone; nothing more is owed to it.
        let _ = timeout(CLOSE_PATIENCE, pin!(goodbye)).await;
        Ending::Closed(code, reason)
    }

    /// Tells the rooms that the socket is gone.
    async fn detach(&mut self) {
        self.outbox.close();
        let socket = self.machine.socket();
        for (room, peer) in self.machine.memberships() {
            if let Some(handle) = self.handles.get(room) {
                handle.insist(Command::Detach { peer: peer.clone(), socket }).await;
            }
        }
    }
}

/// Why frames could not be written.
enum Unwritten {
    /// The client does not read.
    Slow,
    /// It is gone.
    Gone,
}

impl From<Overflow> for Unwritten {
    fn from(Overflow: Overflow) -> Self {
        Self::Slow
    }
}

impl From<Interrupted> for Unwritten {
    fn from(_: Interrupted) -> Self {
        Self::Gone
    }
}
