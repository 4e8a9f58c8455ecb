//! A client that does not speak `signal.v1`: its translator stands between the socket and the machine.
//!
//! Text of the client goes to the dialect instead of the machine, and frames of the outbox go to it instead of the socket. What it
//! asks for is done as for a client of ours: joins by the machine, posts by the room. A connection without a dialect pays a
//! pointer.

use bytes::Bytes;
use signal_dialects::{
    Dialect, DialectEffect, DrainTime, Effects, IgnoredReason, PostOutcome, RoomPost,
};
use signal_protocol::RoomId;
use signal_protocol::client::Leave;
use tokio::time::Instant;

use super::dialect_session::DialectAnswer;
use super::effect::Effect;
use super::handover::Invitation;
use super::run::Session;
use super::socket::Socket;
use crate::metrics::Direction;
use crate::room::{Delivery, FrameEvent, PostRequest};

impl<S: Socket> Session<'_, S> {
    /// Has the dialect do something, and does what it asks for.
    fn with_dialect(&mut self, step: impl FnOnce(&mut dyn Dialect, &mut Effects)) {
        if let Some(session) = &mut self.dialect {
            step(&mut *session.dialect, &mut session.effects);
            self.apply_dialect();
        }
    }

    pub(super) fn start_dialect(&mut self) {
        if self.machine.identity().is_some() {
            self.with_dialect(|dialect, effects| dialect.start(now(), effects));
        }
    }

    pub(super) fn on_dialect_text(&mut self, text: &str) {
        self.count_dialect_frame(Direction::Received);
        let is_allowed = self.machine.allow_frame(Instant::now());
        self.with_dialect(|dialect, effects| {
            if is_allowed {
                dialect.on_text(text, now(), effects);
            } else {
                effects.push(DialectEffect::Ignore(IgnoredReason::Limit));
            }
        });
    }

    pub(super) fn on_dialect_control(&mut self) {
        self.with_dialect(|dialect, _| dialect.on_control());
    }

    /// The original servers ignore binary frames or take them for text; nothing of theirs sends one.
    pub(super) fn on_dialect_binary(&mut self) {
        self.machine.control(Instant::now());
        self.with_dialect(|_, effects| {
            effects.push(DialectEffect::Ignore(IgnoredReason::Malformed));
        });
    }

    /// Translates a frame of the outbox. What the dialect says of it is queued now, so that the order holds; what it asks for
    /// waits until the events of the frame are applied.
    pub(super) fn translate(&mut self, frame: &Bytes) {
        let Some(session) = &mut self.dialect else { return };
        let text = std::str::from_utf8(frame).unwrap_or_default();
        session.dialect.on_frame(text, now(), &mut session.effects);
        let is_text = |effect: &mut DialectEffect| matches!(effect, DialectEffect::Send(_));
        let texts: Vec<_> = session.effects.extract_if(.., is_text).collect();
        for effect in texts {
            if let DialectEffect::Send(text) = effect {
                self.queue(text.into());
            }
        }
    }

    pub(super) fn on_dialect_answer(&mut self, answer: &DialectAnswer) {
        match answer {
            DialectAnswer::Posted(room, outcome) => self.on_posted(room, *outcome),
            DialectAnswer::Number(number) => {
                self.with_dialect(|dialect, effects| dialect.on_number(*number, now(), effects));
            }
        }
    }

    fn on_posted(&mut self, room: &RoomId, outcome: PostOutcome) {
        if let Some(session) = &self.dialect {
            session.context.metrics.dialects.posted(session.dialect.name(), outcome);
        }
        self.with_dialect(|dialect, effects| dialect.on_posted(room, outcome, now(), effects));
    }

    pub(super) fn on_dialect_lost(&mut self, room: &RoomId) {
        self.machine.memberships.free(room);
        self.handles.remove(room);
        self.with_dialect(|dialect, effects| dialect.on_lost(room, now(), effects));
    }

    pub(super) fn next_dialect_tick(&self) -> Option<Instant> {
        self.dialect.as_ref()?.dialect.next_tick().map(Instant::from_std)
    }

    pub(super) fn tick_dialect(&mut self) {
        let now = now();
        self.with_dialect(|dialect, effects| {
            if dialect.next_tick().is_some_and(|at| at <= now) {
                dialect.tick(now, effects);
            }
        });
    }

    /// Has the client move to another node, or closes the socket of one that cannot be asked.
    pub(super) fn hand_over_at(&mut self, invitation: &Invitation, now: Instant) {
        let Invitation { after, within } = *invitation;
        match self.dialect.as_ref().map(|session| session.dialect.drain_time()) {
            None => self.machine.hand_over(invitation, now),
            Some(DrainTime::Early) => self.machine.end_at(now + after),
            Some(DrainTime::Deadline) => self.machine.end_at(now + after + within),
        }
    }

    pub(super) fn count_dialect_frame(&self, direction: Direction) {
        if let Some(session) = &self.dialect {
            session.context.metrics.dialects.frame(session.dialect.name(), direction);
        }
    }

    /// Does what the dialect asked for.
    pub(super) fn apply_dialect(&mut self) {
        let Some(session) = &mut self.dialect else { return };
        for effect in std::mem::take(&mut session.effects) {
            match effect {
                DialectEffect::Send(text) => {
                    self.outbox.push(Delivery::from(text).with_event(FrameEvent::ForClient));
                }
                DialectEffect::Join(join) => self.machine.join_dialect(join),
                DialectEffect::Leave { room, id } => {
                    self.machine.leave(&Leave { id: Some(id), room });
                }
                DialectEffect::Authenticate(token) => self.machine.authenticate(token),
                DialectEffect::Signal(signal) => self.machine.signal_of_dialect(&signal),
                DialectEffect::Post(post) => self.post(post),
                DialectEffect::Advance { room, from } => self.advance(room, from),
                DialectEffect::Ping => self.machine.effects.push_back(Effect::Ping),
                DialectEffect::Close(code) => {
                    self.machine.effects.push_back(Effect::Close(code));
                }
                DialectEffect::Ignore(reason) => self.count_ignored(reason),
            }
        }
    }

    fn count_ignored(&self, reason: IgnoredReason) {
        if let Some(session) = &self.dialect {
            session.context.metrics.dialects.ignored(session.dialect.name(), reason);
        }
    }

    fn post(&mut self, post: RoomPost) {
        let RoomPost { room, name, count, data } = post;
        let identity = self.machine.identity();
        let is_allowed = identity.is_some_and(|identity| identity.may_enter_named(&name));
        self.share_budget();
        let Some(session) = &mut self.dialect else { return };
        let (rooms, sender) = (&self.context.rooms, self.outbox.clone());
        let request = PostRequest { from: self.machine.socket(), count, data: data.into(), sender };
        session.answers.push(async move {
            if !is_allowed {
                return DialectAnswer::Posted(room, PostOutcome::Forbidden);
            }
            let outcome = rooms.post(&room, request).await;
            DialectAnswer::Posted(room, outcome)
        });
    }

    fn advance(&mut self, room: RoomId, from: u64) {
        let Some(session) = &mut self.dialect else { return };
        let rooms = &self.context.rooms;
        session
            .answers
            .push(async move { DialectAnswer::Number(rooms.advance(&room, from).await) });
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
