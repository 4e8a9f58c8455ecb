//! One connection as a pure state machine: frames and the time go in, effects come out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use service_kit::settings::Rate;
use signal_protocol::client::{RequestId, Token};
use signal_protocol::server::{ErrorFrame, Limits, milliseconds};
use signal_protocol::{
    ClientMessage, CloseCode, ErrorCode, FrameFault, LeftReason, PeerId, RoomId, RoomTag,
    ServerMessage, limits, parse,
};
use tokio::time::Instant;

use super::effect::{Effect, IcePurpose, VerifyPurpose};
use super::handover::Invitation;
use super::heartbeat::{Beat, Heartbeat};
use super::ice::IceState;
use super::identity::{Entrance, Identity, SessionRejection};
use super::inbox::InboxMembership;
use super::memberships::{MembershipState, Memberships};
use super::message_rate::{MessageRateLimit, RateDecision};
use super::settings::SessionSettings;
use crate::log::SocketId;
use crate::room::{FrameEvent, Ordered};

/// How long a connection may take until a valid `hello`.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Whether the connection is authenticated.
#[derive(Debug)]
enum Phase {
    AwaitingHello {
        /// When the connection is closed 4201.
        hello_by: Instant,
        /// Whether a `hello` without a token is enough.
        anonymous: bool,
    },
    Open(Identity),
}

/// One connection.
#[derive(Debug)]
pub struct Machine {
    pub(super) settings: Arc<SessionSettings>,
    pub(super) socket: SocketId,
    pub(super) memberships: Memberships,
    pub(super) inbox: InboxMembership,
    pub(super) ice: IceState,
    pub(super) effects: VecDeque<Effect>,
    phase: Phase,
    pace: MessageRateLimit,
    heartbeat: Heartbeat,
    /// When the connection is closed 4000, since its node drains.
    ends_at: Option<Instant>,
}

impl Machine {
    /// Starts a connection; its first effect is `welcome` if the handshake carried a valid token.
    #[must_use]
    pub fn new(settings: Arc<SessionSettings>, entrance: Entrance, now: Instant) -> Self {
        let anonymous = matches!(entrance, Entrance::AwaitingHello { anonymous: true });
        let mut machine = Self {
            pace: MessageRateLimit::new(now),
            heartbeat: Heartbeat::new(settings.ping, now),
            ends_at: None,
            settings,
            socket: SocketId::random(),
            phase: Phase::AwaitingHello { hello_by: now + HELLO_WITHIN, anonymous },
            memberships: Memberships::default(),
            inbox: InboxMembership::default(),
            ice: IceState::default(),
            effects: VecDeque::new(),
        };
        match entrance {
            Entrance::Authenticated(identity) => machine.open(identity),
            Entrance::AwaitingHello { .. } => {}
            Entrance::Rejected(rejection) => machine.reject(rejection),
        }
        machine
    }

    /// Returns the id of the socket.
    #[must_use]
    pub fn socket(&self) -> SocketId {
        self.socket
    }

    /// Takes the next effect.
    #[must_use]
    pub fn next_effect(&mut self) -> Option<Effect> {
        let next = self.effects.pop_front();
        if next.is_none() {
            // Free the queue: an idle session allocates nothing.
            self.effects = VecDeque::new();
        }
        next
    }

    /// Returns the memberships to detach once the connection has ended.
    pub fn memberships(&self) -> impl Iterator<Item = (&RoomId, &PeerId)> {
        self.memberships.iter().chain(self.inbox.held())
    }

    /// Returns the memberships, or the one that ended last, for the log.
    pub(super) fn last_memberships(&self) -> impl Iterator<Item = (&RoomId, &PeerId)> {
        self.memberships.iter_or_last()
    }

    /// Returns the member that the connection holds in a room.
    pub(super) fn member(&self, room: &RoomId) -> Option<&PeerId> {
        let device = self.inbox.held().filter(|(inbox, _)| *inbox == room).map(|(_, peer)| peer);
        self.memberships.member(room).or(device)
    }

