//! The task of one connection: the only owner of its socket.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use service_kit::trace::Parent;
use signal_protocol::{CloseCode, IceServers};
use tokio::time::Instant;
use tracing::info;

use super::context::{Context, Entrance};
use super::effect::IcePurpose;
use super::machine::Machine;
use super::memberships::Handles;
use super::socket::{Incoming, Socket, SocketError};
use crate::pending_futures::PendingFutures;
use crate::room::{Command, Outbox, Wakeup, Wakeups};

/// When what the credential service hands out changes, the sessions of a node ask within this, not all at
/// once.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// How much of what was wrong goes into the log line of a connection's end, in characters. A claim of a token may be
/// as long as its author likes.
const DETAIL_SHOWN: usize = 200;

/// How a connection ended, for the log and the metrics.
pub(super) enum Ending {
    /// We closed it: code, name, and what was wrong if that was said in an `error` frame.
    Closed(u16, &'static str, Option<Box<str>>),
    /// The other side closed it, or it broke.
    Left(Option<u16>),
}

/// Why a session ends.
pub(super) enum Reason {
    /// It is closed with one of our codes; with what was wrong if that was said in an `error` frame.
    Code(CloseCode, Option<Box<str>>),
    /// It is closed with a code of RFC 6455 (section 7.4.1).
    Fault(u16, &'static str),
    /// The other side closed it, with this code if it gave one, or it broke.
    Left(Option<u16>),
}

/// What a session waits for.
enum Event<T> {
    Incoming(Result<Incoming<T>, SocketError>),
    News,
    Ice(IcePurpose, Option<Arc<IceServers>>),
}

type IceAnswer = (IcePurpose, Option<Arc<IceServers>>);

pub(super) struct Session<'a, S> {
    pub(super) context: &'a Context,
    pub(super) socket: S,
    pub(super) machine: Machine,
    pub(super) outbox: Arc<Outbox>,
    pub(super) handles: Handles,
    /// When the timers will wake us.
    woken_at: Option<Instant>,
    /// What the handshake told besides who it is; most of the time nothing.
    pub(super) source: Option<Box<HandshakeInfo>>,
    /// Questions for ICE servers; most of the time there are none.
    pub(super) ice: PendingFutures<'a, IceAnswer>,
}

/// What a handshake tells besides who it is.
#[derive(Clone, Debug, Default)]
pub struct HandshakeInfo {
    /// The region or country that a proxy says it comes from.
    pub region: Option<String>,
    /// Where what it asks belongs, if it is traced.
    pub trace: Option<Box<Parent>>,
}

/// Serves one connection until it ends.
pub fn run<S: Socket>(
    socket: S,
    entrance: Entrance,
    source: HandshakeInfo,
    context: &Context,
) -> impl Future<Output = ()> + Send {
    context.metrics.opened.inc();
    context.metrics.connections.inc();
    let mut session = Session::new(socket, &entrance, source, context);
    if let Entrance::Rejected(refused) = entrance {
        session.machine.turn_away(refused);
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
        Box::pin(session.conclude(ending, began)).await;
    }
}

impl<'a, S: Socket> Session<'a, S> {
    fn new(socket: S, entrance: &Entrance, source: HandshakeInfo, context: &'a Context) -> Self {
        let (identity, anonymous) = match entrance {
            Entrance::Authenticated(identity) => (Some(identity.clone()), false),
            Entrance::AwaitingHello { anonymous } => (None, *anonymous),
            Entrance::Rejected(_) => (None, false),
        };
        let settings = context.settings.clone();
        let outbox = Arc::new(Outbox::new(settings.outbox_bytes));
        let machine = Machine::new(settings, identity, anonymous, Instant::now());
        let handles = Handles::default();
        let is_told = source.region.is_some() || source.trace.is_some();
        Self {
            context,
            socket,
            machine,
            outbox,
            handles,
            woken_at: None,
            source: is_told.then(|| Box::new(source)),
            ice: PendingFutures::default(),
        }
    }

    async fn serve(&mut self) -> Ending {
        let Err(reason) = self.work().await;
        // What is rare is boxed: it would make every idle session larger.
        Box::pin(self.end(reason)).await
    }

    /// Works until there is a reason to end.
    async fn work(&mut self) -> Result<Infallible, Reason> {
        self.wake_in_time();
        // What was told to all before the timers knew of us.
        self.on_wakeups(Wakeups::EARLIER)?;
        self.write().await?;
        loop {
            self.apply().await?;
            self.wake_in_time();
            let event = self.event().await;
            let is_news = self.meet(event)?;
            if is_news {
                self.write().await?;
            }
        }
    }

