//! matchbox: a client is in one room, and offers to everyone who comes after it.
//!
//! A client has two rooms of ours: the one that it names, whose entries tell who comes and goes, and one of its own, into which the
//! others post their signals. It is told its UUID once it is in both, and of nobody who was there before.
//!
//! A client that asks for groups (`?next=N`) joins the group of the room that is open. The Nth member locks it for good, and whoever
//! finds it locked advances the number of the open group, which lies in a room that nobody joins.

mod message;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signal_protocol::{CloseCode, PeerKey, RoomId, RoomTag};
use uuid::Uuid;

use self::message::{Event, Request};
use crate::dialect::{
    Dialect, DialectEffect, DialectName, DrainTime, Effects, IgnoredReason, PostOutcome,
    RETRY_AFTER, RoomJoin,
};
use crate::frame::{Frame, Line};
use crate::posts::{PostQueues, WhenGone};
use crate::roster::{Change, Roster};

/// The most members of a group.
const GROUP: u32 = 256;

/// Signals that may come before the answer of the second room.
const EARLY: usize = 256;

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
    group: Option<Group>,
    /// Its own room, and the one that it names, which it joins in this order.
    rooms: [Membership; 2],
    roster: Roster,
    posts: PostQueues,
    requests: u64,
    /// Signals that came before the client was told its UUID, which has to be its first frame.
    early: Vec<String>,
}

/// The group of a room that a client is in, or asks for.
#[derive(Debug)]
struct Group {
    size: u32,
    /// Holds the number of the group that is open.
    counter: RoomId,
    /// The group that is asked for; 0 before its number is known.
    number: u64,
    is_asking: bool,
    /// When the number is asked for again, and until when.
    retry: Option<Instant>,
    until: Option<Instant>,
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
    /// Takes the key that was drawn for the client, the name of its room, and the size of its groups, if it asks for some.
    #[must_use]
    pub fn new(key: PeerKey, name: &str, next: Option<u32>) -> Self {
        let id = uuid_of(key.peer().as_str()).unwrap_or_default();
        let absent = |room| Membership { room, state: State::Absent };
        let group = next.filter(|size| *size > 0).map(|size| Group::new(size, name));
        Self {
            rooms: [absent(own_room(id)), absent(room_of(&format!("room/{name}")))],
            key,
            id,
            name: name.to_owned(),
            group,
            roster: Roster::default(),
            posts: PostQueues::default(),
            requests: 0,
            early: Vec::new(),
        }
    }

    fn join(&mut self, at: usize, until: Option<Instant>, effects: &mut Effects) {
        self.requests += 1;
        let (id, name, key) = (self.requests, self.name.clone(), Some(self.key.clone()));
        self.rooms[at].state = State::Joining(id, until);
        let room = self.rooms[at].room.clone();
        let seats = self.group.as_ref().filter(|_| at == NAMED).map(|group| group.size);
        effects.push(DialectEffect::Join(RoomJoin { seats, ..RoomJoin::new(room, name, key, id) }));
    }

    /// Finds the room whose join has this id.
    fn joining(&self, id: Option<u64>) -> Option<usize> {
        let is_asked =
            |of: &Membership| matches!(of.state, State::Joining(asked, _) if Some(asked) == id);
        self.rooms.iter().position(is_asked)
    }

    fn joined(&mut self, at: usize, effects: &mut Effects) {
        self.rooms[at].state = State::Joined;
        if self.rooms[NAMED].state != State::Absent {
            return;
        }
        match &mut self.group {
            Some(group) => group.ask(effects),
            None => self.join(NAMED, None, effects),
        }
    }

