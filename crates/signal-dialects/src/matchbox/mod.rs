//! matchbox: a client is in one room, and offers to everyone who comes after it.
//!
//! A client has two rooms of ours: the one that it names, whose entries tell who comes and goes, and one of its own, into which the
//! others post their signals. It is told its UUID at once, and of nobody who was there before.

mod message;
mod roster;

use std::time::{Duration, Instant};

use signal_protocol::{CloseCode, PeerKey, RoomId, RoomTag};
use uuid::Uuid;

use self::message::{Event, Request};
use self::roster::{Change, Roster};
use crate::dialect::{
    Dialect, DialectEffect, DialectName, DrainTime, Effects, IgnoredReason, PostOutcome,
    RETRY_AFTER, RoomJoin,
};
use crate::frame::Frame;
use crate::posts::{PostQueues, WhenGone};

/// The longest name of a room, in bytes.
const NAME_BYTES: usize = 1_024;

/// How long a room is asked for while the log does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// One connection of matchbox.
#[derive(Debug)]
pub struct Matchbox {
    key: PeerKey,
    id: Uuid,
    name: String,
    /// Its own room, and the one that it names, which it joins in this order.
    rooms: [Membership; 2],
    roster: Roster,
    posts: PostQueues,
    requests: u64,
}

/// A room of a client.
#[derive(Debug)]
struct Membership {
    room: RoomId,
    state: State,
}

/// How far the membership is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is not asked for yet.
    Absent,
    /// The join with this id is not answered; until when it is repeated, if it failed before.
    Joining(u64, Option<Instant>),
    /// The join is repeated at the first moment, until the second one.
    Waiting(Instant, Instant),
    Joined,
}

/// The place of the client's own room.
const OWN: usize = 0;
/// The place of the room that it names.
const NAMED: usize = 1;

impl Matchbox {
    /// Takes the key that was drawn for the client, and the name of its room.
    #[must_use]
    pub fn new(key: PeerKey, name: &str) -> Self {
        let id = roster::uuid_of(key.peer().as_str()).unwrap_or_default();
        let absent = |room| Membership { room, state: State::Absent };
        Self {
            rooms: [absent(own_room(id)), absent(RoomId::of_dialect(RoomTag::Matchbox, name))],
            key,
            id,
            name: name.to_owned(),
            roster: Roster::default(),
            posts: PostQueues::default(),
            requests: 0,
        }
    }

    fn join(&mut self, at: usize, until: Option<Instant>, effects: &mut Effects) {
        self.requests += 1;
        let (id, name, key) = (self.requests, self.name.clone(), Some(self.key.clone()));
        self.rooms[at].state = State::Joining(id, until);
        let room = self.rooms[at].room.clone();
        effects.push(DialectEffect::Join(RoomJoin { room, name, key, id }));
    }

    /// Finds the room whose join has this id.
    fn joining(&self, id: Option<u64>) -> Option<usize> {
        let is_asked =
            |of: &Membership| matches!(of.state, State::Joining(asked, _) if Some(asked) == id);
        self.rooms.iter().position(is_asked)
    }

    fn joined(&mut self, at: usize, effects: &mut Effects) {
        self.rooms[at].state = State::Joined;
        if self.rooms[NAMED].state == State::Absent {
            self.join(NAMED, None, effects);
        }
    }

    /// Applies that a join was refused. matchbox has no word for it: the connection ends, and its client tries again.
    fn refused(&mut self, at: usize, code: &str, now: Instant, effects: &mut Effects) {
        let State::Joining(_, until) = self.rooms[at].state else { return };
        let until = until.unwrap_or(now + PATIENCE);
        let code = match code {
            "unavailable" if now < until => {
                self.rooms[at].state = State::Waiting(now + RETRY_AFTER, until);
                return;
            }
            "unavailable" | "internal" | "room_full" => CloseCode::Unavailable,
            "limit_exceeded" | "rate_limited" => CloseCode::RateLimit,
            _ => CloseCode::Unauthorized,
        };
        effects.push(DialectEffect::Close(code));
    }

    /// Joins again: the room has ended the membership.
    fn lost(&mut self, room: &str, effects: &mut Effects) {
        let is_held = |of: &Membership| of.room.as_str() == room && of.state == State::Joined;
        if let Some(at) = self.rooms.iter().position(is_held) {
            self.join(at, None, effects);
        }
    }

