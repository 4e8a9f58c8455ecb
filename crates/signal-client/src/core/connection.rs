//! When sockets are opened, replaced and given up.
//!
//! A lost socket is replaced after full jitter, as far as its close code allows. A node that says `goaway` is left
//! without a gap: the next link is opened beside the current one, the members join there, and `promote` closes the old
//! one. A next link that cannot be opened, or on which the members do not arrive in time, is given up, and the current
//! one stays in use.

use std::time::Duration;

use signal_protocol::CloseCode;
use signal_protocol::codes::CloseAction;
use tokio::time::Instant;

use super::backoff::{backoff, between};
use super::context::{Context, Purpose};
use super::effect::{Effect, LinkId, Loss, MoveReason, State};
use super::event::Stop;
use super::frame::{ErrorFrame, Request, Welcome};
use super::link::{Closed, Link, close_action};
use super::links::{LinkRole, Links, close};
use super::token::{Shown, Token, TokenSource, Tokens};

/// A link that lived for this long proves that all is well: the next wait is the shortest again.
const STABLE_AFTER: Duration = Duration::from_secs(5);
/// Told that a node lost Redis, a client tries another one after so many ms, so that an outage causes no storm.
const LEAVE_NODE_AFTER: (u64, u64) = (5_000, 15_000);
/// How long the next link may take until every member has arrived on it; the current one is good meanwhile.
const HANDOVER_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Connection {
    tokens: Tokens,
    pub(super) links: Links,
    /// Why the current link is to be replaced, if it is.
    moving: Option<MoveReason>,
    attempt: u32,
    welcomed_at: Option<Instant>,
    last_link: u64,
    /// Which link is opened once the token is there.
    wanted: Option<LinkRole>,
    is_fetching: bool,
    connect_at: Option<Instant>,
    handover_at: Option<Instant>,
    abandon_at: Option<Instant>,
    stopped: Option<Stop>,
}

impl Connection {
    pub(super) fn new(tokens: TokenSource) -> Self {
        Self {
            tokens: Tokens::new(tokens),
            links: Links::default(),
            moving: None,
            attempt: 0,
            welcomed_at: None,
            last_link: 0,
            wanted: None,
            is_fetching: false,
            connect_at: None,
            handover_at: None,
            abandon_at: None,
            stopped: None,
        }
    }

    pub(super) fn stopped(&self) -> Option<&Stop> {
        self.stopped.as_ref()
    }

