//! One membership: the link it is on, the link it has asked to join on, and how far it has read in the room's log.
//!
//! During a handover two links are open. The old one carries the room until its membership ends at the very entry of the
//! new join; what the new one repeats of that is dropped. If the new link fails after the member has moved, it joins once
//! more on whatever link is open.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use signal_protocol::client::RequestId;
use signal_protocol::{ErrorCode, LeftReason, Recovery, RoomId, Seq};
use tokio::time::Instant;

use super::backoff::between;
use super::connection::{Connection, take_due};
use super::context::{Context, Purpose};
use super::effect::{Effect, LinkId, MemberId, Ticket};
use super::event::{LeftBecause, Payload, Refusal, RoomEvent, SendError};
use super::frame::{Joined, PeerFrame, Request};
use super::log_position::LogPosition;
use super::outgoing::{Body, Failure, Outgoing};

/// A join that failed for a passing reason is repeated after so many ms, unless the node names a time.
const JOIN_AGAIN_AFTER: (u64, u64) = (1_000, 3_000);
/// Messages that may wait to be settled: many times what a call needs, far below what a process would feel.
pub(super) const MOST_HELD: usize = 4_096;
/// Bytes of `"mid":…,` in a frame, at most.
const ROOM_FOR_MID: usize = 24;

/// Draws keys of members: 128 random bits as 22 characters of base64url.
pub type KeySource = Box<dyn FnMut(MemberId) -> String + Send>;

pub(super) struct Membership {
    pub(super) id: MemberId,
    pub(super) room: RoomId,
    key: String,
    /// Counts the joins with this key.
    tries: u64,
    /// The `try` of the newest join on each link.
    tries_on: BTreeMap<LinkId, u64>,
    /// The `try` on that link before the newest join.
    tried_before: Option<u64>,
    /// The link that the member is joined on.
    pub(super) link: Option<LinkId>,
    /// The newest link that a join was sent on, while it may have the member or get it.
    asked: Option<LinkId>,
    /// The newest join: an earlier membership of the room on the same link is answered too.
    asked_as: Option<RequestId>,
    /// The link that has said last that the member is on it already, although it was not told so.
    taken: Option<LinkId>,
    /// Links on which the member is, or was, and some of whose entries were not listened to: what such a link tells next does
    /// not follow the position.
    missed: BTreeSet<LinkId>,
    position: LogPosition,
    rejoin_at: Option<Instant>,
    meta: Option<Payload>,
    pub(super) outgoing: Outgoing<Ticket>,
    /// Whether it was in the room, so that it is away while it has no link.
    was_in: bool,
    /// It has ended; nothing of it goes on.
    pub(super) is_over: bool,
}

impl Membership {
    pub(super) fn new(id: MemberId, room: RoomId, meta: Option<Payload>, key: String) -> Self {
        let window = usize::try_from(signal_protocol::limits::UNACKED).unwrap_or(usize::MAX);
        Self {
            id,
            room,
            key,
            tries: 0,
            tries_on: BTreeMap::new(),
            tried_before: None,
            taken: None,
            missed: BTreeSet::new(),
            link: None,
            asked: None,
            asked_as: None,
            position: LogPosition::default(),
            rejoin_at: None,
            meta,
            outgoing: Outgoing::new(window),
            was_in: false,
            is_over: false,
        }
    }

    pub(super) fn emit(&self, event: RoomEvent, context: &mut Context) {
        context.emit(Effect::Room { member: self.id, event });
    }

    /// Joins, or comes back, on a link that is open.
    pub(super) fn join(&mut self, link: LinkId, context: &mut Context) {
        (self.asked, self.rejoin_at) = (Some(link), None);
        self.tries += 1;
        self.tried_before = self.tries_on.insert(link, self.tries);
        let seq = self.position.seq();
        let id = context.request(link, Purpose::Join(self.id), |id| Request::Join {
            id,
            room: &self.room,
            key: &self.key,
            attempt: self.tries,
            seq,
            mid: seq.map(|_| self.outgoing.settled()),
            meta: self.meta.as_ref(),
        });
        self.asked_as = Some(id);
    }

    /// Joins on the newest open link, unless the member is on an open link or on its way to one.
    pub(super) fn settle(&mut self, connection: &Connection, context: &mut Context) {
        let links = &connection.links;
        let newest = links.successor().or(links.open());
        let is_open = |link: Option<LinkId>| link.is_some_and(|link| links.is_open(link));
        if let Some(newest) = newest
            && !is_open(self.link)
            && !is_open(self.asked)
        {
            self.join(newest, context);
        }
    }