    /// Returns the identity, once the connection is authenticated.
    pub(super) fn identity(&self) -> Option<&Identity> {
        match &self.phase {
            Phase::Open(identity) => Some(identity),
            Phase::AwaitingHello { .. } => None,
        }
    }

    fn open(&mut self, identity: Identity) {
        self.phase = Phase::Open(identity);
        let settings = &self.settings;
        let limits = Limits {
            message: settings.max_message,
            rooms: settings.rooms_per_connection,
            rate: per_second(settings.rate),
            burst: settings.rate.burst.get(),
            unacked: limits::UNACKED,
            watches: settings.watches_per_connection,
        };
        let welcome = ServerMessage::Welcome {
            node: &settings.node,
            ping: settings.ping.as_secs().max(1),
            grace: settings.grace.as_secs(),
            features: settings.features(),
            limits: &limits,
        };
        self.effects.push_back(Effect::Welcome(welcome.to_json()));
    }

    /// Applies a ping or a pong. Both count towards the message rate, since they cost as much to read as a message.
    pub fn control(&mut self, now: Instant) {
        self.allow_frame(now);
    }

    /// Counts a frame that is not of `signal.v1`; returns whether it is within the message rate.
    pub(super) fn allow_frame(&mut self, now: Instant) -> bool {
        self.heartbeat.heard(now);
        let decision = self.pace.take(self.settings.rate, now);
        if decision == RateDecision::Exceeded {
            self.effects.push_back(Effect::Close(CloseCode::RateLimit));
        }
        decision == RateDecision::Allow
    }

    /// Applies one text frame.
    pub fn frame(&mut self, text: &str, now: Instant) {
        self.heartbeat.heard(now);
        let message = parse(text);
        match (self.pace.take(self.settings.rate, now), message) {
            (RateDecision::Allow, Ok(message)) => self.message(message, now),
            (RateDecision::Allow, Err(fault)) => self.fault(&fault),
            // Dropped like any report above its own rate: an error would slow the rooms of the client down.
            (RateDecision::Wait(_), Ok(ClientMessage::Report(_))) => {}
            (RateDecision::Wait(after), message) => self.too_fast(after, message.as_ref()),
            (RateDecision::Exceeded, _) => {
                self.effects.push_back(Effect::Close(CloseCode::RateLimit));
            }
        }
    }

    fn message(&mut self, message: ClientMessage<'_>, now: Instant) {
        match (&self.phase, message) {
            (_, ClientMessage::Ping) => self.send(&ServerMessage::Pong),
            (Phase::AwaitingHello { .. }, ClientMessage::Hello(hello)) => {
                self.authenticate(hello.token.map(|Token(token)| token.into_owned()));
            }
            (Phase::AwaitingHello { .. }, message) => {
                let error = ErrorFrame::new(ErrorCode::Unauthorized, "say hello first");
                self.refuse(answering(&message, error));
            }
            (Phase::Open(identity), message) => {
                let identity = identity.clone();
                self.request(&identity, message, now);
            }
        }
    }

    /// Applies the token that the client shows, or that it has none; without effect once it is authenticated.
    pub(super) fn authenticate(&mut self, token: Option<String>) {
        match (&self.phase, token) {
            (Phase::Open(_), _) => {}
            (Phase::AwaitingHello { .. }, Some(token)) => {
                self.effects.push_back(Effect::Verify(token, VerifyPurpose::Hello));
            }
            (Phase::AwaitingHello { anonymous: true, .. }, None) => self.open(Identity::Anonymous),
            (Phase::AwaitingHello { .. }, None) => self.reject(SessionRejection::no_token()),
        }
    }

    /// Rejects the connection: says why, then closes.
    pub fn reject(&mut self, refused: SessionRejection) {
        self.effects.push_back(Effect::Reject(Box::new(refused)));
    }

