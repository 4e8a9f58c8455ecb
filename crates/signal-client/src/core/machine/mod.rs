//! The whole client: its connection, and its memberships in several rooms.
//!
//! `frames` is what a node says, `requests` what the application asks for.

mod frames;
mod requests;

use fastrand::Rng;
use signal_protocol::CloseCode;
use tokio::time::Instant;

use super::connection::Connection;
use super::context::Context;
use super::effect::{Effect, Input, LinkId, MemberId};
use super::event::{LeftBecause, Stop};
use super::frame;
use super::link::Closed;
use super::membership::{KeySource, Membership};
use super::token::TokenSource;

/// A client of `signal.v1` without a socket and without a clock.
pub struct Machine {
    connection: Connection,
    members: Vec<Membership>,
    context: Context,
    keys: KeySource,
}

impl Machine {
    /// Begins to connect at `now`. `rng` draws pauses, `keys` the secrets of members.
    #[must_use]
    pub fn new(tokens: TokenSource, keys: KeySource, rng: Rng, now: Instant) -> Self {
        let mut connection = Connection::new(tokens);
        connection.start(now);
        Self { connection, members: Vec::new(), context: Context::new(rng), keys }
    }

    /// Returns the next thing to be done; to be called until there is none, after each input.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.context.next_effect()
    }

    /// Returns when [`Input::Tick`] is due.
    #[must_use]
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        let members = self.members.iter().filter_map(|member| member.wake_at(now));
        members.chain(self.connection.wake_at()).min()
    }

    /// Returns the link that a member is joined on.
    #[must_use]
    pub fn link_of(&self, member: MemberId) -> Option<LinkId> {
        self.members.iter().find(|it| it.id == member)?.link
    }

    /// Returns how many messages of a member are not settled.
    #[must_use]
    pub fn unsettled(&self, member: MemberId) -> usize {
        self.members.iter().find(|it| it.id == member).map_or(0, |it| it.outgoing.len())
    }

    /// Handles what happened.
    pub fn on(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Tick => self.tick(now),
            Input::Token { token, unix_now } => {
                self.connection.fetched(token, unix_now, now, &mut self.context);
            }
            Input::Text { link, text } => self.text(link, text, now),
            Input::Alive { link } => {
                self.connection.links.heard(link, now);
            }
            Input::NotReading => self.connection.links.not_reading(now),
            Input::Closed { link, code, message, retry_after } => {
                self.end_link(link, &Closed { code, message, retry_after }, now);
            }
            Input::Stop => self.connection.stop(Stop::Closed, &mut self.context),
            Input::AskForIce => self.ask_for_ice(),
            Input::Join { member, room, meta } => self.join(member, room, meta),
            Input::Signal { member, ticket, to, data } => {
                self.signal(member, ticket, to.as_ref(), &data);
            }
            Input::Volatile { member, to, data } => self.volatile(member, to.as_ref(), &data, now),
            Input::Update { member, ticket, meta } => self.update(member, ticket, meta),
            Input::Kick { member, ticket, peer, ban } => self.kick(member, ticket, &peer, ban),
            Input::Leave { member, ticket } => self.leave(member, ticket),
        }
        self.after_input(now);
    }

    /// Brings to an end what an input has brought about.
    fn after_input(&mut self, now: Instant) {
        if let Some(stop) = self.connection.stopped().cloned() {
            for member in &mut self.members {
                member.end(because(&stop), &mut self.context);
            }
        }
        self.members.retain(|member| !member.is_over);
        self.promote_when_ready(now);
        for member in &mut self.members {
            member.flush(now, &mut self.context);
        }
    }

    /// The old link goes once every member has arrived on the new one.
    fn promote_when_ready(&mut self, now: Instant) {
        let successor = self.connection.links.successor();
        if successor.is_some() && self.members.iter().all(|member| member.link == successor) {
            self.connection.promote(now, &mut self.context);
        }
    }

    fn tick(&mut self, now: Instant) {
        if let Some(link) = self.connection.tick(now, &mut self.context) {
            self.given_up(link, now);
        }
        for member in &mut self.members {
            member.tick(now, &self.connection, &mut self.context);
        }
    }

    /// A link that was closed here.
    fn given_up(&mut self, link: LinkId, now: Instant) {
        let code = CloseCode::PingTimeout.number();
        let message = "the node did not answer in time";
        self.end_link(link, &Closed { code, message, retry_after: None }, now);
    }

    fn end_link(&mut self, link: LinkId, closed: &Closed<'_>, now: Instant) {
        self.context.lost(link);
        self.connection.closed(link, closed, now, &mut self.context);
        for member in &mut self.members {
            member.lost(link, &self.connection, &mut self.context);
        }
    }

    fn text(&mut self, link: LinkId, text: &str, now: Instant) {
        if !self.connection.links.heard(link, now) {
            return;
        }
        match frame::parse(text) {
            Ok(frame) => self.frame(link, frame, now),
            Err(error) => self.context.emit(Effect::Unreadable { error: error.to_string() }),
        }
    }
}

fn because(stop: &Stop) -> LeftBecause {
    match stop {
        Stop::Code { code: 4202, .. } => LeftBecause::Replaced,
        Stop::Code { code: 4203, .. } => LeftBecause::Kicked,
        Stop::Code { .. } | Stop::Closed => LeftBecause::Stopped(stop.clone()),
    }
}
