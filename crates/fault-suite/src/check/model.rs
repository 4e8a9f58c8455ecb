//! A history, put in order for the checks: who was where from when to when, and what became of
//! each signal.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::history::{Event, History, Joined, Peer, Recovery, RunSettings, SUITE, Seen, What};

/// A stretch of a room's log of which a member must have been told everything that concerns it:
/// above `after`, up to and including `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) after: u64,
    pub(super) to: u64,
}

impl Span {
    pub(super) fn contains(self, seq: u64) -> bool {
        self.after < seq && seq <= self.to
    }
}

/// One membership, from a `new` join to its end.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) peer: Peer,
    pub(super) room: u32,
    pub(super) n: u64,
    pub(super) joined_at: u64,
    pub(super) joined_seq: u64,
    /// The roster of its `new` join; nothing if the answer to that was lost with the socket.
    pub(super) roster: Option<Vec<Seen>>,
    /// What of the log it was told without a gap.
    pub(super) spans: Vec<Span>,
    /// When it ended, if it did.
    pub(super) left_at: Option<u64>,
    /// Whether it still held when the run ended.
    pub(super) lasted: bool,
    /// Whether history was lost during it.
    pub(super) reset: bool,
}

impl Membership {
    /// The last place in the log at which it is known to have held.
    pub(super) fn last_seq(&self) -> u64 {
        self.spans.last().map_or(self.joined_seq, |span| span.to)
    }

    /// Whether the whole range was told, so that nothing in it may be missing.
    pub(super) fn covers(&self, first: u64, last: u64) -> bool {
        self.spans.iter().any(|span| span.contains(first) && span.contains(last))
    }
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalOutcome {
    /// Nothing is known: it may have been taken or not.
    Open,
    /// It was acknowledged, at this time.
    Settled(u64),
    /// It was refused for good.
    Refused,
}

#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) from: Peer,
    pub(super) room: u32,
    pub(super) to: Option<Peer>,
    pub(super) at: u64,
    pub(super) fate: SignalOutcome,
    /// Where its sender was in the log: it lies above.
    pub(super) after: u64,
    /// Its place in the log, if anybody was told.
    pub(super) seq: Option<u64>,
    /// It was not settled when history was lost, or its sender was told so: it may be sent twice.
    pub(super) reset: bool,
}

/// A signal that arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) at: u64,
    pub(super) by: Peer,
    pub(super) from: Peer,
    pub(super) number: u32,
    pub(super) seq: u64,
}

/// A history, put in order.
pub(super) struct Model<'a> {
    pub(super) settings: &'a RunSettings,
    pub(super) events: &'a [Event],
    pub(super) memberships: Vec<Membership>,
    /// By client: its signals, number 1 first.
    pub(super) sent: BTreeMap<u32, Vec<Sent>>,
    /// In the order of time.
    pub(super) received: Vec<Received>,
}

impl<'a> Model<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        let mut model = Self {
            settings: &history.settings,
            events: &history.events,
            memberships: Vec::new(),
            sent: BTreeMap::new(),
            received: Vec::new(),
        };
        let mut trackers: HashMap<u32, ClientTracker> = HashMap::new();
        let mut wipes = HashSet::new();
        for event in &history.events {
            if event.who != SUITE {
                trackers.entry(event.who).or_default().follow(event, &mut model);
            } else if is_loss(&event.what, &mut wipes) {
                // The snapshot may be taken during the fault, so until that is over anything may be lost.
                let is_over = matches!(event.what, What::Healed { .. });
                let head = trackers.values().map(|tracker| tracker.position).max();
                let until = if is_over { head.unwrap_or_default() } else { u64::MAX };
                for (who, tracker) in &mut trackers {
                    tracker.lost(model.sent.get_mut(who));
                    tracker.incomplete_until = until;
                }
            }
        }
        for tracker in trackers.into_values() {
            model.memberships.extend(tracker.end());
        }
        model.memberships.sort_by_key(|member| (member.room, member.joined_seq, member.peer));
        model
    }

    /// The memberships of each room, in the order of their joins.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &[Membership]> {
        self.memberships.chunk_by(|one, other| one.room == other.room)
    }

    /// The memberships of each peer; mostly one.
    pub(super) fn by_peer(&self) -> HashMap<Peer, Vec<&Membership>> {
        let mut found: HashMap<Peer, Vec<&Membership>> = HashMap::new();
        for member in &self.memberships {
            found.entry(member.peer).or_default().push(member);
        }
        found
    }
}

/// Whether data is lost here, which takes from the beginning of the fault to its end.
fn is_loss(what: &What, wipes: &mut HashSet<u32>) -> bool {
    match what {
        What::Fault { fault, kind, .. } => kind.loses_data() && wipes.insert(*fault),
        What::Healed { fault } => wipes.contains(fault),
        _ => false,
    }
}

/// Follows one client through the history.
#[derive(Default)]
struct ClientTracker {
    member: Option<Membership>,
    ended: Vec<Membership>,
    position: u64,
    settled: u32,
    /// Whether history was lost, and nothing was heard of what came after it.
    is_incomplete: bool,
    /// How far anybody had heard the log once it was lost: up to here a snapshot may have kept it.
    incomplete_until: u64,
    /// Whether it was in its room when the run ended.
    stayed: bool,
}

