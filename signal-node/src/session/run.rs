//! The task of one connection: the only owner of its socket.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use service_kit::trace::{Kind, Parent, Span};
use signal_protocol::client::RequestId;
use signal_protocol::server::ErrorFrame;
use signal_protocol::{CloseCode, ErrorCode, IceServers, Mid, PeerId, RoomId, ServerMessage};
use tokio::time::Instant;
use tracing::info;

use super::context::{Context, Entrance};
use super::effect::{Effect, IcePurpose, VerifyPurpose};
use super::machine::Machine;
use super::seats::Handles;
use super::socket::{Incoming, Interrupted, Socket};
use super::write::Unwritten;
use crate::log::{Join, SocketId};
use crate::room::{Busy, Command, JoinCommand, Kept, Mark, Nudge, Nudges, Outbox, Reply, describe};

/// When what the credential service hands out changes, the sessions of a node ask within this, not all at
/// once.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// How a connection ended, for the log and the metrics.
pub(super) enum Ending {
    /// We closed it.
    Closed(u16, &'static str),
    /// The other side closed it, or it broke.
    Left(Option<u16>),
}

type IceAnswer = (IcePurpose, Option<Arc<IceServers>>);

pub(super) struct Session<'a, S> {
    pub(super) context: &'a Context,
    pub(super) socket: S,
    pub(super) machine: Machine,
    pub(super) outbox: Arc<Outbox>,
    pub(super) handles: Handles,
    /// When the sweeper will wake us.
    woken_at: Option<Instant>,
    /// Where the client is, as a proxy says.
    region: Option<Box<str>>,
    /// Where what it asks belongs, if it is traced.
    trace: Option<Box<Parent>>,
    /// Questions for ICE servers; most of the time there are none.
    ice: Option<FuturesUnordered<BoxFuture<'a, IceAnswer>>>,
}

/// Serves one connection until it ends. `region` is the region or country that a proxy says it comes from.
/// `trace` is where what it asks belongs, if it is traced.
pub fn run<S: Socket>(
    socket: S,
    entrance: Entrance,
    (region, trace): (Option<String>, Option<Box<Parent>>),
    context: &Context,
) -> impl Future<Output = ()> + Send {
    context.metrics.opened.inc();
    context.metrics.connections.inc();
    let mut session = Session::new(socket, &entrance, region, context);
    session.trace = trace;
    if let Entrance::TurnedAway(refused) = entrance {
        session.machine.turn_away(&refused);
    }
    // Not an `async fn`, which would hold what it is given beside the session for as long as that lives.
    live(session)
}

#[expect(clippy::manual_async_fn, reason = "an `async fn` would hold the session twice")]
fn live<S: Socket>(mut session: Session<'_, S>) -> impl Future<Output = ()> + Send {
    async move {
        let began = Instant::now();
        let ending = session.serve().await;
        // What is rare is boxed: it would make every idle session larger.
        Box::pin(session.detach()).await;
        let metrics = &session.context.metrics;
        metrics.connections.dec();
        let (code, initiator) = match ending {
            Ending::Closed(code, name) => (code.to_string(), name),
            Ending::Left(code) => {
                (code.map_or("none".to_owned(), |_| "client".to_owned()), "client")
            }
        };
        metrics.closed.with_label_values(&[&code]).inc();
        let seconds = began.elapsed().as_secs_f64();
        info!(socket.id = %session.machine.socket(), close.code = code, seconds, "connection ended: {initiator}");
    }
}

impl<'a, S: Socket> Session<'a, S> {
    fn new(socket: S, entrance: &Entrance, region: Option<String>, context: &'a Context) -> Self {
        let (identity, anonymous) = match entrance {
            Entrance::Known(identity) => (Some(identity.clone()), false),
            Entrance::Stranger { anonymous } => (None, *anonymous),
            Entrance::TurnedAway(_) => (None, false),
        };
        let settings = context.settings.clone();
        let outbox = Arc::new(Outbox::new(settings.outbox_bytes));
        let machine = Machine::new(settings, identity, anonymous, Instant::now());
        let (handles, region) = (Handles::default(), region.map(Into::into));
        Self {
            context,
            socket,
            machine,
            outbox,
            handles,
            woken_at: None,
            region,
            trace: None,
            ice: None,
        }
    }

    async fn serve(&mut self) -> Ending {
        self.wake_in_time();
        // What was told to all before the sweeper knew of us.
        if let Some(ending) = self.attend(Nudges::EARLIER).await {
            return ending;
        }
        loop {
            if let Some(code) = self.apply().await {
                return Box::pin(self.close(code)).await;
            }
            self.wake_in_time();
            tokio::select! {
                incoming = self.socket.recv() => match incoming {
                    Ok(Incoming::Text(text)) => {
                        self.context.metrics.received.inc();
                        self.machine.frame(text.as_ref(), Instant::now());
                    }
                    Ok(Incoming::Control) => self.machine.control(Instant::now()),
                    Ok(Incoming::Binary) => return Box::pin(self.close_raw(1003, "text frames only")).await,
                    Ok(Incoming::Closed(code)) => return Ending::Left(code),
                    Err(Interrupted::Broken(code)) => {
                        return Box::pin(self.close_raw(code, "WebSocket protocol error")).await;
                    }
                    Err(Interrupted::Gone) => return Ending::Left(None),
                },
                () = self.outbox.filled() => {
                    if let Some(ending) = self.attend(self.outbox.nudges()).await {
                        return ending;
                    }
                }
                Some((purpose, servers)) = answered(&mut self.ice) => {
                    self.machine.ice_answered(purpose, servers, Instant::now());
                }
            }
        }
    }