    /// Applies the result of [`Effect::Verify`].
    pub fn verified(
        &mut self,
        purpose: VerifyPurpose,
        verdict: Result<Identity, SessionRejection>,
    ) {
        match (purpose, verdict) {
            (VerifyPurpose::Hello, Ok(identity)) => self.open(identity),
            (VerifyPurpose::Hello, Err(refused)) => self.reject(refused),
            (VerifyPurpose::Renew(id), Ok(identity)) => self.renew(id, identity),
            (VerifyPurpose::Renew(id), Err(refused)) => {
                let error = ErrorFrame::new(refused.code, &refused.message);
                self.refuse(ErrorFrame { id, ..error });
            }
        }
    }

    fn renew(&mut self, id: Option<RequestId>, identity: Identity) {
        let Phase::Open(former) = &self.phase else { return };
        if former.subject() != identity.subject() {
            let error = ErrorFrame::new(ErrorCode::Forbidden, "the new token has another subject");
            return self.refuse(ErrorFrame { id, ..error });
        }
        self.phase = Phase::Open(identity);
        self.send(&ServerMessage::Ok { id });
        self.effects.push_back(Effect::ReviewWatches);
    }

    /// Answers a frame that cannot be parsed. If it carries the `mid` of an ordered message, the room refuses it in its
    /// turn: the refusal uses the `mid` up, and must not overtake messages before it.
    fn fault(&mut self, fault: &FrameFault) {
        if let (Some(mid), Some(room)) = (fault.mid, &fault.room)
            && let Some(peer) = self.memberships.speaker(room).cloned()
        {
            let refusal = Ordered::Refuse(fault.code, fault.message.clone());
            return self.effects.push_back(Effect::Ordered(room.clone(), peer, mid, refusal));
        }
        let error = ErrorFrame::new(fault.code, &fault.message);
        let (id, mid, room) = (fault.id, fault.mid, fault.room.as_ref());
        self.refuse(ErrorFrame { id, mid, room, ..error });
    }

    fn too_fast(&mut self, after: Duration, message: Result<&ClientMessage<'_>, &FrameFault>) {
        let after = milliseconds(after).max(1);
        let error = ErrorFrame::new(ErrorCode::RateLimited, "too many messages");
        let error = ErrorFrame { after: Some(after), ..error };
        self.refuse(match message {
            Ok(message) => answering(message, error),
            Err(fault) => ErrorFrame { id: fault.id, ..error },
        });
    }

    /// Applies a change of membership when its frame is written, so that it takes effect in order with the frames.
    pub fn on_frame_sent(&mut self, event: &FrameEvent) {
        if event.room().is_some_and(|room| room.tag() == Some(RoomTag::Inbox)) {
            self.inbox.on_frame_sent(event);
        }
        match event {
            FrameEvent::Joined(room) => self.memberships.set(room, MembershipState::Joined),
            FrameEvent::Refused(room) | FrameEvent::Left(room) => self.memberships.free(room),
            FrameEvent::Traced(_)
            | FrameEvent::ForClient
            | FrameEvent::Unwatched(_)
            | FrameEvent::Rings(_)
            | FrameEvent::CallOver(_) => {}
            FrameEvent::Lost(_) => self.effects.push_back(Effect::Close(CloseCode::Unavailable)),
            // The socket of a device goes on: it may be in rooms, and it may watch.
            FrameEvent::Ended(room, _) if room.tag().is_some_and(|tag| tag == RoomTag::Inbox) => {}
            FrameEvent::Ended(room, reason) => {
                self.memberships.free(room);
                self.ended(*reason);
            }
        }
    }

    fn ended(&mut self, reason: LeftReason) {
        if !self.memberships.is_empty() || self.inbox.held().is_some() {
            return;
        }
        match reason {
            LeftReason::Replaced => self.effects.push_back(Effect::Close(CloseCode::Replaced)),
            LeftReason::Kicked => self.effects.push_back(Effect::Close(CloseCode::Kicked)),
            // The client may join again over the same socket.
            LeftReason::Expired => {}
        }
    }

    /// Tells the client that the log has not answered for a lease. It keeps this socket and may try another node.
    pub fn cut_off(&mut self) {
        let text = "this node cannot reach the room log; another one may";
        self.refuse(ErrorFrame::new(ErrorCode::Unavailable, text));
    }

