//! One connection as a pure machine: what was heard and the time go in, effects come out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use service_kit::settings::Rate;
use signal_protocol::client::{RequestId, Token};
use signal_protocol::server::{ErrorFrame, Limits, milliseconds};
use signal_protocol::{
    ClientMessage, CloseCode, ErrorCode, FrameFault, LeftReason, NodeId, PeerId, RoomId,
    ServerMessage, limits, parse,
};
use tokio::time::Instant;

use super::effect::{Effect, VerifyPurpose};
use super::handover::Invitation;
use super::heartbeat::{Beat, Heartbeat};
use super::ice::IceState;
use super::identity::{Identity, Refused};
use super::memberships::{MembershipState, Memberships};
use super::message_rate::{MessageRateLimit, Verdict};
use crate::log::SocketId;
use crate::room::{FrameEvent, Ordered};

/// How long a connection may stay without a valid `hello`.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// What the node offers beyond the plain exchange, told in `welcome`.
const FEATURES: &[&str] = &["resume", "volatile", "ice"];

/// What holds for every session of this node.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// This node.
    pub node: NodeId,
    /// How often a ping is sent.
    pub ping: Duration,
    /// How long a lost socket may come back as the same member.
    pub grace: Duration,
    /// Messages per connection.
    pub rate: Rate,
    /// Bytes of one client frame.
    pub max_message: usize,
    /// Rooms on one connection.
    pub rooms_per_connection: usize,
    /// Members of a room, where nothing else was configured.
    pub room_capacity: u32,
    /// Members of one subject in a room.
    pub members_per_sub: u32,
    /// Unsent bytes on one connection.
    pub outbox_bytes: usize,
    /// Whether there is a credential service to ask for ICE servers.
    pub relays: bool,
}

/// Whether the connection has said who it is.
#[derive(Debug)]
enum Phase {
    /// Not yet.
    AwaitingHello {
        /// When it must have.
        hello_by: Instant,
        /// Whether it may stay anonymous.
        anonymous: bool,
    },
    /// It has.
    Open(Identity),
}

/// One connection.
#[derive(Debug)]
pub struct Machine {
    pub(super) settings: Arc<SessionSettings>,
    pub(super) socket: SocketId,
    pub(super) memberships: Memberships,
    pub(super) ice: IceState,
    pub(super) effects: VecDeque<Effect>,
    phase: Phase,
    pace: MessageRateLimit,
    heartbeat: Heartbeat,
    /// When the connection ends, because its node does.
    ends_at: Option<Instant>,
}

impl Machine {
    /// Begins a connection; with an `identity` it is welcomed at once.
    #[must_use]
    pub fn new(
        settings: Arc<SessionSettings>,
        identity: Option<Identity>,
        anonymous: bool,
        now: Instant,
    ) -> Self {
        let mut machine = Self {
            pace: MessageRateLimit::new(now),
            heartbeat: Heartbeat::new(settings.ping, now),
            ends_at: None,
            settings,
            socket: SocketId::random(),
            phase: Phase::AwaitingHello { hello_by: now + HELLO_WITHIN, anonymous },
            memberships: Memberships::default(),
            ice: IceState::default(),
            effects: VecDeque::new(),
        };
        if let Some(identity) = identity {
            machine.open(identity);
        }
        machine
    }

    /// Names the socket.
    #[must_use]
    pub fn socket(&self) -> SocketId {
        self.socket
    }

    /// Takes out what has to be done next.
    #[must_use]
    pub fn next_effect(&mut self) -> Option<Effect> {
        let next = self.effects.pop_front();
        if next.is_none() {
            // An idle session owns no queue.
            self.effects = VecDeque::new();
        }
        next
    }

    /// Returns the memberships that have to be detached when the connection is gone.
    pub fn memberships(&self) -> impl Iterator<Item = (&RoomId, &PeerId)> {
        self.memberships.iter()
    }

