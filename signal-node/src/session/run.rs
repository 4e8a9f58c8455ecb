//! The task of one connection. It alone reads and writes the socket.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use service_kit::trace::Parent;
use signal_dialects::{ConnectionEnd, Dialect, MembershipEnd};
use signal_protocol::{CloseCode, IceServers};
use tokio::time::Instant;

use super::context::Context;
use super::dialect_session::{DialectAnswer, DialectSession, leave_of, poll_answers};
use super::effect::IcePurpose;
use super::identity::Entrance;
use super::machine::Machine;
use super::memberships::Handles;
use super::outgoing_calls::OutgoingCalls;
use super::socket::{Incoming, Socket, SocketError};
use super::traffic::Traffic;
use super::watches::Watches;
use crate::metrics::GaugeShare;
use crate::pending_futures::PendingFutures;
use crate::room::{Command, Outbox, Wakeup, Wakeups};
use crate::token_bucket::TokenBucket;

/// After a change at the credential service, sessions ask for ICE servers spread over this time.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// How much of what was wrong goes into the log line of a connection's end, in characters. A claim of a token may be
/// as long as its author likes.
const DETAIL_SHOWN: usize = 200;

/// Why a session ends.
pub(super) enum CloseCause {
    /// The node closes with one of our codes; the text is what an `error` frame said was wrong.
    Node(CloseCode, Option<Box<str>>),
    /// The node closes with a code of RFC 6455 (§7.4.1).
    WebSocket(u16, &'static str),
    /// The client closed, with this code if it sent one, or the connection broke.
    Client(Option<u16>),
    /// Another node has taken the connection over.
    Moved,
}

impl CloseCause {
    /// Returns the label of `signal_connections_closed_total`.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Node(code, _) => code.number().to_string(),
            Self::WebSocket(code, _) => code.to_string(),
            Self::Client(Some(_)) => "client".to_owned(),
            Self::Moved => "moved".to_owned(),
            Self::Client(None) => "none".to_owned(),
        }
    }

    /// Tells whether a page was closed or left.
    fn is_going_away(&self) -> bool {
        matches!(self, Self::Client(Some(1001)))
    }

    /// Tells a dialect how the connection ended. RFC 6455 §7.4.1: 1000 and 1001 are sent by a client that closes, and 1005 stands
    /// for a close without a code.
    fn connection_end(&self) -> ConnectionEnd {
        match self {
            Self::Client(Some(1000 | 1001 | 1005)) => ConnectionEnd::Goodbye,
            Self::Moved => ConnectionEnd::Moved,
            Self::Client(_) | Self::Node(..) | Self::WebSocket(..) => ConnectionEnd::Lost,
        }
    }

    /// Describes the cause for the log.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Node(code, None) => code.name().to_owned(),
            Self::Node(code, Some(detail)) => {
                let detail: String = detail.chars().take(DETAIL_SHOWN).collect();
                format!("{}: {detail}", code.name())
            }
            Self::WebSocket(_, text) => (*text).to_owned(),
            Self::Client(_) => "client".to_owned(),
            Self::Moved => "moved".to_owned(),
        }
    }
}

/// An event that a session waits for.
enum Event<T> {
    Incoming(Result<Incoming<T>, SocketError>),
    News,
    Ice(IcePurpose, Option<Arc<IceServers>>),
    Answered(DialectAnswer),
}

type IceAnswer = (IcePurpose, Option<Arc<IceServers>>);

pub(super) struct Session<'a, S> {
    pub(super) context: &'a Context,
    pub(super) socket: S,
    pub(super) machine: Machine,
    pub(super) outbox: Arc<Outbox>,
    pub(super) handles: Handles,
    /// Present only if the client watches users.
    pub(super) watches: Option<Box<Watches>>,
    /// Present only if the client has called users.
    pub(super) calls: Option<Box<OutgoingCalls>>,
    /// Whether this connection counts as a device that is online.
    pub(super) device: GaugeShare,
    /// The deadline registered with the session timers.
    woken_at: Option<Instant>,
    /// Present only if the handshake named a region or a trace.
    pub(super) source: Option<Box<HandshakeInfo>>,
    /// The address of the client.
    pub(super) address: IpAddr,
    pub(super) began: Instant,
    pub(super) traffic: Traffic,
    /// The rate of reports, once there was one.
    pub(super) reports: Option<Box<TokenBucket>>,
    /// Requests for ICE servers in flight.
    pub(super) ice: PendingFutures<'a, IceAnswer>,
    /// The translator of a client that does not speak `signal.v1`.
    pub(super) dialect: Option<Box<DialectSession<'a>>>,
}