    /// Asks the client to move to another node; this socket is closed once its time to do so is over.
    pub fn hand_over(&mut self, invitation: &Invitation, now: Instant) {
        let Invitation { after, within } = *invitation;
        let (after_ms, within_ms) = (milliseconds(after), milliseconds(within));
        self.send(&ServerMessage::Goaway { reason: "drain", after: after_ms, within: within_ms });
        self.end_at(now + after + within);
    }

    /// Closes this socket at that moment, since its node drains.
    pub(super) fn end_at(&mut self, at: Instant) {
        self.ends_at = Some(at);
    }

    /// Returns when [`Machine::tick`] is due.
    #[must_use]
    pub fn next_tick(&self) -> Instant {
        let deadline = match &self.phase {
            Phase::AwaitingHello { hello_by, .. } => Some(*hello_by),
            Phase::Open(identity) => identity.expires_at(),
        };
        let ice = self.ice.due().filter(|_| !self.memberships.is_empty());
        [deadline, ice, self.ends_at]
            .into_iter()
            .flatten()
            .fold(self.heartbeat.next(self.settings.ping), Instant::min)
    }

    /// Applies the passing of time.
    pub fn tick(&mut self, now: Instant) {
        match &self.phase {
            Phase::AwaitingHello { hello_by, .. } if now >= *hello_by => {
                self.effects.push_back(Effect::Close(CloseCode::HelloTimeout));
            }
            Phase::Open(identity) if identity.expires_at().is_some_and(|at| now >= at) => {
                self.effects.push_back(Effect::Close(CloseCode::TokenExpired));
            }
            Phase::AwaitingHello { .. } | Phase::Open(_) => {}
        }
        if self.ends_at.is_some_and(|at| now >= at) {
            self.effects.push_back(Effect::Close(CloseCode::Drain));
        }
        match self.heartbeat.beat(self.settings.ping, now) {
            Beat::Rest => {}
            Beat::Ping => self.effects.push_back(Effect::Ping),
            Beat::Dead => self.effects.push_back(Effect::Close(CloseCode::PingTimeout)),
        }
        if !self.memberships.is_empty()
            && let Some(reason) = self.ice.take_due(now)
        {
            self.effects.push_back(Effect::FetchIce(IcePurpose::Push(reason)));
        }
    }

    pub(super) fn send(&mut self, message: &ServerMessage<'_>) {
        self.effects.push_back(Effect::Send(message.to_json()));
    }

    pub(super) fn refuse(&mut self, error: ErrorFrame<'_>) {
        let frame = ServerMessage::Error(error).to_json();
        self.effects.push_back(Effect::Refuse(error.code, frame));
    }
}

fn per_second(rate: Rate) -> u32 {
    let seconds = u32::try_from(rate.interval.as_secs()).unwrap_or(u32::MAX).max(1);
    rate.count.get().div_ceil(seconds)
}

/// Adds to an error what identifies the message it answers.
fn answering<'a>(message: &'a ClientMessage<'_>, error: ErrorFrame<'a>) -> ErrorFrame<'a> {
    let id = match message {
        ClientMessage::Signal(m) => {
            return ErrorFrame { mid: Some(m.mid), room: Some(&m.room), ..error };
        }
        ClientMessage::Update(m) => {
            return ErrorFrame { mid: Some(m.mid), room: Some(&m.room), ..error };
        }
        ClientMessage::Join(m) => m.id,
        ClientMessage::Leave(m) => m.id,
        ClientMessage::Ice(m) | ClientMessage::Offline(m) => m.id,
        ClientMessage::Auth(m) => m.id,
        ClientMessage::Kick(m) => m.id,
        ClientMessage::Online(m) => m.id,
        ClientMessage::Call(m) => m.id,
        ClientMessage::Accept(m) | ClientMessage::Decline(m) => m.id,
        ClientMessage::Cancel(m) => m.id,
        ClientMessage::Watch(m) | ClientMessage::Unwatch(m) => m.id,
        ClientMessage::Hello(_)
        | ClientMessage::Volatile(_)
        | ClientMessage::Report(_)
        | ClientMessage::Ping => None,
    };
    ErrorFrame { id, ..error }
}
