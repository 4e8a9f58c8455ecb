//! The members of a room whose sockets are on this node, and what they are owed.

use std::collections::BTreeMap;
use std::sync::Arc;

use signal_protocol::{Mid, PeerId, RoomId, Seq, ServerMessage, limits};

use super::outbox::Outbox;
use crate::log::{Claim, Join, Joined, Payload, Restored, SocketId};

/// A client to which nothing was addressed for this many entries is told its position.
const TOLD_EVERY: u64 = 256;

/// One member with a socket here.
pub(super) struct Member {
    pub(super) claim: Claim,
    pub(super) socket: SocketId,
    pub(super) outbox: Arc<Outbox>,
    /// Its number among the joins of the room.
    pub(super) n: u64,
    /// What it takes to put the member back into a room that has lost it.
    record: Box<Record>,
    /// While it is told what it missed: how far it is. Until then nothing new is handed to it.
    behind: Option<Seq>,
    /// Messages on their way to the log.
    pending: u64,
    /// The last message that is settled.
    settled: Mid,
    /// The last message that was met in the log; its answer may still be on its way, or lost.
    met: Mid,
    /// The last message that was acknowledged.
    acked: Mid,
    /// The position the client knows of.
    told: Seq,
    /// The count of delivered entries when it was told.
    told_at: u64,
}

/// How a member came to be one.
struct Record {
    join: Join,
    joined: Joined,
}

impl Member {
    pub(super) fn new(join: Join, mut joined: Joined, outbox: Arc<Outbox>) -> Self {
        let (told, mid) = (joined.seq, joined.mid);
        joined.roster = Vec::new();
        Self {
            claim: Claim { peer: join.peer.clone(), generation: joined.seq },
            socket: join.socket,
            outbox,
            n: joined.n,
            record: Box::new(Record { join, joined }),
            behind: None,
            pending: 0,
            settled: mid,
            met: mid,
            acked: mid,
            told,
            told_at: 0,
        }
    }

    /// Returns how many messages wait for their `ack`.
    pub(super) fn unacked(&self) -> u64 {
        self.pending + (self.settled.0 - self.acked.0)
    }

    /// Notes that a message is on its way to the log.
    pub(super) fn take(&mut self) {
        self.pending += 1;
    }

    /// Notes that the log has answered a message, whatever it said.
    pub(super) fn answered(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// Notes that a message is settled; tells whether an `ack` is due at once.
    pub(super) fn settle(&mut self, mid: Mid) -> bool {
        self.settled = self.settled.max(mid);
        self.settled.0 - self.acked.0 >= limits::ACK_EVERY
    }

    /// Notes that a message was met in the log.
    pub(super) fn met(&mut self, mid: Mid) {
        self.met = self.met.max(mid);
    }

    /// Returns the last message that the log is known to have taken.
    pub(super) fn taken(&self) -> Mid {
        self.settled.max(self.met)
    }

    /// Tells whether an `ack` is owed.
    pub(super) fn owes_ack(&self) -> bool {
        self.settled > self.acked
    }

    /// Notes that a frame with this position went out.
    pub(super) fn told(&mut self, seq: Seq, delivered: u64) {
        self.told = seq;
        self.told_at = delivered;
    }

    /// Keeps what the member tells about itself, as the log has it.
    pub(super) fn describe(&mut self, meta: &Payload) {
        self.record.join.meta = meta.clone();
    }

    /// Tells whether new entries are handed to it.
    pub(super) fn is_live(&self) -> bool {
        self.behind.is_none()
    }

    /// Notes how far it has been told what it missed; `None`: all of it.
    pub(super) fn catch_up(&mut self, behind: Option<Seq>) {
        self.behind = behind;
    }

    /// Returns the entry of its join.
    pub(super) fn joined_at(&self) -> Seq {
        self.record.joined.seq
    }

    /// Returns what it takes to put the member back.
    pub(super) fn restored(&self) -> Restored {
        let Record { join, joined } = &*self.record;
        Restored::new(join, joined, self.claim.generation, self.taken())
    }

    fn ack(&mut self, room: &RoomId, position: Seq, delivered: u64) {
        let seq = self.behind.unwrap_or(position);
        self.acked = self.settled;
        self.told(seq, delivered);
        self.outbox.hand(ServerMessage::Ack { room, mid: self.settled, seq }.to_json());
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Members {
    /// In the order of their ids, so that a simulation takes the same course each time.
    map: BTreeMap<PeerId, Box<Member>>,
    /// How many entries the room has delivered here.
    delivered: u64,
}

impl Members {
    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<&Member> {
        self.map.get(peer).map(AsRef::as_ref)
    }

    pub(super) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Member> {
        self.map.get_mut(peer).map(AsMut::as_mut)
    }

    /// Finds the member if this socket still holds it.
    pub(super) fn of_socket(&mut self, peer: &PeerId, socket: SocketId) -> Option<&mut Member> {
        self.get_mut(peer).filter(|member| member.socket == socket)
    }

    pub(super) fn insert(&mut self, mut member: Member) {
        member.told_at = self.delivered;
        self.map.insert(member.claim.peer.clone(), Box::new(member));
    }

    pub(super) fn remove(&mut self, peer: &PeerId) -> Option<Member> {
        self.map.remove(peer).map(|member| *member)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.map.values().map(AsRef::as_ref)
    }

    /// Walks all members that are told new entries.
    pub(super) fn live(&mut self) -> impl Iterator<Item = &mut Member> {
        self.map.values_mut().map(AsMut::as_mut).filter(|member: &&mut Member| member.is_live())
    }

    /// Returns how many entries were delivered here so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Counts a delivered entry; now and then tells a position to those who heard nothing for long.
    pub(super) fn count(&mut self, room: &RoomId, position: Seq) {
        self.delivered += 1;
        if self.delivered.is_multiple_of(TOLD_EVERY / 4) {
            let delivered = self.delivered;
            let quiet = |member: &&mut Member| delivered - member.told_at >= TOLD_EVERY;
            self.live().filter(quiet).for_each(|m| m.ack(room, position, delivered));
        }
    }

    /// Acknowledges one member.
    pub(super) fn ack(&mut self, peer: &PeerId, room: &RoomId, position: Seq) {
        let delivered = self.delivered;
        if let Some(member) = self.map.get_mut(peer) {
            member.ack(room, position, delivered);
        }
    }

    /// Acknowledges everyone to whom an `ack` is owed.
    pub(super) fn ack_owed(&mut self, room: &RoomId, position: Seq) {
        let delivered = self.delivered;
        let owed = self.map.values_mut().filter(|member| member.owes_ack());
        owed.for_each(|member| member.ack(room, position, delivered));
    }

    /// Tells everyone its position who does not know it.
    pub(super) fn tell_position(&mut self, room: &RoomId, position: Seq) {
        let delivered = self.delivered;
        let behind = self.live().filter(|member| member.told < position);
        behind.for_each(|member| member.ack(room, position, delivered));
    }
}