    /// Returns whose connection it is, once that is known.
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
        };
        let welcome = ServerMessage::Welcome {
            node: &settings.node,
            ping: settings.ping.as_secs().max(1),
            grace: settings.grace.as_secs(),
            features: FEATURES,
            limits: &limits,
        };
        self.effects.push_back(Effect::Send(welcome.to_json()));
    }

    /// Takes in a ping or a pong. They count like messages, since each costs as much to read; what is too much is
    /// not answered, and closed when it goes on.
    pub fn control(&mut self, now: Instant) {
        self.heartbeat.heard(now);
        if self.pace.take(self.settings.rate, now) == Verdict::Enough {
            self.effects.push_back(Effect::Close(CloseCode::RateLimit));
        }
    }

    /// Takes in one text frame.
    pub fn frame(&mut self, text: &str, now: Instant) {
        self.heartbeat.heard(now);
        let message = parse(text);
        match (self.pace.take(self.settings.rate, now), message) {
            (Verdict::Pass, Ok(message)) => self.message(message, now),
            (Verdict::Pass, Err(fault)) => self.fault(&fault),
            (Verdict::Wait(after), message) => self.too_fast(after, message.as_ref()),
            (Verdict::Enough, _) => self.effects.push_back(Effect::Close(CloseCode::RateLimit)),
        }
    }

    fn message(&mut self, message: ClientMessage<'_>, now: Instant) {
        match (&self.phase, message) {
            (_, ClientMessage::Ping) => self.send(&ServerMessage::Pong),
            (Phase::AwaitingHello { anonymous, .. }, ClientMessage::Hello(hello)) => {
                let anonymous = *anonymous;
                self.hello(hello.token, anonymous);
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

    fn hello(&mut self, token: Option<Token<'_>>, anonymous: bool) {
        match token {
            Some(Token(token)) => {
                let token = token.into_owned();
                self.effects.push_back(Effect::Verify(token, VerifyPurpose::Hello));
            }
            None if anonymous => self.open(Identity::Anonymous),
            None => {
                let message = "a token is needed here".to_owned();
                let (close, code) = (CloseCode::Unauthorized, ErrorCode::Unauthorized);
                self.turn_away(Refused { close, code, message });
            }
        }
    }

    /// Says why, and ends the connection.
    pub fn turn_away(&mut self, refused: Refused) {
        self.effects.push_back(Effect::Reject(Box::new(refused)));
    }

    /// Takes in what became of a token.
    pub fn verified(&mut self, purpose: VerifyPurpose, verdict: Result<Identity, Refused>) {
        match (purpose, verdict) {
            (VerifyPurpose::Hello, Ok(identity)) => self.open(identity),
            (VerifyPurpose::Hello, Err(refused)) => self.turn_away(refused),
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
    }

    /// A kept message that cannot be read is refused in its turn, so that its `mid` is consumed.
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

    /// Takes in a change of membership, in its place among the frames.
    pub fn on_frame_sent(&mut self, event: &FrameEvent) {
        match event {
            FrameEvent::Joined(room) => self.memberships.set(room, MembershipState::Joined),
            FrameEvent::Refused(room) | FrameEvent::Left(room) => self.memberships.free(room),
            FrameEvent::Traced(_) => {}
            FrameEvent::Lost(_) => self.effects.push_back(Effect::Close(CloseCode::Unavailable)),
            FrameEvent::Ended(room, reason) => {
                self.memberships.free(room);
                self.ended(*reason);
            }
        }
    }

    fn ended(&mut self, reason: LeftReason) {
        if !self.memberships.is_empty() {
            return;
        }
        match reason {
            LeftReason::Replaced => self.effects.push_back(Effect::Close(CloseCode::Replaced)),
            LeftReason::Kicked => self.effects.push_back(Effect::Close(CloseCode::Kicked)),
            // It may join anew over the same socket.
            LeftReason::Expired => {}
        }
    }

    /// The log has not answered for a lease: the client may try another node, and keeps this socket.
    pub fn cut_off(&mut self) {
        let text = "this node cannot reach the room log; another one may";
        self.refuse(ErrorFrame::new(ErrorCode::Unavailable, text));
    }

    /// The node ends: the client is to go on elsewhere, and this socket ends when it had the time.
    pub fn hand_over(&mut self, invitation: &Invitation, now: Instant) {
        let Invitation { after, within } = *invitation;
        let (after_ms, within_ms) = (milliseconds(after), milliseconds(within));
        self.send(&ServerMessage::Goaway { reason: "drain", after: after_ms, within: within_ms });
        self.ends_at = Some(now + after + within);
    }

    /// Returns when [`Machine::tick`] has something to do.
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

    /// Does what is due.
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
        self.tick_ice(now);
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

/// Makes an error answer the message it is about.
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
        ClientMessage::Ice(m) => m.id,
        ClientMessage::Auth(m) => m.id,
        ClientMessage::Kick(m) => m.id,
        ClientMessage::Hello(_) | ClientMessage::Volatile(_) | ClientMessage::Ping => None,
    };
    ErrorFrame { id, ..error }
}