    /// The link is gone; the membership goes on elsewhere, now or later.
    pub(super) fn lost(&mut self, link: LinkId, connection: &Connection, context: &mut Context) {
        self.tries_on.remove(&link);
        self.missed.remove(&link);
        if self.asked == Some(link) {
            (self.asked, self.rejoin_at) = (None, None);
        }
        if self.link == Some(link) {
            self.unlink();
        }
        self.settle(connection, context);
        if self.was_in && self.link.is_none() && self.asked.is_none() {
            self.was_in = false;
            self.emit(RoomEvent::Away, context);
        }
    }

    fn unlink(&mut self) {
        self.link = None;
        self.outgoing.suspend();
    }

    /// The member was removed while its link lived: it joins anew under another key.
    pub(super) fn start_over(
        &mut self,
        key: String,
        connection: &Connection,
        context: &mut Context,
    ) {
        self.unlink();
        (self.asked, self.rejoin_at) = (None, None);
        self.position = LogPosition::default();
        (self.key, self.tries, self.was_in) = (key, 0, false);
        self.give_up(context);
        self.outgoing.suspend();
        self.emit(RoomEvent::Expired, context);
        self.settle(connection, context);
    }

    pub(super) fn end(&mut self, because: LeftBecause, context: &mut Context) {
        self.is_over = true;
        self.give_up(context);
        self.emit(RoomEvent::Left(because), context);
    }

    fn give_up(&mut self, context: &mut Context) {
        let given_up = self.outgoing.restart();
        context.settle_all(given_up, &Err(SendError::Ended));
    }

    /// Whether the member is, or asked to be, on this link.
    pub(super) fn is_on(&self, link: LinkId) -> bool {
        self.link == Some(link) || self.asked == Some(link)
    }

    /// Whether an entry that a link tells is for this membership. Before its first `joined`, what comes is for an earlier
    /// one in the same room.
    pub(super) fn listens_to(&mut self, link: LinkId) -> bool {
        let is_whole = self.position.seq().is_some() && !self.missed.contains(&link);
        let listens = self.link == Some(link) || (self.asked == Some(link) && is_whole);
        if !listens {
            self.missed.insert(link);
        }
        listens
    }

    /// Whether an entry is to be applied: both links of a handover may tell it.
    pub(super) fn is_news(&mut self, seq: Seq) -> bool {
        self.position.is_news(seq)
    }

    /// Whether a reset is to be applied.
    pub(super) fn rewinds(&mut self, seq: Seq, link: LinkId) -> bool {
        self.position.rewinds(seq, self.link != Some(link))
    }

    /// The join took effect. Returns the link if it is of no use, since a part of the replay was not listened to, or since the
    /// snapshot is too old.
    pub(super) fn joined(
        &mut self,
        frame: Joined<'_>,
        link: LinkId,
        context: &mut Context,
    ) -> Option<LinkId> {
        if self.asked != Some(link) {
            self.missed.insert(link);
            return None;
        }
        if frame.id != self.asked_as {
            return None;
        }
        let is_partial = self.missed.remove(&link) && frame.recovery == Recovery::Replay;
        if is_partial || self.position.is_stale(frame.recovery, frame.seq) {
            return Some(link);
        }
        (self.link, self.was_in) = (Some(link), true);
        self.position.joined(frame.recovery, frame.seq);
        if frame.recovery == Recovery::New {
            self.give_up(context);
        } else {
            self.settle_lost_refusals(&frame, context);
            self.resume(frame.mid.0, context);
        }
        let members = frame.peers.map(|peers| peers.iter().map(PeerFrame::member).collect());
        let (seq, recovery, me) = (frame.seq, frame.recovery, frame.me);
        self.emit(RoomEvent::Joined { seq, recovery, me, members }, context);
        None
    }

    /// The `error` of these may have been lost with a socket; without it they would count as delivered.
    fn settle_lost_refusals(&mut self, frame: &Joined<'_>, context: &mut Context) {
        for refused in &frame.refused {
            if let Some(ticket) = self.outgoing.refuse(refused.mid) {
                let (code, message) = (refused.code.to_string(), refused.message.to_string());
                context.settle(ticket, Err(Refusal { code, message, after: None }.into()));
            }
        }
    }

    pub(super) fn resume(&mut self, mid: u64, context: &mut Context) {
        let settled = self.outgoing.resume(mid);
        context.settle_all(settled, &Ok(()));
    }

    /// The membership that the link carried is over: it tells nothing more of it.
    pub(super) fn ended_on(&mut self, link: LinkId) {
        self.missed.remove(&link);
    }

