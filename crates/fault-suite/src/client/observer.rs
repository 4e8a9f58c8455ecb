//! What a client sees and sends, as notes in the history.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use signal_client::core::{
    Input, KeySource, LeftBecause, Member, MemberId, Payload, RoomEvent, Roster, SendError, Sender,
    Ticket,
};
use signal_client::{PeerId, Refusal};
use signal_protocol::limits::KEY_CHARS;
use signal_protocol::{LeftReason, PeerKey};

use super::context::{Context, Counters};
use crate::history::{Joined, Log, Peer, Seen, UNRECORDED, What};

/// What our clients put into `data`.
#[derive(Deserialize, Serialize)]
struct SignalData {
    /// Who sent it, by its own account.
    f: String,
    k: u32,
    x: String,
}

/// What the back end announces.
#[derive(Deserialize, Serialize)]
pub struct Announcement {
    /// Its number.
    pub k: u32,
}

/// What our clients put into `meta`.
#[derive(Default, Deserialize, Serialize)]
struct Meta {
    /// How many updates its member has made.
    #[serde(default)]
    k: u32,
}

/// The ticket of the first update; signals have numbers of 32 bits.
const UPDATES: u64 = 1 << 32;

/// One client's view of its room.
pub(super) struct Observer {
    context: Arc<Context>,
    log: Log,
    client: u32,
    room: u32,
    /// How often it has come as somebody new.
    lives: Arc<AtomicU32>,
    roster: Roster,
    /// The number of the last signal, over all lives.
    number: u32,
    /// How many updates of `meta` this membership has made.
    updates: u32,
    /// Whether the last of them was given up.
    has_lost_update: bool,
    /// The last signal that was settled, and is not noted yet: one note for all that an `ack` settles.
    settled: Option<u32>,
    /// Whether signals were given up, which is not noted yet.
    has_dropped: bool,
    /// Whether it is, or was before a socket was lost, a member to send signals for.
    pub(super) is_member: bool,
}

impl Observer {
    pub(super) fn new(context: Arc<Context>, client: u32, room: u32) -> Self {
        Self {
            log: context.recorder.client(client),
            context,
            client,
            room,
            lives: Arc::default(),
            roster: Roster::default(),
            number: 0,
            updates: 0,
            has_lost_update: false,
            settled: None,
            has_dropped: false,
            is_member: false,
        }
    }

    fn peer(&self) -> Peer {
        Peer { client: self.client, life: self.lives.load(Ordering::Relaxed) }
    }

    /// Draws keys from the seed too: the order of members in a roster follows from their keys. Whoever needs another key is
    /// somebody new: a join with the key of one before would count its tries from 1, below those that may yet arrive.
    pub(super) fn keys(&self) -> KeySource {
        let (context, lives, client) = (self.context.clone(), self.lives.clone(), self.client);
        let mut is_first = true;
        Box::new(move |_| {
            if !std::mem::take(&mut is_first) {
                lives.fetch_add(1, Ordering::Relaxed);
            }
            let life = lives.load(Ordering::Relaxed);
            let who = (u64::from(client) << 32) | u64::from(life);
            let mut rng = Rng::with_seed(!(context.seed ^ who));
            let key: String =
                std::iter::repeat_with(|| rng.alphanumeric()).take(KEY_CHARS).collect();
            let parsed: PeerKey = key.parse().expect("a drawn token has the form of a key");
            context.directory.insert(parsed.peer().as_str().to_owned(), Peer { client, life });
            key
        })
    }

    /// Becomes somebody new, who has sent and seen nothing.
    pub(super) fn renew(&mut self) {
        self.lives.fetch_add(1, Ordering::Relaxed);
        self.roster = Roster::default();
    }

    pub(super) fn note(&mut self, what: What) {
        self.note_settled();
        self.log.note(what);
    }

    /// Notes what has collected.
    pub(super) fn note_settled(&mut self) {
        if let Some(number) = self.settled.take() {
            self.log.note(What::Settled { number });
        }
        if std::mem::take(&mut self.has_dropped) {
            self.log.note(What::Dropped);
        }
    }