/// What the handshake says beyond the identity.
#[derive(Clone, Debug)]
pub struct HandshakeInfo {
    /// The address of the client.
    pub address: IpAddr,
    /// The client's region or country, as a trusted proxy names it.
    pub region: Option<String>,
    /// The parent of the spans of this connection, if it is traced.
    pub trace: Option<Box<Parent>>,
}

impl Default for HandshakeInfo {
    /// A client of this machine, whose handshake says nothing else.
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), region: None, trace: None }
    }
}

/// Serves one connection until it ends.
pub fn run<S: Socket>(
    socket: S,
    entrance: Entrance,
    (source, dialect): (HandshakeInfo, Option<Box<dyn Dialect>>),
    context: &Context,
) -> impl Future<Output = ()> + Send {
    context.metrics.opened.inc();
    context.metrics.connections.inc();
    let session = Session::new(socket, entrance, (source, dialect), context);
    // Not an `async fn`, which would hold what it is given beside the session for as long as that lives.
    live(session)
}

#[expect(clippy::manual_async_fn, reason = "an `async fn` would hold the session twice")]
fn live<S: Socket>(mut session: Session<'_, S>) -> impl Future<Output = ()> + Send {
    async move {
        let cause = session.serve().await;
        // Boxed, since it is rare and would make every idle session larger.
        Box::pin(session.finish(cause)).await;
    }
}

impl<'a, S: Socket> Session<'a, S> {
    fn new(
        socket: S,
        entrance: Entrance,
        (source, dialect): (HandshakeInfo, Option<Box<dyn Dialect>>),
        context: &'a Context,
    ) -> Self {
        let settings = context.settings.clone();
        let outbox = Arc::new(Outbox::new(settings.outbox_bytes));
        let now = Instant::now();
        let machine = Machine::new(settings, entrance, now);
        let handles = Handles::default();
        let is_told = source.region.is_some() || source.trace.is_some();
        Self {
            context,
            socket,
            machine,
            outbox,
            handles,
            watches: None,
            calls: None,
            device: GaugeShare::new(&context.metrics.presence.devices),
            woken_at: None,
            address: source.address,
            began: now,
            traffic: Traffic::default(),
            reports: None,
            source: is_told.then(|| Box::new(source)),
            ice: PendingFutures::default(),
            dialect: dialect.map(|dialect| Box::new(DialectSession::new(dialect, context))),
        }
    }

    async fn serve(&mut self) -> CloseCause {
        let Err(cause) = self.work().await;
        // Boxed, since it is rare and would make every idle session larger.
        Box::pin(self.end(&cause)).await;
        cause
    }