    fn tell(changes: impl IntoIterator<Item = Change>, effects: &mut Effects) {
        let told = changes.into_iter().map(|change| match change {
            Change::Came(id) => Event::NewPeer(id),
            Change::Left(id) => Event::PeerLeft(id),
        });
        effects.extend(told.map(|event| DialectEffect::Send(event.to_json())));
    }

    fn signal(&mut self, receiver: &str, data: Event<'_>, now: Instant, effects: &mut Effects) {
        let Ok(receiver) = Uuid::try_parse(receiver) else {
            return effects.push(DialectEffect::Ignore(IgnoredReason::NoReceiver));
        };
        if let Some(data) = data.to_raw() {
            let room = own_room(receiver);
            self.posts.push((&room, &self.name), data, WhenGone::Drop, (now, effects));
        }
    }

    fn named(&self) -> &str {
        self.rooms[NAMED].room.as_str()
    }
}

/// The room of one client, into which others post.
fn own_room(id: Uuid) -> RoomId {
    RoomId::of_dialect(RoomTag::MatchboxPeer, &id.to_string())
}

impl Dialect for Matchbox {
    fn name(&self) -> DialectName {
        DialectName::Matchbox
    }

    fn start(&mut self, _now: Instant, effects: &mut Effects) {
        if self.name.len() > NAME_BYTES {
            return effects.push(DialectEffect::Close(CloseCode::ProtocolError));
        }
        effects.push(DialectEffect::Send(Event::IdAssigned(self.id).to_json()));
        self.join(OWN, None, effects);
    }

    fn on_text(&mut self, text: &str, now: Instant, effects: &mut Effects) {
        match serde_json::from_str(text) {
            Ok(Request::KeepAlive) => {}
            Ok(Request::Signal { receiver, data }) => {
                let signal = Event::Signal { sender: self.id, data };
                self.signal(&receiver, signal, now, effects);
            }
            Err(_) => effects.push(DialectEffect::Ignore(IgnoredReason::Malformed)),
        }
    }

    fn on_frame(&mut self, frame: &str, now: Instant, effects: &mut Effects) {
        match Frame::read(frame) {
            Frame::Joined { id, n, peers } => {
                let Some(at) = self.joining(id) else { return };
                if at == NAMED {
                    Self::tell(self.roster.joined(n, &peers, now), effects);
                }
                self.joined(at, effects);
            }
            Frame::Refused { id, code, .. } => {
                if let Some(at) = self.joining(id) {
                    self.refused(at, &code, now, effects);
                }
            }
            Frame::Left { room } => self.lost(&room, effects),
            Frame::Posted { room, data } if *room == *self.rooms[OWN].room.as_str() => {
                effects.push(DialectEffect::Send(data.get().to_owned()));
            }
            Frame::PeerJoined { room, peer } if *room == *self.named() => {
                Self::tell(self.roster.came(&peer), effects);
            }
            Frame::PeerLeft { room, peer } if *room == *self.named() => {
                Self::tell(self.roster.left(&peer), effects);
            }
            Frame::Reset { room, peers } if *room == *self.named() => {
                Self::tell(self.roster.compare(&peers, now), effects);
            }
            Frame::Done { .. }
            | Frame::Posted { .. }
            | Frame::PeerJoined { .. }
            | Frame::PeerLeft { .. }
            | Frame::Reset { .. }
            | Frame::Other => {}
        }
    }

    fn on_posted(
        &mut self,
        room: &RoomId,
        outcome: PostOutcome,
        now: Instant,
        effects: &mut Effects,
    ) {
        // A signal for somebody who is gone is dropped, as by the original server.
        let _absent = self.posts.answered(room, outcome, now, effects);
    }

    fn on_lost(&mut self, room: &RoomId, _now: Instant, effects: &mut Effects) {
        self.lost(room.as_str(), effects);
    }

    fn next_tick(&self) -> Option<Instant> {
        let retries = self.rooms.iter().filter_map(|of| match of.state {
            State::Waiting(at, _) => Some(at),
            State::Absent | State::Joining(..) | State::Joined => None,
        });
        retries.chain(self.posts.next_retry()).chain(self.roster.next_end()).min()
    }

    fn tick(&mut self, now: Instant, effects: &mut Effects) {
        self.posts.tick(now, effects);
        Self::tell(self.roster.end_missing(now), effects);
        for at in [OWN, NAMED] {
            if let State::Waiting(due, until) = self.rooms[at].state
                && due <= now
            {
                self.join(at, Some(until), effects);
            }
        }
    }

    /// The end of its connection ends the game of a client.
    fn drain_time(&self) -> DrainTime {
        DrainTime::Deadline
    }
}