    /// Returns when something is to be done by the passing of time alone.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let renewal = self.tokens.renew_at.filter(|_| !self.is_fetching);
        let alarms =
            [self.connect_at, self.handover_at, self.abandon_at, renewal, self.links.watch_at()];
        alarms.into_iter().flatten().min()
    }

    /// Does what is due; returns a link that was given up.
    pub(super) fn tick(&mut self, now: Instant, context: &mut Context) -> Option<LinkId> {
        if take_due(&mut self.connect_at, now) {
            self.connect(now, context);
        }
        if take_due(&mut self.handover_at, now)
            && self.links.next.is_none()
            && self.links.current.is_some()
        {
            self.open(LinkRole::Next, now, context);
        }
        if take_due(&mut self.tokens.renew_at, now) {
            self.fetch(context);
        }
        if take_due(&mut self.abandon_at, now)
            && let Some(next) = &self.links.next
        {
            close(next, 1000, context);
            return Some(next.id);
        }
        self.links.watch(now, context)
    }

    /// Connects for the first time.
    pub(super) fn start(&mut self, now: Instant) {
        self.connect_at = Some(now);
    }

    fn connect(&mut self, now: Instant, context: &mut Context) {
        if self.links.current.is_none() {
            context.emit(Effect::State(State::Connecting));
            self.open(LinkRole::Current, now, context);
        }
    }

    fn open(&mut self, place: LinkRole, now: Instant, context: &mut Context) {
        let token = match self.tokens.usable(now) {
            Shown::Token(token) => Some(token),
            Shown::Nothing => None,
            Shown::FetchFirst => {
                self.wanted = Some(place);
                return self.fetch(context);
            }
        };
        self.last_link += 1;
        let id = LinkId(self.last_link);
        context.emit(Effect::Open { link: id, token });
        let link = Some(Link::new(id, now));
        match place {
            LinkRole::Current => self.links.current = link,
            LinkRole::Next => {
                self.links.next = link;
                self.abandon_at = Some(now + HANDOVER_WITHIN);
            }
        }
    }

    /// Asks for a token, once.
    fn fetch(&mut self, context: &mut Context) {
        if !std::mem::replace(&mut self.is_fetching, true) {
            context.emit(Effect::FetchToken);
        }
    }

    /// A token was fetched: for a link that is to be opened, or in place of the one that is about to expire.
    pub(super) fn fetched(
        &mut self,
        token: Option<Token>,
        unix_now: Duration,
        now: Instant,
        context: &mut Context,
    ) {
        self.is_fetching = false;
        if self.stopped.is_some() {
            return;
        }
        let fetched = token.is_some();
        if let Some(token) = token {
            if let Some(link) = self.links.open() {
                let text = token.reveal();
                context.request(link, Purpose::Nothing, |id| Request::Auth { id, token: text });
            }
            self.tokens.fetched(token, unix_now, now);
        }
        if self.links.open().is_some() {
            self.tokens.renew_later(now);
        }
        match self.wanted.take() {
            Some(place) if fetched => self.open(place, now, context),
            Some(LinkRole::Next) => self.hand_over_after_backoff(now, context),
            Some(LinkRole::Current) => self.wait(Loss::NoToken, None, now, context),
            None => {}
        }
    }

    /// Handles `welcome`; returns whether the link is the next one, to which the members move.
    pub(super) fn welcomed(
        &mut self,
        id: LinkId,
        welcome: Welcome,
        now: Instant,
        context: &mut Context,
    ) -> bool {
        if let Some(link) = self.links.find(id) {
            link.welcome = Some(welcome);
            link.heard(now);
        }
        self.tokens.accepted(now);
        context.emit(Effect::Welcomed { link: id });
        let is_next = self.links.place(id) == Some(LinkRole::Next);
        if !is_next {
            self.take_current(now, context);
        }
        is_next
    }

    /// The current link is the one that frames are sent on.
    fn take_current(&mut self, now: Instant, context: &mut Context) {
        self.stop_moving();
        self.welcomed_at = Some(now);
        let Some(link) = &self.links.current else { return };
        let node = link.welcome.as_ref().map(|welcome| welcome.node.clone()).unwrap_or_default();
        let goaway = link.goaway;
        context.emit(Effect::State(State::Open { node }));
        if let Some(after) = goaway {
            self.drain(after, now, context);
        }
    }

    fn stop_moving(&mut self) {
        (self.moving, self.handover_at, self.abandon_at) = (None, None, None);
        if self.wanted == Some(LinkRole::Next) {
            self.wanted = None;
        }
    }

    /// Makes the next link the current one and closes the one that it replaces.
    pub(super) fn promote(&mut self, now: Instant, context: &mut Context) {
        let Some(next) = self.links.next.take() else { return };
        if let Some(old) = self.links.current.replace(next) {
            context.lost(old.id);
            close(&old, 1000, context);
        }
        self.take_current(now, context);
    }

    /// Handles `goaway`.
    pub(super) fn go_away(
        &mut self,
        id: LinkId,
        after: Duration,
        now: Instant,
        context: &mut Context,
    ) {
        if let Some(link) = self.links.find(id) {
            link.goaway = Some(after);
        }
        if self.links.place(id) == Some(LinkRole::Current) {
            self.drain(after, now, context);
        }
    }

    fn drain(&mut self, after: Duration, now: Instant, context: &mut Context) {
        context.emit(Effect::Moving(MoveReason::Drain));
        self.moving = Some(MoveReason::Drain);
        self.attempt = 0;
        self.hand_over_at(now + after);
    }

    fn hand_over_at(&mut self, at: Instant) {
        if self.links.next.is_none() {
            self.handover_at = Some(at);
        }
    }

    fn hand_over_after_backoff(&mut self, now: Instant, context: &mut Context) {
        let wait = self.backoff(context);
        self.hand_over_at(now + wait);
    }

    /// Handles an error about the connection as a whole. However often the node says that it lost Redis, the wait is
    /// the first one.
    pub(super) fn on_connection_error(
        &mut self,
        id: LinkId,
        error: &ErrorFrame<'_>,
        now: Instant,
        context: &mut Context,
    ) {
        if let Some(link) = self.links.find(id) {
            link.complaint = Some(error.message.clone().into_owned());
        }
        if error.code == "unavailable" && self.links.place(id) == Some(LinkRole::Current) {
            context.emit(Effect::Moving(MoveReason::Outage));
            if self.moving.is_none() {
                self.moving = Some(MoveReason::Outage);
                let wait = between(LEAVE_NODE_AFTER, &mut context.rng);
                self.hand_over_at(now + wait);
            }
        }
    }

    /// A link is gone.
    pub(super) fn closed(
        &mut self,
        id: LinkId,
        closed: &Closed<'_>,
        now: Instant,
        context: &mut Context,
    ) {
        match self.links.place(id) {
            Some(LinkRole::Next) => self.next_failed(closed, now, context),
            Some(LinkRole::Current) => self.current_lost(closed, now, context),
            None => {}
        }
    }

    /// The link that should have taken over is gone; a draining node leaves time for another try.
    fn next_failed(&mut self, closed: &Closed<'_>, now: Instant, context: &mut Context) {
        (self.links.next, self.abandon_at) = (None, None);
        let action = close_action(closed.code);
        if action == CloseAction::Token {
            self.tokens.drop_newest();
        }
        if self.moving == Some(MoveReason::Drain) && action != CloseAction::Stop {
            self.hand_over_after_backoff(now, context);
        } else {
            self.moving = None;
        }
    }

    fn current_lost(&mut self, closed: &Closed<'_>, now: Instant, context: &mut Context) {
        let Some(lost) = self.links.current.take() else { return };
        (self.wanted, self.handover_at) = (None, None);
        let since = self.welcomed_at.map(|at| now.saturating_duration_since(at));
        if lost.is_open() && since.is_some_and(|lived| lived > STABLE_AFTER) {
            self.attempt = 0;
        }
        match self.links.next.take() {
            Some(next) => self.inherit(next, now, context),
            None => self.follow_up(&lost, closed, now, context),
        }
    }

    /// The old link went before the new one was promoted.
    fn inherit(&mut self, next: Link, now: Instant, context: &mut Context) {
        let is_open = next.is_open();
        self.links.current = Some(next);
        if is_open {
            self.take_current(now, context);
        } else {
            self.stop_moving();
            context.emit(Effect::State(State::Connecting));
        }
    }

    fn follow_up(&mut self, lost: &Link, closed: &Closed<'_>, now: Instant, context: &mut Context) {
        self.stop_moving();
        let replaced = closed.code == CloseCode::Replaced.number();
        let action = if lost.mark_replaced && replaced {
            CloseAction::Resume
        } else {
            close_action(closed.code)
        };
        let (code, message) = (closed.code, lost.complaint.as_deref().unwrap_or(closed.message));
        let message = message.to_owned();
        match action {
            CloseAction::Token if self.tokens.refused() => {}
            CloseAction::Resume => {}
            CloseAction::Token | CloseAction::Stop => {
                return self.stop(Stop::Code { code, message }, context);
            }
        }
        self.wait(Loss::Closed { code, message }, closed.retry_after, now, context);
    }

    fn wait(
        &mut self,
        because: Loss,
        at_least: Option<Duration>,
        now: Instant,
        context: &mut Context,
    ) {
        let retry_in = self.backoff(context) + at_least.unwrap_or_default();
        self.connect_at = Some(now + retry_in);
        context.emit(Effect::State(State::Waiting { retry_in, because }));
    }

    fn backoff(&mut self, context: &mut Context) -> Duration {
        let wait = backoff(self.attempt, &mut context.rng);
        self.attempt = self.attempt.saturating_add(1);
        wait
    }

    /// Closes every link and stays closed.
    pub(super) fn stop(&mut self, stop: Stop, context: &mut Context) {
        for link in [self.links.current.take(), self.links.next.take()].into_iter().flatten() {
            context.lost(link.id);
            close(&link, 1000, context);
        }
        self.stop_moving();
        (self.wanted, self.connect_at, self.tokens.renew_at) = (None, None, None);
        self.stopped = Some(stop.clone());
        context.emit(Effect::State(State::Stopped(stop)));
    }

    /// Closes a link that is of no use to a member. Returns whether there was one.
    pub(super) fn abandon(&mut self, id: LinkId, context: &mut Context) -> bool {
        let links = [&self.links.next, &self.links.current];
        let link = links.into_iter().flatten().find(|link| link.id == id);
        link.map(|link| close(link, 1000, context)).is_some()
    }
}

/// Takes an alarm if it is due; tells whether it was.
pub(super) fn take_due(alarm: &mut Option<Instant>, now: Instant) -> bool {
    let due = alarm.is_some_and(|at| now >= at);
    if due {
        *alarm = None;
    }
    due
}