    /// Handles events until there is a cause to close.
    async fn work(&mut self) -> Result<Infallible, CloseCause> {
        self.wake_in_time();
        // Events of all sessions from before this one was registered with the timers.
        self.on_wakeups(Wakeups::EARLIER)?;
        self.start_dialect();
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

    /// Waits for the next event. Cancel-safe; `select!` is fair, so a flood of one kind does not starve the others.
    async fn event(&mut self) -> Event<S::Text> {
        tokio::select! {
            incoming = poll_fn(|context| self.socket.poll_recv(context)) => Event::Incoming(incoming),
            () = self.outbox.filled() => Event::News,
            (purpose, servers) = poll_fn(|context| self.ice.poll_next(context)) => Event::Ice(purpose, servers),
            answer = poll_fn(|context| poll_answers(&mut self.dialect, context)) => Event::Answered(answer),
        }
    }

    /// Handles an event; returns whether there may be something to write.
    fn meet(&mut self, event: Event<S::Text>) -> Result<bool, CloseCause> {
        match event {
            Event::Incoming(incoming) => self.heard(incoming)?,
            Event::News => {
                self.on_wakeups(self.outbox.take_wakeups())?;
                return Ok(true);
            }
            Event::Ice(purpose, servers) => {
                self.machine.ice_answered(purpose, servers, Instant::now());
            }
            Event::Answered(answer) => self.on_dialect_answer(&answer),
        }
        Ok(false)
    }

    fn heard(
        &mut self,
        incoming: Result<Incoming<S::Text>, SocketError>,
    ) -> Result<(), CloseCause> {
        match incoming {
            Ok(Incoming::Text(text)) => {
                self.context.metrics.received.inc();
                self.traffic.received.add(text.as_ref().len());
                match self.dialect {
                    None => self.machine.frame(text.as_ref(), Instant::now()),
                    Some(_) => self.on_dialect_text(text.as_ref()),
                }
            }
            Ok(Incoming::Control) => {
                self.machine.control(Instant::now());
                self.on_dialect_control();
            }
            Ok(Incoming::Binary) if self.dialect.is_some() => self.on_dialect_binary(),
            Ok(Incoming::Binary) => return Err(CloseCause::WebSocket(1003, "text frames only")),
            Ok(Incoming::Release) => return Err(self.release()),
            Ok(Incoming::Closed(code)) => return Err(CloseCause::Client(code)),
            Err(SocketError::Broken(code)) => {
                return Err(CloseCause::WebSocket(code, "WebSocket protocol error"));
            }
            Err(SocketError::Gone) => return Err(CloseCause::Client(None)),
        }
        Ok(())
    }

    async fn end(&mut self, cause: &CloseCause) {
        match cause {
            CloseCause::Node(code, _) => self.close(*code).await,
            CloseCause::WebSocket(code, text) => self.close_raw(*code, text).await,
            CloseCause::Client(_) | CloseCause::Moved => {}
        }
    }

    /// Registers the machine's next deadline with the timers, unless an earlier one is registered.
    fn wake_in_time(&mut self) {
        let at = self.machine.next_tick();
        let at = self.next_dialect_tick().map_or(at, |due| due.min(at));
        if self.woken_at.is_none_or(|woken_at| at < woken_at) {
            self.context.timers.wake_at(&self.outbox, at);
            self.woken_at = Some(at);
        }
    }

    /// Handles the reasons for which the session was woken.
    fn on_wakeups(&mut self, wakeups: Wakeups) -> Result<(), CloseCause> {
        if wakeups.has(Wakeup::Tick) {
            self.woken_at = None;
            self.machine.tick(Instant::now());
            self.tick_dialect();
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
            return Err(CloseCause::Node(CloseCode::Drain, None));
        }
        Ok(())
    }

    fn look_for_revocation(&mut self) {
        let holder = self.machine.identity();
        if let Some(Err(refused)) = holder.map(|holder| self.context.still_valid(holder)) {
            self.machine.reject(refused);
        }
    }

    fn tell_cut_off(&mut self) {
        if *self.context.events.cut_off.borrow() {
            self.machine.cut_off();
        }
    }

    /// Schedules a request for ICE servers, at a random time within [`ASK_WITHIN`].
    fn ice_changed(&mut self) {
        let Some(credentials) = &self.context.credentials else { return };
        if self.dialect.is_some() {
            return;
        }
        let reason = credentials.latest_news();
        let [moment] = service_kit::random::bytes();
        let at = Instant::now() + ASK_WITHIN * u32::from(moment) / 256;
        self.machine.ice_changed(reason, at);
    }

    fn hand_over(&mut self) {
        let handover = self.context.events.handover.borrow().clone();
        if let Some(handover) = handover {
            self.hand_over_at(&handover.invitation(), Instant::now());
        }
    }

    /// Detaches from the rooms, counts, and logs how the connection ended.
    async fn finish(&mut self, cause: CloseCause) {
        self.detach(&cause).await;
        self.keep_budget();
        let metrics = &self.context.metrics;
        metrics.connections.dec();
        metrics.closed.with_label_values(&[&cause.label()]).inc();
        self.log_ended(&cause);
    }

    /// Tells every room that the socket is gone, so that its member is away.
    async fn detach(&mut self, cause: &CloseCause) {
        self.outbox.close();
        let (is_going_away, end) = (cause.is_going_away(), cause.connection_end());
        let after = self.dialect.as_ref().map(|session| session.dialect.after(end));
        let socket = self.machine.socket();
        for (room, peer) in self.machine.memberships() {
            if let Some(handle) = self.handles.get(room) {
                let command = match after {
                    None | Some(MembershipEnd::Detach) => {
                        Command::Detach { peer: peer.clone(), socket, is_going_away }
                    }
                    Some(MembershipEnd::Leave) => {
                        leave_of(peer.clone(), socket, self.outbox.clone())
                    }
                };
                handle.insist(command).await;
            }
        }
        self.unwatch_all().await;
        self.end_calls().await;
    }
}