    /// Waits until something happens; each of the three gets its turn. Cancel-safe.
    async fn event(&mut self) -> Event<S::Text> {
        tokio::select! {
            incoming = poll_fn(|context| self.socket.poll_recv(context)) => Event::Incoming(incoming),
            () = self.outbox.filled() => Event::News,
            (purpose, servers) = poll_fn(|context| self.ice.poll_next(context)) => Event::Ice(purpose, servers),
        }
    }

    /// Takes in what has happened; tells whether there may be something to write.
    fn meet(&mut self, event: Event<S::Text>) -> Result<bool, Reason> {
        match event {
            Event::Incoming(incoming) => self.heard(incoming)?,
            Event::News => {
                self.on_wakeups(self.outbox.take_wakeups())?;
                return Ok(true);
            }
            Event::Ice(purpose, servers) => {
                self.machine.ice_answered(purpose, servers, Instant::now());
            }
        }
        Ok(false)
    }

    fn heard(&mut self, incoming: Result<Incoming<S::Text>, SocketError>) -> Result<(), Reason> {
        match incoming {
            Ok(Incoming::Text(text)) => {
                self.context.metrics.received.inc();
                self.machine.frame(text.as_ref(), Instant::now());
            }
            Ok(Incoming::Control) => self.machine.control(Instant::now()),
            Ok(Incoming::Binary) => return Err(Reason::Fault(1003, "text frames only")),
            Ok(Incoming::Closed(code)) => return Err(Reason::Left(code)),
            Err(SocketError::Broken(code)) => {
                return Err(Reason::Fault(code, "WebSocket protocol error"));
            }
            Err(SocketError::Gone) => return Err(Reason::Left(None)),
        }
        Ok(())
    }

    async fn end(&mut self, reason: Reason) -> Ending {
        match reason {
            Reason::Code(code, detail) => self.close(code, detail).await,
            Reason::Fault(code, text) => self.close_raw(code, text, None).await,
            Reason::Left(code) => Ending::Left(code),
        }
    }

    /// Sees to it that the timers wakes us for what the machine has to do next.
    fn wake_in_time(&mut self) {
        let at = self.machine.next_tick();
        if self.woken_at.is_none_or(|woken_at| at < woken_at) {
            self.context.timers.wake_at(&self.outbox, at);
            self.woken_at = Some(at);
        }
    }

    /// Does what the session was woken for.
    fn on_wakeups(&mut self, wakeups: Wakeups) -> Result<(), Reason> {
        if wakeups.has(Wakeup::Tick) {
            self.woken_at = None;
            self.machine.tick(Instant::now());
        }
        if wakeups.has(Wakeup::CutOff) {
            self.tell_cut_off();
        }
        if wakeups.has(Wakeup::HandOver) {
            self.hand_over();
        }
        if wakeups.has(Wakeup::IceNews) {
            self.ice_changed();
        }
        if wakeups.has(Wakeup::Revoked) {
            self.look_for_revocation();
        }
        if wakeups.has(Wakeup::Stop) && self.context.events.stop.is_cancelled() {
            return Err(Reason::Code(CloseCode::Drain, None));
        }
        Ok(())
    }

    fn look_for_revocation(&mut self) {
        let holder = self.machine.identity();
        if let Some(Err(refused)) = holder.map(|holder| self.context.still_valid(holder)) {
            self.machine.turn_away(refused);
        }
    }

    fn tell_cut_off(&mut self) {
        if *self.context.events.cut_off.borrow() {
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
        let handover = self.context.events.handover.borrow().clone();
        if let Some(handover) = handover {
            self.machine.hand_over(&handover.invitation(), Instant::now());
        }
    }

    /// Tells the rooms, the metrics and the log how it ended.
    async fn conclude(&mut self, ending: Ending, began: Instant) {
        self.detach().await;
        let metrics = &self.context.metrics;
        metrics.connections.dec();
        let (code, cause) = match ending {
            Ending::Closed(code, name, None) => (code.to_string(), name.to_owned()),
            Ending::Closed(code, name, Some(detail)) => {
                let detail: String = detail.chars().take(DETAIL_SHOWN).collect();
                (code.to_string(), format!("{name}: {detail}"))
            }
            Ending::Left(code) => {
                (code.map_or("none", |_| "client").to_owned(), "client".to_owned())
            }
        };
        metrics.closed.with_label_values(&[&code]).inc();
        let seconds = began.elapsed().as_secs_f64();
        info!(socket.id = %self.machine.socket(), close.code = code, seconds, "connection ended: {cause}");
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