    /// Handles `left`. If this client has asked elsewhere since, the answer to that counts.
    pub(super) fn left(
        &mut self,
        reason: LeftReason,
        link: LinkId,
        connection: &mut Connection,
        context: &mut Context,
    ) -> bool {
        let tried = self.tries_on.get(&link).copied().unwrap_or_default();
        match reason {
            LeftReason::Kicked => self.end(LeftBecause::Kicked, context),
            LeftReason::Replaced | LeftReason::Expired if tried < self.tries => {
                connection.links.mark_replaced(link);
                if self.link == Some(link) {
                    self.unlink();
                    self.settle(connection, context);
                }
            }
            LeftReason::Expired => return true,
            LeftReason::Replaced => self.end(LeftBecause::Replaced, context),
        }
        false
    }

    /// The join was refused: later again, elsewhere, or never. Returns a link that is of no use.
    pub(super) fn refused(
        &mut self,
        refusal: Refusal,
        retry: bool,
        link: LinkId,
        now: Instant,
        connection: &Connection,
        context: &mut Context,
    ) -> Option<LinkId> {
        if self.asked != Some(link) {
            return None;
        }
        let holds = self.link.filter(|held| *held != link && connection.links.is_open(*held));
        if holds.is_some() {
            // The link in use still works.
            self.asked = None;
            return Some(link);
        }
        // A link that the member has moved away from says `already_joined` until the room's log has told it so. One that says
        // so again answered a join whose `joined` was not waited for any more: the member is taken back over a new link.
        let is_taken = refusal.code == ErrorCode::AlreadyJoined.name();
        let was_taken = std::mem::replace(&mut self.taken, is_taken.then_some(link));
        if is_taken {
            // The link did not take this join. What it says next is about an earlier one.
            self.tries_on.insert(link, self.tried_before.unwrap_or_default());
        }
        if is_taken && was_taken == Some(link) {
            return Some(link);
        }
        if !is_taken {
            self.missed.remove(&link);
        }
        if !retry && !is_taken {
            self.end(LeftBecause::Refused(refusal), context);
            return None;
        }
        let drawn = between(JOIN_AGAIN_AFTER, &mut context.rng);
        self.rejoin_at = Some(now + refusal.after.unwrap_or(drawn));
        self.emit(RoomEvent::Delayed(refusal), context);
        None
    }

    /// An error about one of the messages. One that another link has taken over, or will, is sent again there.
    pub(super) fn failed(
        &mut self,
        failure: Failure,
        refusal: Refusal,
        link: LinkId,
        now: Instant,
        context: &mut Context,
    ) {
        let is_elsewhere = failure.retry && self.link != Some(link);
        if refusal.code == ErrorCode::NotJoined.name() || is_elsewhere {
            return;
        }
        if let Some(ticket) = self.outgoing.fail(failure, now) {
            context.settle(ticket, Err(refusal.into()));
        }
    }

    /// Accepts a message, unless it is too large or too much waits: the node would close the connection for good because
    /// of the one, and what waits for a lost connection must end somewhere.
    pub(super) fn push(
        &mut self,
        ticket: Ticket,
        body: Body,
        connection: &Connection,
        context: &mut Context,
    ) {
        match self.rejection(&body, connection) {
            Some(error) => context.settle(ticket, Err(error)),
            None => self.outgoing.push(ticket, body),
        }
    }

    fn rejection(&self, body: &Body, connection: &Connection) -> Option<SendError> {
        if self.outgoing.len() >= MOST_HELD {
            return Some(SendError::Full(MOST_HELD));
        }
        let most = connection.links.largest_frame(self.link);
        let bytes = body.frame(0).len() + ROOM_FOR_MID;
        (bytes > most).then_some(SendError::TooLarge { bytes, most })
    }

    pub(super) fn set_meta(&mut self, meta: Payload) {
        self.meta = Some(meta);
    }

    /// Sends nothing for as long as the node asks.
    pub(super) fn slow_down(&mut self, now: Instant, after: Option<Duration>) {
        self.outgoing.pause_until(now + after.unwrap_or(super::outgoing::FIRST_PAUSE));
    }

    /// The link over which the node learns that the member leaves.
    pub(super) fn leaves_over(&self) -> Option<LinkId> {
        self.link.or(self.asked)
    }

    /// Repeats a join, if that is due.
    pub(super) fn tick(&mut self, now: Instant, connection: &Connection, context: &mut Context) {
        if take_due(&mut self.rejoin_at, now)
            && let Some(link) = self.asked.filter(|link| connection.links.is_open(*link))
        {
            self.join(link, context);
        }
    }

    /// Sends what is due.
    pub(super) fn flush(&mut self, now: Instant, context: &mut Context) {
        let Some(link) = self.link else { return };
        for text in self.outgoing.due(now) {
            context.emit(Effect::Send { link, text });
        }
    }

    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let due = self.link.and_then(|_| self.outgoing.wake_at(now));
        [due, self.rejoin_at].into_iter().flatten().min()
    }
}
