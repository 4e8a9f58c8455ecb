//! The room that a client is in: what it has got of it, and what it says there.

use std::time::{Duration, Instant};

use serde_json::json;
use signal_protocol::{CloseCode, RoomId, RoomTag};

use super::client::ClientId;
use super::mark::{Mark, Position};
use super::packet::event_text;
use crate::dialect::{DialectEffect, Effects, RoomSignal};
use crate::frame::{Frame, Line};
use crate::roster::{Change, Roster};
use crate::signals::Signals;

/// How long a position that no event has carried waits until the client is told: the log forgets entries of that age.
const MARK_AFTER: Duration = Duration::from_secs(5);

/// The room that a client is in, or asks for.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) name: String,
    pub(super) room: RoomId,
    pub(super) state: State,
    /// What the client has got.
    pub(super) position: Position,
    /// Events that the client has got already of those that come next.
    known: usize,
    /// Whether the client comes back, and is not connected before the join is answered.
    pub(super) resumes: bool,
    pub(super) roster: Roster,
    pub(super) signals: Signals,
    /// When the position is told by itself.
    pub(super) mark_at: Option<Instant>,
}

/// How far the membership is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A leave is to be answered first.
    Queued,
    /// The join with this id is not answered; until when it is repeated, if it failed before.
    Joining(u64, Option<Instant>),
    /// The join is repeated at the first moment, until the second one.
    Waiting(Instant, Instant),
    Joined,
}

/// An event for the client.
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) args: Vec<String>,
}

impl Event {
    pub(super) fn new(name: &'static str, texts: &[&str]) -> Self {
        Self { name, args: texts.iter().map(|text| json!(text).to_string()).collect() }
    }

    /// A line for the console of the page.
    pub(super) fn log(line: &str) -> Self {
        Self { name: "log", args: vec![json!(["Message from server:", line]).to_string()] }
    }
}

impl Membership {
    pub(super) fn new(mark: Mark, resumes: bool) -> Self {
        let Mark { position, room: name } = mark;
        let (Position::Joining(known) | Position::Entry { events: known, .. }) = position;
        Self {
            room: RoomId::of_dialect(RoomTag::SocketIo, &format!("codelab/{name}")),
            name,
            state: State::Queued,
            position,
            known,
            resumes,
            roster: Roster::default(),
            signals: Signals::default(),
            mark_at: None,
        }
    }

    pub(super) fn mark(&self, position: Position) -> String {
        Mark { position, room: self.name.clone() }.to_string()
    }

    /// Sends the events of one entry. All but the last carry the position before it.
    pub(super) fn send(
        &mut self,
        seq: u64,
        events: &[Event],
        client: &ClientId,
        effects: &mut Effects,
    ) {
        let known = std::mem::take(&mut self.known);
        for (at, Event { name, args }) in events.iter().enumerate().skip(known) {
            let position = match self.position {
                _ if at + 1 == events.len() => Position::Entry { seq, events: 0 },
                Position::Joining(_) => Position::Joining(at + 1),
                Position::Entry { seq, .. } => Position::Entry { seq, events: at + 1 },
            };
            let mark = client.resumes().then(|| self.mark(position));
            effects.push(DialectEffect::Send(event_text(name, args, mark.as_deref())));
        }
        self.position = Position::Entry { seq, events: 0 };
        self.mark_at = None;
    }

    /// Notes an entry of which the client is told nothing.
    pub(super) fn passed(&mut self, seq: u64, now: Instant) {
        self.position = match self.position {
            Position::Entry { seq: before, events } => {
                Position::Entry { seq: seq.max(before), events }
            }
            Position::Joining(_) => Position::Entry { seq, events: 0 },
        };
        self.mark_at = self.mark_at.or(Some(now + MARK_AFTER));
    }

    pub(super) fn send_signals(&mut self, now: Instant, effects: &mut Effects) {
        if self.state != State::Joined {
            return;
        }
        for (mid, data) in self.signals.due(now) {
            let room = self.room.clone();
            effects.push(DialectEffect::Signal(RoomSignal { room, mid, data }));
        }
    }
}

impl Membership {
    /// Applies a frame of the room.
    pub(super) fn on_frame(
        &mut self,
        frame: &Frame<'_>,
        client: &ClientId,
        now: Instant,
        effects: &mut Effects,
    ) {
        match frame {
            Frame::Settled { mid, seq, .. } => {
                self.signals.settle(*mid);
                self.passed(*seq, now);
                self.send_signals(now, effects);
            }
            Frame::PeerJoined { seq, peer, .. } => {
                let came = self.roster.came(&peer.id);
                self.tell(Some(*seq), came, client, effects);
            }
            Frame::PeerLeft { seq, peer, .. } => {
                let left = self.roster.left(peer);
                self.tell(Some(*seq), left, client, effects);
            }
            Frame::PeerUpdated { seq, .. } => self.passed(*seq, now),
            Frame::Posted { seq, data, .. } => {
                let event = Event { name: "message", args: vec![data.get().to_owned()] };
                self.send(*seq, &[event], client, effects);
            }
            Frame::Reset { at, peers, .. } => {
                let changes = self.roster.compare(peers, now);
                self.tell(Some(at.seq), changes, client, effects);
                // The numbers may go back with the log.
                self.position = Position::Entry { seq: at.seq, events: 0 };
                self.signals.open(at.mid);
                self.send_signals(now, effects);
            }
            // The client comes back as another one, and its application asks for the room.
            Frame::Left { .. } => effects.push(DialectEffect::Close(CloseCode::Unavailable)),
            Frame::Welcome
            | Frame::Joined { .. }
            | Frame::Done { .. }
            | Frame::Refused { .. }
            | Frame::SignalRefused { .. }
            | Frame::Other => {}
        }
    }

    /// Sends the events of changes; they belong to the entry `seq`, or to the one before.
    pub(super) fn tell(
        &mut self,
        seq: Option<u64>,
        changes: impl IntoIterator<Item = Change>,
        client: &ClientId,
        effects: &mut Effects,
    ) {
        let events: Vec<Event> = changes
            .into_iter()
            .flat_map(|change| match change {
                // The original has the initiator hear `ready` once more in its last step, and make two connections.
                Change::Came(_) => {
                    vec![Event::new("join", &[&self.name]), Event::new("ready", &[&self.name])]
                }
                Change::Left(_) => vec![Event::new("bye", &[&self.name])],
            })
            .collect();
        let Position::Entry { seq: before, .. } = self.position else { return };
        if !events.is_empty() {
            self.send(seq.unwrap_or(before), &events, client, effects);
        }
    }
}

/// The events of the client's own join. Whoever came after it, before it was told, joined its room.
pub(super) fn own_join(name: &str, sid: &str, n: u64, peers: &[Line<'_>]) -> Vec<Event> {
    let is_first = peers.iter().all(|peer| peer.n > n);
    let before = peers.iter().filter(|peer| peer.n < n).count();
    let mut events = vec![Event::log(&format!("Room {name} now has {before} client(s)"))];
    events.push(Event::new(if is_first { "created" } else { "joined" }, &[name, sid]));
    if is_first && !peers.is_empty() {
        events.push(Event::new("join", &[name]));
    }
    if !peers.is_empty() {
        events.push(Event::new("ready", &[name]));
    }
    events
}