impl ClientTracker {
    fn follow(&mut self, event: &Event, model: &mut Model<'_>) {
        match &event.what {
            What::Joined(joined) => self.joined(joined, event.at),
            What::Reset { seq, .. } => self.reset(*seq, model.sent.get_mut(&event.who)),
            What::Sent { to, .. } => self.sent(event, *to, model),
            What::Settled { number } => self.settle(*number, event, model),
            What::Refused { number } => {
                let sent = model.sent.get_mut(&event.who);
                if let Some(sent) = sent.and_then(|sent| sent.get_mut(index(*number))) {
                    sent.fate = SignalOutcome::Refused;
                }
            }
            What::Dropped => {
                let count = model.sent.get(&event.who).map_or(0, Vec::len);
                self.settled = u32::try_from(count).unwrap_or(u32::MAX);
            }
            What::Received { from, number, seq, .. } => {
                self.moved(*seq);
                self.received(event, *from, *number, *seq, model);
            }
            What::Position { seq }
            | What::AnnouncementReceived { seq, .. }
            | What::PeerJoined { seq, .. }
            | What::PeerAway { seq, .. }
            | What::PeerLeft { seq, .. } => self.moved(*seq),
            What::Ended { .. } | What::Stopped { .. } | What::Leaving | What::Vanished => {
                self.close(event.at);
            }
            What::Roster { .. } => self.stayed = true,
            What::Closed { .. }
            | What::Opened { .. }
            | What::Turned { .. }
            | What::Unavailable
            | What::GoAway
            | What::Metas { .. }
            | What::Health { .. }
            | What::EndlessKeys { .. }
            | What::Announcing { .. }
            | What::Announced { .. }
            | What::Kicking { .. }
            | What::Kicked { .. }
            | What::Configuring { .. }
            | What::Configured { .. }
            | What::Fault { .. }
            | What::Healed { .. }
            | What::Attack { .. }
            | What::AttackOver
            | What::Attempt { .. }
            | What::Memory { .. } => {}
        }
    }

    fn joined(&mut self, joined: &Joined, at: u64) {
        let known = self.member.as_ref().is_some_and(|member| member.peer == joined.peer);
        match joined.recovery {
            Recovery::New => self.begin(joined, at),
            Recovery::Snapshot | Recovery::Replay if !known => self.begin(joined, at),
            Recovery::Snapshot => self.interrupt(joined.seq),
            Recovery::Replay => {}
        }
        self.position = joined.seq;
        self.moved(joined.seq);
    }

    fn begin(&mut self, joined: &Joined, at: u64) {
        self.close(at);
        let is_new = joined.recovery == Recovery::New;
        let roster = joined.roster.as_deref().filter(|_| is_new).map(<[Seen]>::to_vec);
        self.member = Some(Membership {
            peer: joined.peer,
            room: joined.room,
            n: joined.n,
            joined_at: at,
            joined_seq: joined.seq,
            roster,
            spans: vec![Span { after: joined.seq, to: joined.seq }],
            left_at: None,
            lasted: true,
            reset: false,
        });
    }

    fn reset(&mut self, seq: u64, sent: Option<&mut Vec<Sent>>) {
        self.lost(sent);
        self.is_incomplete = false;
        self.interrupt(seq);
        self.position = seq;
    }

    /// History was lost, whether the client was told so or not.
    fn lost(&mut self, sent: Option<&mut Vec<Sent>>) {
        self.is_incomplete = true;
        if let Some(member) = &mut self.member {
            member.reset = true;
        }
        for sent in sent.into_iter().flatten().skip(self.settled as usize) {
            sent.reset = true;
        }
    }

    /// Entries between the position and `seq` were not delivered.
    fn interrupt(&mut self, seq: u64) {
        if let Some(member) = &mut self.member {
            member.spans.push(Span { after: seq, to: seq });
        }
    }

    fn moved(&mut self, seq: u64) {
        if self.is_incomplete {
            self.interrupt(seq);
            self.is_incomplete = seq <= self.incomplete_until;
        }
        self.position = self.position.max(seq);
        if let Some(span) = self.member.as_mut().and_then(|member| member.spans.last_mut()) {
            span.to = span.to.max(seq);
        }
    }

    fn sent(&mut self, event: &Event, to: Option<Peer>, model: &mut Model<'_>) {
        let Some(member) = &self.member else { return };
        let (from, room) = (member.peer, member.room);
        let (fate, seq, reset) = (SignalOutcome::Open, None, false);
        let after = self.position;
        let sent = Sent { from, room, to, at: event.at, fate, after, seq, reset };
        model.sent.entry(event.who).or_default().push(sent);
    }

    fn settle(&mut self, number: u32, event: &Event, model: &mut Model<'_>) {
        let sent = model.sent.entry(event.who).or_default().iter_mut();
        let count = number.saturating_sub(self.settled) as usize;
        for sent in sent.skip(self.settled as usize).take(count) {
            if sent.fate == SignalOutcome::Open {
                sent.fate = SignalOutcome::Settled(event.at);
            }
        }
        self.settled = self.settled.max(number);
    }

    fn received(&self, event: &Event, from: Peer, number: u32, seq: u64, model: &mut Model<'_>) {
        let Some(by) = self.member.as_ref().map(|member| member.peer) else { return };
        model.received.push(Received { at: event.at, by, from, number, seq });
        let sent = model.sent.get_mut(&from.client);
        if let Some(sent) = sent.and_then(|sent| sent.get_mut(index(number))) {
            sent.seq.get_or_insert(seq);
        }
    }

    fn close(&mut self, at: u64) {
        if let Some(mut member) = self.member.take() {
            member.lasted = false;
            member.left_at = Some(at);
            self.ended.push(member);
        }
    }

    /// The memberships of the client. One that lasted was to be told everything to the end.
    fn end(mut self) -> Vec<Membership> {
        if let Some(mut member) = self.member.take() {
            member.lasted = self.stayed;
            if let Some(span) = member.spans.last_mut().filter(|_| self.stayed) {
                span.to = u64::MAX;
            }
            self.ended.push(member);
        }
        self.ended
    }
}

/// Where a signal stands among those of its sender.
pub(super) fn index(number: u32) -> usize {
    (number as usize).saturating_sub(1)
}