    /// Sees to it that the sweeper wakes us for what the machine has to do next.
    fn wake_in_time(&mut self) {
        let at = self.machine.next_tick();
        if self.woken_at.is_none_or(|woken_at| at < woken_at) {
            self.context.sweeper.wake_at(&self.outbox, at);
            self.woken_at = Some(at);
        }
    }

    /// Does what the session was woken for; returns the end, if it is one.
    async fn attend(&mut self, nudges: Nudges) -> Option<Ending> {
        if nudges.has(Nudge::Tick) {
            self.woken_at = None;
            self.machine.tick(Instant::now());
        }
        if nudges.has(Nudge::CutOff) {
            self.tell_cut_off();
        }
        if nudges.has(Nudge::HandOver) {
            self.hand_over();
        }
        if nudges.has(Nudge::IceNews) {
            self.ice_changed();
        }
        if nudges.has(Nudge::Stop) && self.context.notices.stop.is_cancelled() {
            return Some(Box::pin(self.close(CloseCode::Drain)).await);
        }
        match self.write().await {
            Ok(()) => None,
            Err(Unwritten::Slow(bound)) => {
                self.context.metrics.slow(bound);
                Some(Box::pin(self.close(CloseCode::SlowConsumer)).await)
            }
            Err(Unwritten::Gone) => Some(Ending::Left(None)),
        }
    }

    fn tell_cut_off(&mut self) {
        if *self.context.notices.cut_off.borrow() {
            self.machine.cut_off();
        }
    }

    /// Asks for other ICE servers in a moment, each session in its own.
    fn ice_changed(&mut self) {
        let Some(credentials) = &self.context.credentials else { return };
        let reason = credentials.latest_news();
        let [moment] = service_kit::random::bytes();
        let at = Instant::now() + ASK_WITHIN * u32::from(moment) / 256;
        self.machine.ice_changed(reason, at);
    }

    fn hand_over(&mut self) {
        let handover = self.context.notices.handover.borrow().clone();
        if let Some(handover) = handover {
            self.machine.hand_over(&handover.invitation(), Instant::now());
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
            Effect::Verify(token, purpose) => Box::pin(self.verify(&token, purpose)).await,
            Effect::FetchIce(purpose) => self.fetch_ice(purpose),
            Effect::Join(room, join, id, ice) => self.join(room, *join, id, ice),
            Effect::Keep(room, peer, mid, what) => self.keep(&room, peer, mid, self.traced(what)),
            Effect::Tell(room, volatile) => {
                // Volatile signals may be lost; a busy room is one way.
                let _ = self.ask(&room, Command::Tell(volatile));
            }
            Effect::Leave(room, peer, id) => {
                let (socket, reply) = (self.machine.socket(), self.reply(id));
                if let Some(handle) = self.handles.get(&room) {
                    Box::pin(handle.insist(Command::Leave { peer, socket, reply })).await;
                }
            }
            Effect::Kick(room, peer, ban, id) => self.kick(&room, peer, ban, id),
        }
    }

    async fn ping(&mut self) -> Result<(), Interrupted> {
        self.socket.ping().await?;
        self.socket.flush().await
    }

    /// Begins to trace a signal's way to the log, where its sender is traced.
    fn traced(&self, mut what: Kept) -> Kept {
        if let (Some(parent), Kept::Signal { data, span, .. }) = (&self.trace, &mut what) {
            let begun = Span::under(**parent, "publish room", Kind::Producer);
            describe(&begun, "publish", data.get().len());
            *span = Some(Box::new(begun));
        }
        what
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
        let (context, owner) = (self.context, self.machine.ice_owner(&purpose));
        let (region, trace) = (self.region.clone(), self.trace.clone());
        let asked: BoxFuture<'a, IceAnswer> = Box::pin(async move {
            let servers = match &context.credentials {
                Some(credentials) => credentials.fetch(&owner, region.as_deref(), trace).await,
                None => None,
            };
            (purpose, servers)
        });
        self.ice.get_or_insert_default().push(asked);
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
            self.reply(id).refuse(self.too_busy(), Some(Mark::Refused(room)));
        }
    }

    /// More is waiting for a room's worker than may.
    fn too_busy(&self) -> ErrorFrame<'static> {
        self.context.metrics.room_refusals.inc();
        self.context.metrics.refused(ErrorCode::Unavailable);
        ErrorFrame::new(ErrorCode::Unavailable, "the room is too busy")
    }

    fn keep(&self, room: &RoomId, peer: PeerId, mid: Mid, what: Kept) {
        let socket: SocketId = self.machine.socket();
        if self.ask(room, Command::Kept { peer, socket, mid, what }).is_err() {
            let error = ErrorFrame { mid: Some(mid), room: Some(room), ..self.too_busy() };
            self.outbox.hand(ServerMessage::Error(error).to_json());
        }
    }

    fn kick(&self, room: &RoomId, peer: PeerId, ban: Duration, id: Option<RequestId>) {
        let reply = self.reply(id);
        if self.ask(room, Command::Kick { peer, ban, reply: reply.clone() }).is_err() {
            reply.refuse(self.too_busy(), None);
        }
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

/// Waits for an answer about ICE servers; `None` where nothing was asked. Cancel-safe.
async fn answered(
    ice: &mut Option<FuturesUnordered<BoxFuture<'_, IceAnswer>>>,
) -> Option<IceAnswer> {
    let answer = ice.as_mut()?.next().await;
    if ice.as_ref().is_some_and(FuturesUnordered::is_empty) {
        *ice = None;
    }
    answer
}