    /// Applies that the client is in the room that it names, or is again.
    fn entered(&mut self, n: u64, peers: &[Line<'_>], now: Instant, effects: &mut Effects) {
        if self.roster.has_joined() {
            return Self::tell(self.roster.compare_again(n, peers, now), effects);
        }
        self.roster.begin(n, peers);
        effects.push(DialectEffect::Send(Event::IdAssigned(self.id).to_json()));
        effects.extend(self.early.drain(..).map(DialectEffect::Send));
    }

    /// Applies that another client has sent a signal.
    fn posted(&mut self, text: String, effects: &mut Effects) {
        if self.roster.has_joined() {
            effects.push(DialectEffect::Send(text));
        } else if self.early.len() < EARLY {
            self.early.push(text);
        } else {
            effects.push(DialectEffect::Ignore(IgnoredReason::Limit));
        }
    }

    /// Applies that a join was refused. matchbox has no word for it: the connection ends, and its client tries again.
    fn refused(&mut self, at: usize, code: &str, now: Instant, effects: &mut Effects) {
        let State::Joining(_, until) = self.rooms[at].state else { return };
        if let ("room_full" | "room_locked", NAMED, Some(group)) = (code, at, &mut self.group)
            && !self.roster.has_joined()
        {
            self.rooms[at].state = State::Absent;
            return group.ask(effects);
        }
        let until = until.unwrap_or(now + PATIENCE);
        let code = match code {
            "unavailable" if now < until => {
                self.rooms[at].state = State::Waiting(now + RETRY_AFTER, until);
                return;
            }
            "unavailable" | "internal" | "room_full" | "room_locked" => CloseCode::Unavailable,
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
        let told = changes.into_iter().filter_map(|change| {
            Some(match change {
                Change::Came(peer) => Event::NewPeer(uuid_of(&peer)?),
                Change::Left(peer) => Event::PeerLeft(uuid_of(&peer)?),
            })
        });
        effects.extend(told.map(|event| DialectEffect::Send(event.to_json())));
    }

    fn signal(&mut self, receiver: &str, data: &Event<'_>, now: Instant, effects: &mut Effects) {
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

impl Group {
    fn new(size: u32, name: &str) -> Self {
        let counter = room_of(&format!("groups/{size}/{name}"));
        Self { size, counter, number: 0, is_asking: false, retry: None, until: None }
    }

    /// Asks for the number of the group that is open: not of the one that was found locked.
    fn ask(&mut self, effects: &mut Effects) {
        self.is_asking = true;
        self.retry = None;
        let (room, from) = (self.counter.clone(), self.number);
        effects.push(DialectEffect::Advance { room, from });
    }

    /// Waits until the number is asked for again; `false`: that was tried for long enough.
    fn waits(&mut self, now: Instant) -> bool {
        let until = *self.until.get_or_insert(now + PATIENCE);
        self.retry = Some(now + RETRY_AFTER);
        now < until
    }

    fn is_due(&self, now: Instant) -> bool {
        self.retry.is_some_and(|at| at <= now)
    }
}

/// A room of the dialect by a name that tells what it is for.
fn room_of(name: &str) -> RoomId {
    RoomId::of_dialect(RoomTag::Matchbox, name)
}

/// Writes the 128 bits of a peer id as a UUID.
fn uuid_of(peer: &str) -> Option<Uuid> {
    let bits = URL_SAFE_NO_PAD.decode(peer.strip_prefix("p_")?).ok()?;
    Some(Uuid::from_bytes(bits.try_into().ok()?))
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
        let is_too_large = self.group.as_ref().is_some_and(|group| group.size > GROUP);
        if self.name.len() > NAME_BYTES || is_too_large {
            return effects.push(DialectEffect::Close(CloseCode::ProtocolError));
        }
        self.join(OWN, None, effects);
    }

    fn on_text(&mut self, text: &str, now: Instant, effects: &mut Effects) {
        match serde_json::from_str(text) {
            Ok(Request::KeepAlive) => {}
            Ok(Request::Signal { receiver, data }) => {
                let signal = Event::Signal { sender: self.id, data };
                self.signal(&receiver, &signal, now, effects);
            }
            Err(_) => effects.push(DialectEffect::Ignore(IgnoredReason::Malformed)),
        }
    }

    fn on_frame(&mut self, frame: &str, now: Instant, effects: &mut Effects) {
        match Frame::read(frame) {
            Frame::Joined { id, n, peers, .. } => {
                let Some(at) = self.joining(id) else { return };
                if at == NAMED {
                    self.entered(n, &peers, now, effects);
                }
                self.joined(at, effects);
            }
            Frame::Refused { id, code, .. } => {
                if let Some(at) = self.joining(id) {
                    self.refused(at, &code, now, effects);
                }
            }
            Frame::Left { room } => self.lost(&room, effects),
            Frame::Posted { room, data, .. } if *room == *self.rooms[OWN].room.as_str() => {
                self.posted(data.get().to_owned(), effects);
            }
            Frame::PeerJoined { room, peer, .. } if *room == *self.named() => {
                Self::tell(self.roster.came(&peer.id), effects);
            }
            Frame::PeerLeft { room, peer, .. } if *room == *self.named() => {
                Self::tell(self.roster.left(&peer), effects);
            }
            Frame::Reset { room, peers, .. } if *room == *self.named() => {
                Self::tell(self.roster.compare(&peers, now), effects);
            }
            Frame::Welcome
            | Frame::Done { .. }
            | Frame::Settled { .. }
            | Frame::SignalRefused { .. }
            | Frame::PeerUpdated { .. }
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

    fn on_number(&mut self, number: Option<u64>, now: Instant, effects: &mut Effects) {
        let Some(group) = self.group.as_mut().filter(|group| group.is_asking) else { return };
        group.is_asking = false;
        let Some(number) = number else {
            if !group.waits(now) {
                effects.push(DialectEffect::Close(CloseCode::Unavailable));
            }
            return;
        };
        (group.number, group.until) = (number, None);
        self.rooms[NAMED].room = room_of(&format!("group/{number}/{}/{}", group.size, self.name));
        self.join(NAMED, None, effects);
    }

    fn on_lost(&mut self, room: &RoomId, _now: Instant, effects: &mut Effects) {
        self.lost(room.as_str(), effects);
    }

    fn next_tick(&self) -> Option<Instant> {
        let retries = self.rooms.iter().filter_map(|of| match of.state {
            State::Waiting(at, _) => Some(at),
            State::Absent | State::Joining(..) | State::Joined => None,
        });
        let retries = retries.chain(self.group.as_ref().and_then(|group| group.retry));
        retries.chain(self.posts.next_retry()).chain(self.roster.next_end()).min()
    }

    fn tick(&mut self, now: Instant, effects: &mut Effects) {
        self.posts.tick(now, effects);
        Self::tell(self.roster.end_missing(now), effects);
        if let Some(group) = self.group.as_mut().filter(|group| group.is_due(now)) {
            group.ask(effects);
        }
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