    /// Makes the next signal: to one of the others, or to all of them.
    pub(super) fn signal(
        &mut self,
        member: MemberId,
        rng: &mut Rng,
        ballast: usize,
    ) -> Input<'static> {
        let count = self.roster.len();
        let chosen = (rng.bool() && count > 0).then(|| rng.usize(0..count));
        let to = chosen.and_then(|chosen| self.roster.iter().nth(chosen)).map(|it| it.id.clone());
        self.number += 1;
        let (number, to_peer) = (self.number, to.as_ref().map(|id| self.known(id)));
        self.note(What::Sent { number, to: to_peer });
        Counters::add(&self.context.counters.sent, 1);
        Counters::add(&self.context.counters.unsettled, 1);
        let payload = SignalData { f: self.peer().to_string(), k: number, x: "x".repeat(ballast) };
        let data = Payload::from_value(&payload).expect("text and numbers are JSON");
        Input::Signal { member, ticket: Ticket(number.into()), to, data }
    }

    /// Makes the next update of `meta`.
    pub(super) fn update(&mut self, member: MemberId) -> Input<'static> {
        (self.updates, self.has_lost_update) = (self.updates + 1, false);
        Counters::add(&self.context.counters.unsettled, 1);
        let meta = Payload::from_value(&Meta { k: self.updates }).expect("a number is JSON");
        Input::Update { member, ticket: Ticket(UPDATES + u64::from(self.updates)), meta }
    }

    /// Makes a volatile signal, which may be lost.
    pub(super) fn volatile(&self, member: MemberId) -> Input<'static> {
        let payload = SignalData { f: self.peer().to_string(), k: 0, x: String::new() };
        let data = Payload::from_value(&payload).expect("text and numbers are JSON");
        Input::Volatile { member, to: None, data }
    }

    /// Begins a membership, which has no `meta` yet.
    pub(super) fn begin(&mut self) {
        (self.updates, self.has_lost_update) = (0, false);
    }

    /// Notes how a signal or an update ended: acknowledged, refused, or given up.
    pub(super) fn settled(&mut self, ticket: Ticket, result: &Result<(), SendError>) {
        if ticket.0 < UPDATES * 2 {
            Counters::subtract(&self.context.counters.unsettled, 1);
        }
        let Ok(number) = u32::try_from(ticket.0) else {
            let is_last = ticket.0 == UPDATES + u64::from(self.updates);
            self.has_lost_update |= is_last && result.is_err();
            return;
        };
        match result {
            Ok(()) => self.settled = Some(number),
            Err(SendError::Refused(_)) => self.note(What::Refused { number }),
            Err(SendError::Ended) => self.has_dropped = true,
            Err(error) => panic!("signal {number} of {}: {error}", self.peer()),
        }
    }

    /// Notes what happens in the room.
    pub(super) fn see(&mut self, event: &RoomEvent) {
        self.roster.apply(event);
        match event {
            RoomEvent::Joined { seq, recovery, me, members } => {
                self.is_member = true;
                let roster = members.as_deref().map(|members| self.seen_all(members));
                let (peer, room, seq, recovery) = (self.peer(), self.room, seq.0, *recovery);
                let joined = Joined { peer, room, seq, recovery, n: me.n, roster };
                self.note(What::Joined(Box::new(joined)));
            }
            RoomEvent::Reset { seq, members } => {
                let roster = self.seen_all(members);
                self.note(What::Reset { seq: seq.0, roster });
            }
            RoomEvent::PeerJoined { seq, member } => {
                let seen = self.seen(member);
                self.note(What::PeerJoined { seq: seq.0, seen });
            }
            RoomEvent::PeerUpdated { seq, peer, away: Some(away), .. } => {
                let (seq, peer, away) = (seq.0, self.known(peer), *away);
                self.note(What::PeerAway { seq, peer, away });
            }
            RoomEvent::PeerLeft { seq, peer, reason } => {
                let (seq, peer, reason) = (seq.0, self.known(peer), *reason);
                self.note(What::PeerLeft { seq, peer, reason });
            }
            RoomEvent::Signal { seq, from: Sender::Peer(from), addressed, data } => {
                self.received(seq.0, from, *addressed, data);
            }
            RoomEvent::Signal { seq, from: Sender::Server, data, .. } => {
                let Announcement { k } = data.parse().expect("all that is said here was made here");
                self.note(What::AnnouncementReceived { number: k, seq: seq.0 });
            }
            RoomEvent::Volatile { from: Sender::Peer(from), data, .. } => self.heard(from, data),
            RoomEvent::Delayed(refusal) => self.refused(refusal),
            RoomEvent::Expired => self.ended(LeftReason::Expired),
            RoomEvent::Left(because) => self.left(because),
            _ => {}
        }
    }

    fn received(&mut self, seq: u64, from: &PeerId, to_me: bool, data: &Payload) {
        let from = self.known(from);
        if from.client >= UNRECORDED {
            return;
        }
        let data: SignalData = data.parse().expect("all that is said here was made here");
        assert_eq!(data.f, from.to_string(), "the stamp names another sender");
        self.note(What::Received { from, number: data.k, seq, to_me });
        Counters::add(&self.context.counters.received, 1);
    }

    /// A volatile signal came: only its stamp is certain.
    fn heard(&self, from: &PeerId, data: &Payload) {
        let from = self.known(from);
        if from.client < UNRECORDED {
            let data: SignalData = data.parse().expect("all that is said here was made here");
            assert_eq!(data.f, from.to_string(), "the stamp names another sender");
        }
    }

    fn refused(&mut self, refusal: &Refusal) {
        self.note(What::Turned { code: refusal.code.as_str().into() });
    }

    fn left(&mut self, because: &LeftBecause) {
        match because {
            LeftBecause::Refused(refusal) => self.refused(refusal),
            LeftBecause::Replaced => self.ended(LeftReason::Replaced),
            LeftBecause::Kicked => self.ended(LeftReason::Kicked),
            LeftBecause::Left | LeftBecause::Stopped(_) => {}
        }
        self.is_member = false;
    }

    fn ended(&mut self, reason: LeftReason) {
        self.is_member = false;
        self.note(What::Ended { reason });
    }

    fn seen_all(&self, members: &[Member]) -> Box<[Seen]> {
        let mut seen: Vec<_> = members.iter().collect();
        seen.sort_by(|one, other| one.id.cmp(&other.id));
        seen.into_iter().map(|member| self.seen(member)).collect()
    }

    fn seen(&self, member: &Member) -> Seen {
        let Member { id, n, polite, away, .. } = member;
        Seen { peer: self.known(id), n: *n, polite: *polite, away: *away }
    }

    fn known(&self, id: &PeerId) -> Peer {
        let found = self.context.directory.find(id.as_str());
        found.expect("a node names only members, whose keys were all drawn here")
    }

    /// Notes the roster as it stands.
    pub(super) fn note_roster(&mut self) {
        let peers = self.roster.iter().map(|member| (self.known(&member.id), member.away));
        let peers = peers.collect();
        self.note(What::Roster { peers });
        let update = |member: &Member| member.meta.parse::<Meta>().unwrap_or_default().k;
        let peers = self.roster.iter().map(|member| (self.known(&member.id), update(member)));
        let own = (!self.has_lost_update).then_some(self.updates);
        let peers = peers.collect();
        self.note(What::Metas { own, peers });
    }
}
