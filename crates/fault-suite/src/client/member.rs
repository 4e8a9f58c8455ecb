//! One membership: its key, its position in the room's log, its roster, its stream of signals.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use signal_protocol::PeerKey;
use signal_protocol::limits::KEY_CHARS;
use tokio::time::Instant;

use super::context::{Context, Tally};
use super::frame::{self, Frame, PeerView};
use super::outgoing::{Outgoing, Refusal};
use crate::history::{Joined, Log, Peer, Recovery, Seen, What};

/// A membership; its socket is somebody else's concern.
pub(super) struct Member {
    context: Arc<Context>,
    log: Log,
    room: u32,
    peer: Peer,
    key: String,
    tries: u64,
    position: Option<u64>,
    roster: BTreeMap<String, Seen>,
    outgoing: Outgoing,
    /// The number of the last signal, over all lives.
    number: u32,
}

impl Member {
    pub(super) fn new(context: Arc<Context>, log: Log, client: u32, room: u32) -> Self {
        let mut member = Self {
            context,
            log,
            room,
            peer: Peer { client, life: 0 },
            key: String::new(),
            tries: 0,
            position: None,
            roster: BTreeMap::new(),
            outgoing: Outgoing::new(),
            number: 0,
        };
        member.draw_key();
        member
    }

    fn draw_key(&mut self) {
        // Drawn from the seed too: the order of members in a roster follows from their keys.
        let who = (u64::from(self.peer.client) << 32) | u64::from(self.peer.life);
        let mut rng = Rng::with_seed(!(self.context.seed ^ who));
        self.key = std::iter::repeat_with(|| rng.alphanumeric()).take(KEY_CHARS).collect();
        let key: PeerKey = self.key.parse().expect("a drawn token has the form of a key");
        self.context.directory.insert(key.peer().as_str().to_owned(), self.peer);
        self.tries = 0;
    }

    /// Becomes somebody new, who has sent and seen nothing.
    pub(super) fn renew(&mut self) {
        self.peer.life += 1;
        self.draw_key();
        self.position = None;
        self.roster.clear();
        self.abandon();
    }

    /// Gives up what is not settled, and sends nothing until the next `joined`.
    pub(super) fn abandon(&mut self) {
        self.give_up();
        self.outgoing.suspend();
    }

    /// The next join.
    pub(super) fn join(&mut self, id: u64) -> String {
        self.tries += 1;
        frame::join(id, self.room, &self.key, self.tries, self.position)
    }

    pub(super) fn leave(&self, id: u64) -> String {
        self.log.note(What::Leaving);
        frame::leave(id, self.room)
    }

    pub(super) fn limit(&mut self, unacked: usize) {
        self.outgoing.limit(unacked);
    }

    /// Sends nothing until the next `joined`.
    pub(super) fn suspend(&mut self) {
        self.outgoing.suspend();
    }

    /// The frames to send now.
    pub(super) fn due(&mut self, now: Instant) -> impl Iterator<Item = String> + use<> {
        let due = self.outgoing.due(now);
        due.into_iter().map(|(mid, rest)| frame::signal(mid, &rest))
    }

    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        self.outgoing.wake_at(now)
    }

    /// Whether there is, or was before a socket was lost, a membership to send signals for.
    pub(super) fn is_known(&self) -> bool {
        self.position.is_some()
    }

    /// How many signals are not settled.
    pub(super) fn unsettled(&self) -> usize {
        self.outgoing.len()
    }

    /// Hands over the next signal: to one of the others, or to all of them.
    pub(super) fn say(&mut self, rng: &mut Rng, ballast: usize) {
        let chosen = if rng.bool() { rng.choice(&self.roster) } else { None };
        self.number += 1;
        let number = self.number;
        let payload = frame::payload(&self.peer.to_string(), number, ballast);
        let rest = frame::signal_rest(self.room, chosen.map(|(id, _)| id.as_str()), &payload);
        self.log.note(What::Sent { number, to: chosen.map(|(_, seen)| seen.peer) });
        self.outgoing.push(number, rest);
        Tally::add(&self.context.tally.sent, 1);
        Tally::add(&self.context.tally.unsettled, 1);
    }

    /// Takes a frame about the room, `joined` included; `replayed` is what comes before that.
    pub(super) fn hear(&mut self, frame: Frame<'_>, replayed: bool) {
        let is_old = |seq: u64| replayed && self.position.is_some_and(|position| seq <= position);
        match frame {
            // Another link has told it already.
            Frame::Reset { seq, .. } if is_old(seq) => {}
            Frame::Joined { seq, recovery, mid, me, peers, .. } => {
                self.joined(seq, recovery, mid, me.n, peers);
            }
            Frame::Reset { seq, mid, peers } => self.reset(seq, mid, &peers),
            Frame::Ack { mid, seq } => self.acknowledged(mid, seq),
            Frame::PeerJoined { seq, peer } if self.moves(seq) => self.add(seq, &peer),
            Frame::PeerUpdated { seq, peer } if self.moves(seq) => self.update(seq, &peer),
            Frame::PeerLeft { seq, peer, reason } if self.moves(seq) => {
                self.roster.remove(peer.as_ref());
                let peer = self.known(&peer);
                self.log.note(What::PeerLeft { seq, peer, reason });
            }
            Frame::Signal { seq: Some(seq), from, to, data } if self.moves(seq) => {
                let from = self.known(&from);
                assert_eq!(data.f, from.to_string(), "the stamp names another sender");
                self.log.note(What::Received { from, number: data.k, seq, to_me: to.is_some() });
                Tally::add(&self.context.tally.received, 1);
            }
            _ => {}
        }
    }

    /// Whether an entry is above the position, which it moves.
    fn moves(&mut self, seq: u64) -> bool {
        let moves = self.position.is_none_or(|position| seq > position);
        if moves {
            self.position = Some(seq);
        } else {
            Tally::add(&self.context.tally.repeated, 1);
        }
        moves
    }

    fn joined(
        &mut self,
        seq: u64,
        recovery: Recovery,
        mid: u64,
        n: u64,
        peers: Option<Vec<PeerView<'_>>>,
    ) {
        self.position = Some(seq);
        let roster = peers.map(|peers| self.replace(&peers));
        let joined = Joined { peer: self.peer, room: self.room, seq, recovery, n, roster };
        self.log.note(What::Joined(Box::new(joined)));
        if recovery == Recovery::New {
            self.give_up();
        } else {
            let settled = self.tracked(|outgoing| outgoing.resume(mid));
            self.settled(settled);
        }
    }

    fn reset(&mut self, seq: u64, mid: u64, peers: &[PeerView<'_>]) {
        self.position = Some(seq);
        let roster = self.replace(peers);
        self.log.note(What::Reset { seq, roster });
        let settled = self.tracked(|outgoing| outgoing.resume(mid));
        self.settled(settled);
    }

    fn acknowledged(&mut self, mid: u64, seq: u64) {
        if self.position.is_none_or(|position| seq > position) {
            self.position = Some(seq);
            self.log.note(What::Position { seq });
        }
        let settled = self.tracked(|outgoing| outgoing.ack(mid));
        self.settled(settled);
    }

    /// Takes an error about one of the signals.
    pub(super) fn fail(&mut self, refusal: Refusal, now: Instant) {
        if let Some(number) = self.tracked(|outgoing| outgoing.fail(refusal, now)) {
            self.log.note(What::Refused { number });
        }
    }

    fn settled(&self, number: Option<u32>) {
        if let Some(number) = number {
            self.log.note(What::Settled { number });
        }
    }

    fn give_up(&mut self) {
        if self.tracked(Outgoing::restart) > 0 {
            self.log.note(What::Dropped);
        }
    }

    /// Does something to the stream and keeps count of what is not settled.
    fn tracked<T>(&mut self, act: impl FnOnce(&mut Outgoing) -> T) -> T {
        let before = self.outgoing.len();
        let result = act(&mut self.outgoing);
        let less = before.saturating_sub(self.outgoing.len());
        Tally::subtract(&self.context.tally.unsettled, less as u64);
        result
    }

    fn replace(&mut self, peers: &[PeerView<'_>]) -> Box<[Seen]> {
        let seen = peers.iter().map(|peer| (peer.id.to_string(), self.seen(peer)));
        self.roster = seen.collect();
        self.roster.values().copied().collect()
    }

    fn add(&mut self, seq: u64, peer: &PeerView<'_>) {
        let seen = self.seen(peer);
        self.roster.insert(peer.id.to_string(), seen);
        self.log.note(What::PeerJoined { seq, seen });
    }

    fn update(&mut self, seq: u64, peer: &PeerView<'_>) {
        let Some(away) = peer.away else { return };
        if let Some(seen) = self.roster.get_mut(peer.id.as_ref()) {
            seen.away = away;
        }
        let peer = self.known(&peer.id);
        self.log.note(What::PeerAway { seq, peer, away });
    }

    fn seen(&self, peer: &PeerView<'_>) -> Seen {
        Seen {
            peer: self.known(&peer.id),
            n: peer.n.unwrap_or_default(),
            polite: peer.polite.unwrap_or_default(),
            away: peer.away.unwrap_or_default(),
        }
    }

    fn known(&self, id: &str) -> Peer {
        let seen = self.roster.get(id).map(|seen| seen.peer);
        let found = seen.or_else(|| self.context.directory.find(id));
        found.expect("a node names only members, whose keys were all drawn here")
    }

    /// Notes the roster as it stands.
    pub(super) fn note_roster(&self) {
        let peers = self.roster.values().map(|seen| (seen.peer, seen.away)).collect();
        self.log.note(What::Roster { peers });
    }
}
